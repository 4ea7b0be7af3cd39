package websocket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// An Observer receives what happens to the connections of an [Upgrader], for metrics and
// traces. A nil function is not called; later versions may add functions.
//
// The functions run on the goroutines that do the work, many at the same time: they must
// not block, and must not call runtime.Goexit. A panic in one is recovered and logged. Set
// them before the first request. [JoinObservers] combines several Observers.
type Observer struct {
	// UpgradeRefused receives a refused request, before its controller's OnUpgradeError
	// runs and the response is written.
	UpgradeRefused func(request *http.Request, status int, reason error)

	// Opened receives a connection before Serve or Open is called. conn.Context has the values of
	// the request's context.
	Opened func(conn *Conn)

	// Ended receives a connection whose socket is closed and whose Serve has returned, or whose
	// handler is not called any more. It is called once for each connection that Opened
	// received.
	Ended func(conn *Conn, ending Ending)
}

// JoinObservers returns an Observer that calls all the given ones, in this order. Nil ones
// are left out. If one panics, the others are called nevertheless.
func JoinObservers(observers ...*Observer) *Observer {
	all := slices.DeleteFunc(slices.Clone(observers), func(o *Observer) bool { return o == nil })
	return &Observer{
		UpgradeRefused: func(request *http.Request, status int, reason error) {
			notifyEach(all, func(o *Observer) { o.upgradeRefused(request, status, reason) })
		},
		Opened: func(conn *Conn) { notifyEach(all, func(o *Observer) { o.opened(conn) }) },
		Ended:  func(conn *Conn, ending Ending) { notifyEach(all, func(o *Observer) { o.ended(conn, ending) }) },
	}
}

// observerPanics joins the panics of several observers.
type observerPanics struct{ error }

// notifyEach calls notify for each observer. If any of them panics, notifyEach panics after
// the last call.
func notifyEach(observers []*Observer, notify func(*Observer)) {
	var failures []error
	defer func() {
		if len(failures) > 0 {
			panic(observerPanics{errors.Join(failures...)})
		}
	}()
	calls := make([]func(), len(observers))
	for i, o := range observers {
		calls[i] = func() { notify(o) }
	}
	callEach(func(failure error) { failures = append(failures, unwrapJoined(failure)) }, calls...)
}

// unwrapJoined returns the observers' own panics if failure is the panic of notifyEach, and
// failure otherwise.
func unwrapJoined(failure error) error {
	if p, ok := failure.(*PanicError); ok { //nolint:errorlint // as recovered, not wrapped
		if all, ok := p.Value.(observerPanics); ok {
			return all.error
		}
	}
	return failure
}

func (o *Observer) upgradeRefused(request *http.Request, status int, reason error) {
	if o.UpgradeRefused != nil {
		o.UpgradeRefused(request, status, reason)
	}
}

func (o *Observer) opened(conn *Conn) {
	if o.Opened != nil {
		o.Opened(conn)
	}
}

func (o *Observer) ended(conn *Conn, ending Ending) {
	if o.Ended != nil {
		o.Ended(conn, ending)
	}
}

// observe calls notify with the observer, if there is one, and recovers its panic.
func (e *Endpoint) observe(ctx context.Context, notify func(*Observer)) {
	if e.options.Observer == nil {
		return
	}
	callRecovering(func() error {
		notify(e.options.Observer)
		return nil
	}, func(failure error) {
		if failure != nil {
			e.options.log(ctx, slog.LevelError, logObserver, fmt.Errorf("websocket: Options.Observer failed: %w", unwrapJoined(failure)))
		}
	})
}

// An Ending describes how a connection ended.
type Ending struct {
	// Code is the code of the close frame that decided the end, the peer's or ours: 1005
	// for an empty frame, 1006 if there was none.
	Code int

	// Duration is the time since the upgrade.
	Duration time.Duration

	// Cause is the failure that the ErrorHandler or the log received. Without a failure, it
	// is what ended the connection: a *CloseError, ErrShutdown or the error of the socket.
	Cause error

	// Panicked reports whether a controller, its MessageHandler, or a function given to Conn.Go or
	// Conn.BeforeClose panicked or called runtime.Goexit, or whether the underlying net.Conn
	// panicked.
	Panicked bool
}
