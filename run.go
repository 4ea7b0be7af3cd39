package websocket

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/goyave-contrib/websocket/internal/transport"
)

// Run serves a connection that Accept returned, on a new goroutine, and returns at once.
// When serve returns, the connection is closed; what happened on the wire and the error of
// serve decide how. A panic of serve is recovered, and its runtime.Goexit is noticed. If
// Shutdown came first, serve is not called. Call Run, Serve, RunMessages or ServeMessages
// exactly once for each connection: until then, Shutdown waits for it.
//
// Run calls report with each failure, on the same goroutine as serve and, but for failures
// that come later, before the close frame is sent. A panic of report is recovered. If
// report is nil, failures are logged.
//
// Run, Serve, RunMessages and ServeMessages panic if another Endpoint, or Dial, has made the connection.
func (e *Endpoint) Run(conn *Conn, serve func() error, report func(error)) {
	e.mustHaveAccepted(conn)
	go newServing(conn, served(serve), nil, report).serve()
}

// Serve is like Run on the caller's goroutine: it returns when serve has returned and the
// connection is closed. An adapter calls it on the goroutine of the HTTP handler if
// something of the handler must last as long as the connection: a context that the
// framework reuses as soon as the handler returns, or a span, a transaction or a throttle
// of the middleware around it.
//
// The price is memory. Everything that net/http and middleware hold until the handler
// returns stays allocated: their buffers, the request and a stack that has grown. The
// deadlines of the http.Server do not apply to a hijacked connection, and its Shutdown does
// not wait for this handler, as it does not wait for Run's goroutine; only the Endpoint's
// Shutdown does.
//
// A panic of serve is recovered and reported as in Run. A runtime.Goexit is reported, and
// resumes when the connection is closed.
func (e *Endpoint) Serve(conn *Conn, serve func() error, report func(error)) {
	e.mustHaveAccepted(conn)
	newServing(conn, served(serve), nil, report).serve()
}

// mustHaveAccepted panics, on the goroutine of the caller, if the Endpoint has not accepted a connection.
func (e *Endpoint) mustHaveAccepted(conn *Conn) {
	if conn.options.endpoint != e {
		panic("websocket: this Endpoint has not accepted the connection that it is to serve")
	}
}

// A run serves one connection from its beginning to its end.
type run struct {
	conn   *Conn
	report func(error)
}

// endpoint returns the Endpoint that has accepted the connection.
func (r *run) endpoint() *Endpoint { return r.conn.options.endpoint }

// A completion is the end of a run. It is no part of the run, which an idle connection keeps.
type completion struct {
	*run
	reported error // the first failure that was reported or logged
	panicked bool
}

// serving is the run of a connection that a Controller serves. Its state is here and not on the
// stack, which is 2 KiB as long as little is on it.
type serving struct {
	run
	controller Controller    // nil once it is called
	request    *http.Request // likewise: a Serve that does not need it does not retain it

	err      error // of Serve
	returned bool  // Serve has returned
}

// served is the function of [Endpoint.Run] as a Controller.
type served func() error

func (f served) Serve(*Conn, *http.Request) error { return f() }

func newServing(conn *Conn, ctrl Controller, request *http.Request, report func(error)) *serving {
	return &serving{run: run{conn: conn, report: report}, controller: ctrl, request: request}
}

// serve has the controller serve the connection, until that has ended.
func (s *serving) serve() {
	defer s.end()
	s.opened()
	ctrl, request := s.controller, s.request
	s.controller, s.request = nil, nil
	if !s.conn.t.ShuttingDown() { // otherwise the connection is about to be closed
		s.err = ctrl.Serve(s.conn, request)
	}
	s.returned = true
}

// end ends the connection after Serve has returned, panicked or called runtime.Goexit: see
// callRecovering. It must be deferred.
func (s *serving) end() {
	if !s.returned {
		s.err = newPanicError(recover())
	}
	growStack()
	s.complete([]error{s.err})
}

