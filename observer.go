package websocket

import (
	"net/http"
	"time"
)

// An Observer is told what happens to the connections of an [Upgrader], for
// metrics and traces. Its methods are called on the goroutines that do the work,
// many at once: they must not block, or leave by runtime.Goexit. A panic in one is
// recovered and logged.
type Observer interface {
	// UpgradeRefused is told of a request that is about to be answered with the
	// status, before its controller is.
	UpgradeRefused(request *http.Request, status int, reason error)

	// Opened is told of a connection before it is served. The values of its
	// request's context are in conn.Context.
	Opened(conn *Conn)

	// Ended is told of a connection whose socket is closed and whose Serve has
	// returned, once for each that was opened.
	Ended(conn *Conn, ending Ending)
}

// An Ending says how a connection ended.
type Ending struct {
	// Code is that of the close frame that decided it, the peer's or ours: 1005
	// for an empty one, 1006 where there was none.
	Code int

	// Duration is the time since the upgrade.
	Duration time.Duration

	// Cause is the failure that was told to the ErrorHandler or the log, or else
	// what ended the connection: a *CloseError, ErrShutdown, the error of the
	// socket.
	Cause error

	// Panicked says that Serve, or a function given to Conn.Go, panicked or left
	// by runtime.Goexit, or that the net.Conn beneath panicked.
	Panicked bool
}
