package websocket

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/goyave-contrib/websocket/internal/transport"
)

// Run serves a connection that Accept returned, in a goroutine of its own, and
// returns at once. When serve returns, the connection is closed: how, is decided
// by what happened on the wire and by the error. A panic of serve is recovered,
// and its runtime.Goexit noticed. Serve is not called if Shutdown comes before.
//
// Report is told of failures, on the same goroutine before the close frame is
// sent; its panic is recovered. Where it is nil, they are logged.
func (e *Endpoint) Run(conn *Conn, serve func() error, report func(error)) {
	r := &run{e: e, conn: conn, report: report}
	go callRecovering(r.serving(serve), r.over)
}

// Serve is Run on the caller's goroutine: it returns when serve has returned and the
// connection is closed. An adapter calls it on the goroutine of the HTTP handler where what
// is the handler's must last as long as the connection: a context that the framework uses
// for another request as soon as the handler returns, a span, a transaction or a throttle of
// middleware around it.
//
// The price is memory, all that net/http and middleware hold until the handler returns:
// their buffers, the request, a stack that has grown. The deadlines of the http.Server do
// not count for a connection that was taken over, and its Shutdown waits no more for this
// handler than for Run's goroutine: only that of the Endpoint does.
//
// A panic of serve is recovered and reported as in Run. A runtime.Goexit is reported, and
// goes on when the connection is closed.
func (e *Endpoint) Serve(conn *Conn, serve func() error, report func(error)) {
	r := &run{e: e, conn: conn, report: report}
	callRecovering(r.serving(serve), r.over)
}

// A run is the life of one connection.
type run struct {
	e      *Endpoint
	conn   *Conn
	report func(error)

	reported error // the first that report or the log was told
	panicked bool
}

// serving returns the function that tells the observer and calls serve. It holds on to
// nothing that serve does not need, such as the request.
func (r *run) serving(serve func() error) func() error {
	return func() error {
		r.opened()
		if r.conn.t.ShuttingDown() {
			return nil // the connection is about to be closed
		}
		return serve()
	}
}

// over does what follows serve. Each step is done whatever another one did.
func (r *run) over(err error) {
	errs := append(r.conn.group.stop(), err)
	callEach(func(failure error) {
		r.log(slog.LevelError, logEndFailed, fmt.Errorf("websocket: ending the connection failed: %w", failure))
	},
		r.conn.beginClosing,
		func() { r.end(errs) },
		r.conn.t.Abort, // does nothing unless end has failed
		r.conn.stopBackground,
		r.join,
		r.ended,
		func() { r.e.live.remove(r.conn) },
	)
}

// end decides how the connection ends, reports it, and closes the connection, also if the
// application's code that it calls leaves by panic or Goexit.
func (r *run) end(errs []error) {
	o := outcome{frame: failureFrame}
	defer func() { r.conn.finish(o) }()
	r.conn.t.FindPeerClose(r.conn.GetCloseHandshakeTimeout())
	o = r.conn.outcome(errs, nil)
	if o.report != nil {
		r.reportFailure(o)
	} else if _, cause := r.conn.t.CloseCause(); cause != nil {
		r.log(slog.LevelDebug, logEnded, cause)
	}
}

// join waits for the functions that were started with Conn.Go. It reports what went wrong in
// them since serve returned, and a panic of the net.Conn beneath that was not reported yet.
func (r *run) join() {
	errs := append(r.conn.group.wait(), r.conn.t.Panicked())
	if late := r.conn.outcome(errs, r.reported); late.failed {
		r.reportFailure(late)
	}
}

// reportFailure hands an error to report, or to the log.
func (r *run) reportFailure(o outcome) {
	if r.reported == nil {
		r.reported = o.report
	}
	r.panicked = r.panicked || isPanic(o.report)
	if r.report == nil {
		r.log(o.level, failureMessage(o.level), o.report)
		return
	}
	callRecovering(func() error {
		r.report(o.report)
		return nil
	}, func(failure error) {
		if failure != nil {
			r.log(slog.LevelError, logErrorFailed, fmt.Errorf("websocket: OnError failed: %w", failure))
		}
	})
}

func (r *run) log(level slog.Level, message string, err error) {
	if !r.e.options.logs(r.conn.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("remote", r.conn.RemoteAddr().String()),
		slog.Duration("duration", r.conn.t.Age()),
	}
	var p *PanicError
	if errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.Stack)))
	}
	r.e.options.log(r.conn.Context(), level, message, err, attrs...)
}

// opened tells the observer that the connection begins.
func (r *run) opened() {
	r.e.observe(r.conn.Context(), func(o *Observer) { o.opened(r.conn) })
}

// ended tells the observer how the connection ended.
func (r *run) ended() {
	r.e.observe(r.conn.Context(), func(o *Observer) { o.ended(r.conn, r.ending()) })
}

func (r *run) ending() Ending {
	t := r.conn.t
	how, cause := t.CloseCause()
	code := t.CloseCode()
	switch {
	case r.reported != nil:
		cause = r.reported
	case how == transport.CauseLocal && code == CloseAbnormalClosure && t.SocketFailure() != nil:
		cause = t.SocketFailure() // it kept our close frame from leaving
	case r.conn.t.ShuttingDown():
		cause = ErrShutdown
	}
	return Ending{
		Code:     code,
		Duration: t.Age(),
		Cause:    cause,
		Panicked: r.panicked,
	}
}
