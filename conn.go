package websocket

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// Conn is one WebSocket connection, of a server or a client. One goroutine may read, and any
// number may write, ping or close at the same time. Each write is one whole message, and
// messages leave in the order of the calls. The setters may be called at any time, from any
// goroutine.
//
// The application must keep reading until a read fails: pings, pongs and the peer's close
// frame are only seen by a read.
//
// Once a read or write has failed on the wire, each later one returns the same error. A write
// that fails because the peer hung up does not end reads: they return what had arrived, up to
// the close frame or the end, within the close timeout. After a close frame, writes return
// [ErrCloseSent]. Other calls on a connection that this side closed return [net.ErrClosed].
//
// The embedded connection is for code that was written for gorilla and takes a *Conn of
// gorilla's. Used through it, the connection keeps its closing handshakes, checks of input,
// limits and deadlines, and its messages do not mix with the messages of Conn. As with
// gorilla, only one goroutine may write through it at a time. [Conn.EnableWriteCompression]
// and [Conn.SetCompressionLevel] decide whether its messages are compressed; its own methods
// for compression do not. Its Subprotocol, LocalAddr and RemoteAddr are methods of Conn, too.
type Conn struct {
	*ws.Conn
	t        *transport.Conn
	options  *connOptions
	request  context.Context          // has the values of the request's
	lifetime atomic.Pointer[lifetime] // nil until the application uses the context, or it ends
	endedBy  error                    // why it has ended, if lifetime is endedUnused

	place    int32 // in the connSet; guarded by it
	accepted bool  // the 101 is written; guarded by the connSet

	withoutLocal bool // request has no local address: see valuesOf

	control     control              // only used by the reading goroutine
	dispatch    dispatch             // set before other goroutines have the Conn
	ownHandlers xsync.Lazy[handlers] // made when the application sets the first one

	pings     pings
	keepalive keepalive

	closeRead atomic.Pointer[context.Context] // returned by CloseRead; nil before
	group     group
}

// A dispatch is the way in which the messages of a connection reach the application.
type dispatch uint8

const (
	toReads   dispatch = iota // reads of the application return them
	toHandler                 // a MessageHandler is called, always on the same goroutine
	toParking                 // likewise, but the connection has no goroutine while it is parked
)

// init makes c the connection of a transport, before other goroutines have either. The
// connection's context takes its values from the request's, but not its end.
func (c *Conn) init(request context.Context, gorilla *ws.Conn, t *transport.Conn, options *connOptions) {
	c.Conn, c.t, c.options = gorilla, t, options.alone(t)
	c.request, c.withoutLocal = valuesOf(request, c.LocalAddr())
	c.options.alarms.Join(c)
	c.initCompression()
	c.installHandlers()
	t.SetEvents((*connEvents)(c))
}

// open ends the opening handshake and starts the keep-alive.
func (c *Conn) open() {
	c.t.Open()
	c.startKeepAlive()
}

// switchProtocols writes the 101 response, which it makes in p if that is large enough, and opens
// the connection. After an error, the caller must abort it.
func (c *Conn) switchProtocols(p []byte, agreed *agreement, header http.Header) error {
	p = handshake.AppendResponse(p, agreed.key, agreed.subprotocol, agreed.extensions, header)
	if err := c.t.WriteResponse(p, min(cmp.Or(agreed.timeout, c.options.writeTimeout), forever)); err != nil {
		return err
	}
	c.open()
	return nil
}

// NetConn returns the network connection as it was accepted or dialed. Reading from it or
// writing to it corrupts the stream of frames. Closing it has the effect of CloseNow.
func (c *Conn) NetConn() net.Conn { return c.t.NetConn() }

// UnderlyingConn returns what NetConn does.
//
// Deprecated: use NetConn.
func (c *Conn) UnderlyingConn() net.Conn { return c.NetConn() }

// SetReadDeadline sets the deadline of later reads and of one that is waiting. The zero time
// removes it. A read whose deadline passed fails with an error that is
// os.ErrDeadlineExceeded, and so does every later read; the connection can still be written
// to and closed. SetReadDeadline returns the error of a network connection that can't set the
// deadline; reads are not bounded then.
func (c *Conn) SetReadDeadline(d time.Time) error { return c.t.SetReadDeadline(d) }

// SetWriteDeadline sets the deadline of writes that begin later, in place of WriteTimeout. The
// zero time brings WriteTimeout back. A write that its deadline interrupts ends the
// connection. The error is always nil.
func (c *Conn) SetWriteDeadline(d time.Time) error {
	c.t.SetWriteDeadline(d)
	return nil
}

// SetReadLimit sets the largest size, in bytes, of messages that are read from now on, in place
// of MaxMessageSize. A longer message ends the connection with code 1009, and its read fails
// with an error that is ErrReadLimit. Zero or less means no limit.
func (c *Conn) SetReadLimit(limit int64) { c.t.SetReadLimit(limit) }

// connEvents is a Conn as its transport sees it. It is a type of its own to keep its methods
// out of the API.
type connEvents Conn

func (e *connEvents) CancelContext(cause error) { (*Conn)(e).cancelContext(cause) }

func (e *connEvents) Guard(f func()) { (*Conn)(e).guard(f) }

// SocketClosing cancels the alarm of the keep-alive, which has nothing left to ping.
func (e *connEvents) SocketClosing() { e.options.alarms.Cancel((*Conn)(e)) }

// Control calls the handler of a ping or pong. An error that only says that the peer hung up
// is dropped: what else had arrived is still to be read.
func (e *connEvents) Control(messageType int, data string) error {
	var err error
	if messageType == PongMessage {
		e.control |= isPong
		err = e.Conn.PongHandler()(data)
	} else {
		e.control &^= isPong
		err = e.Conn.PingHandler()(data)
	}
	if (*Conn)(e).merelyHungUp(err) {
		return nil
	}
	return err
}

// PeerClosed calls the close handler, then answers the peer's close frame and closes the
// socket. gorilla's getter also returns a handler that was set on the embedded connection.
func (e *connEvents) PeerClosed(ce *CloseError) error {
	err := e.Conn.CloseHandler()(ce.Code, ce.Text)
	e.t.AnswerClose(ce)
	if (*Conn)(e).merelyHungUp(err) {
		return nil
	}
	return err
}