// growStack lets the stack of a goroutine that has done nothing but wait grow to what the end of a
// connection needs. It would grow anyway. Go does that frame by frame, so it is cheap where there are
// few frames.
//
//go:noinline
func growStack() {
	var space [3 << 9]byte
	touch(&space)
}

//go:noinline
func touch(*[3 << 9]byte) {}

// complete ends the connection after the functions that served it have returned errs. Every
// step runs, even if an earlier one panics.
func (r *run) complete(errs []error) {
	c := completion{run: r}
	ofFunctions := r.conn.group.stop()
	var awaiting *sync.WaitGroup
	callEach(func(failure error) {
		r.log(slog.LevelError, logEndFailed, fmt.Errorf("websocket: ending the connection failed: %w", failure))
	},
		r.conn.beginClosing,
		func() {
			var late []error
			late, awaiting = r.conn.awaitFunctions()
			if ofFunctions = append(ofFunctions, late...); ofFunctions != nil {
				errs = append(ofFunctions, errs...)
			}
		},
		func() { c.conclude(errs) },
		r.conn.t.Abort, // has no effect unless conclude has failed
		r.conn.stopBackground,
		c.join,
		func() {
			if awaiting != nil {
				awaiting.Wait()
			}
		},
		c.ended,
		func() { r.endpoint().live.remove(r.conn) },
	)
}

// conclude decides how the connection ends, reports it, and closes the connection, even if a
// function of the application panics or calls runtime.Goexit.
func (c *completion) conclude(errs []error) {
	o := outcome{frame: failureFrame}
	defer func() { c.conn.finish(o) }()
	c.conn.t.FindPeerClose(c.conn.GetCloseHandshakeTimeout())
	o = c.conn.outcome(errs, nil)
	if o.report != nil {
		c.reportFailure(o)
	} else if _, cause := c.conn.t.CloseCause(); cause != nil {
		c.log(slog.LevelDebug, logEnded, cause)
	}
}

// join waits for the functions that were started with Conn.Go. It reports their failures
// since serve returned, and a panic of the underlying net.Conn that was not reported yet.
func (c *completion) join() {
	errs := append(c.conn.group.wait(), c.conn.t.Panicked())
	if late := c.conn.outcome(errs, c.reported); late.failed {
		c.reportFailure(late)
	}
}

// reportFailure calls report, or logs the failure if report is nil.
func (c *completion) reportFailure(o outcome) {
	if c.reported == nil {
		c.reported = o.report
	}
	c.panicked = c.panicked || isPanic(o.report)
	if c.report == nil {
		c.log(o.level, failureMessage(o.level), o.report)
		return
	}
	callRecovering(func() error {
		c.report(o.report)
		return nil
	}, func(failure error) {
		if failure != nil {
			c.log(slog.LevelError, logErrorFailed, fmt.Errorf("websocket: OnError failed: %w", failure))
		}
	})
}

func (r *run) log(level slog.Level, message string, err error) {
	if !r.endpoint().options.logEnabled(r.conn.Context(), level) {
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
	r.endpoint().options.log(r.conn.Context(), level, message, err, attrs...)
}

// opened notifies the observer that the connection begins.
func (r *run) opened() {
	r.endpoint().observe(r.conn.Context(), func(o *Observer) { o.opened(r.conn) })
}

// ended notifies the observer how the connection ended.
func (c *completion) ended() {
	c.endpoint().observe(c.conn.Context(), func(o *Observer) { o.ended(c.conn, c.ending()) })
}

func (c *completion) ending() Ending {
	t := c.conn.t
	how, cause := t.CloseCause()
	code := t.CloseCode()
	switch {
	case c.reported != nil:
		cause = c.reported
	case how == transport.CauseLocal && code == CloseAbnormalClosure && t.SocketFailure() != nil:
		cause = t.SocketFailure() // it kept our close frame from being sent
	case c.conn.t.ShuttingDown():
		cause = ErrShutdown
	}
	return Ending{
		Code:     code,
		Duration: t.Age(),
		Cause:    cause,
		Panicked: c.panicked,
	}
}
