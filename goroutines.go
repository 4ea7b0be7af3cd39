package websocket

import (
	"context"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// callRecovering calls f, then done with the error of f. If f panics, the error is a
// *PanicError and the panic ends here. If f calls runtime.Goexit, the error is a *PanicError
// too, and the goroutine exits once done has returned.
func callRecovering(f func() error, done func(error)) {
	var err error
	returned := false
	defer func() {
		if !returned {
			err = newPanicError(recover())
		}
		done(err)
	}()
	err = f()
	returned = true
}

// catchPanic calls f and returns its panic as a *PanicError, nil if f returned.
func catchPanic(f func()) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = newPanicError(value)
		}
	}()
	f()
	return nil
}

// callEach calls all functions in order, also those after one that panics or calls
// runtime.Goexit. It passes each panic to report, whose own panics are dropped.
func callEach(report func(error), functions ...func()) {
	next := 0
	defer func() {
		if next < len(functions) { // a Goexit is under way
			callEach(report, functions[next:]...)
		}
	}()
	for next < len(functions) {
		f := functions[next]
		next++
		if failure := catchPanic(f); failure != nil {
			_ = catchPanic(func() { report(failure) })
		}
	}
}

// guard calls f, which runs on a goroutine or timer of the library's that has no other
// recovery: a panic of f becomes a failure of the connection.
func (c *Conn) guard(f func()) {
	callRecovering(func() error {
		f()
		return nil
	}, c.goroutineEnded)
}

// afterFunc is time.AfterFunc with a guard.
func (c *Conn) afterFunc(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() { c.guard(f) })
}

// whenDone is context.AfterFunc with a guard.
func (c *Conn) whenDone(ctx context.Context, f func()) (stop func() bool) {
	return context.AfterFunc(ctx, func() { c.guard(f) })
}

// group holds the functions that run for a connection: those that Conn.Go started, and the
// hooks that BeforeClose registered.
type group struct {
	mu            sync.Mutex
	departure     departure   // why the Endpoint has ended the connection, if it has
	stopped       bool        // Serve has returned
	closing       bool        // the connection has begun to end
	functions     *functions  // nil until there is one, or an error
	beforeClose   func()      // calls all hooks in order; nil without any, and once it is called
	hooksReturned xsync.Event // beforeClose has returned or timed out, or was nil
}

// functions are the functions that run for a connection, which most connections do not have. The
// mutex of the group guards the fields, but running.
type functions struct {
	running sync.WaitGroup
	open    int     // the number of functions of Conn.Go that still run; those of the library do not count
	errs    []error // not yet taken by Serve's goroutine
}

// ensureFunctions returns the functions, for one to be started. The mutex is held.
func (g *group) ensureFunctions() *functions {
	if g.functions == nil {
		g.functions = new(functions)
	}
	return g.functions
}

// Go calls f in a goroutine that belongs to the connection and returns true. The context of
// f is the connection's, and f must return soon after that context ends: the end of Serve
// waits for f.
//
// If f returns an error or panics, the connection ends as if Serve had failed: reads fail and
// the context is canceled. Once Serve has returned, the first error counts. Reads go on if f
// returns the error of a write that failed because the peer hung up: see [Conn]. At a shutdown, f
// may choose the close frame, as Serve may: see [Endpoint.Shutdown].
//
// Go may be called from any goroutine, any number of times. It returns false, and f is not
// called, once Serve has returned. A goroutine that only writes is started like this:
//
//	conn.Go(func(ctx context.Context) error { return pump(ctx, conn) })
func (c *Conn) Go(f func(ctx context.Context) error) bool {
	g := &c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return false
	}
	started := g.ensureFunctions()
	started.open++
	started.running.Go(func() {
		defer g.functionReturned() // its error is known by then
		c.run(func() error { return f(c.Context()) })
	})
	return true
}

// goInternal is Go for a function of the library, which chooses no ending at a shutdown.
func (c *Conn) goInternal(f func() error) bool {
	g := &c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return false
	}
	g.ensureFunctions().running.Go(func() { c.run(f) })
	return true
}

// functionReturned notes that a function of Go has returned.
func (g *group) functionReturned() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.functions.open--
}

// run calls f, within the guard of the options if there is one. An error or panic of f ends
// the connection.
func (c *Conn) run(f func() error) {
	callRecovering(func() error { return c.options.guarded(f) }, c.goroutineEnded)
}

// goroutineEnded takes the result of a function that ran for the connection. An error ends
// the connection; once Serve has returned, it is only kept for the end of Serve.
func (c *Conn) goroutineEnded(err error) {
	if err == nil {
		return
	}
	g := &c.group
	g.mu.Lock()
	failed := g.ensureFunctions()
	failed.errs = append(failed.errs, err)
	serving := !g.stopped
	g.mu.Unlock()
	if serving && !c.merelyHungUp(err) { // after a hang-up, reads find out how the connection ended
		c.cancelContext(err) // first: the context of a read that fails has a cause
		unreached := c.failReads(err)
		c.t.FailUnreached("read", err, unreached)
	}
}

// failReads makes the waiting read and every later one fail with err. It returns an error if
// it could not interrupt the waiting read.
func (c *Conn) failReads(err error) error { return c.t.FailReads(err) }

// stop marks that Serve has returned, and takes the errors so far.
func (g *group) stop() []error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = true
	return g.take()
}

// wait waits for the functions that still run and takes their errors.
func (g *group) wait() []error {
	g.mu.Lock()
	started := g.functions
	g.mu.Unlock()
	if started != nil {
		started.running.Wait()
	}
	return g.takeErrors()
}

// takeErrors takes the errors so far.
func (g *group) takeErrors() []error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.take()
}

// openFunctions returns the functions, nil if none of Go is left that has not returned.
func (g *group) openFunctions() *functions {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.functions == nil || g.functions.open == 0 {
		return nil
	}
	return g.functions
}

// depart notes why the Endpoint ends the connection, unless that is known already.
func (g *group) depart(why departure) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.departure == staying {
		g.departure = why
	}
}

// departs returns why the Endpoint ends the connection, if it does.
func (g *group) departs() departure {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.departure
}

// take returns the errors that were not taken before. The caller holds the lock.
func (g *group) take() []error {
	if g.functions == nil {
		return nil
	}
	errs := g.functions.errs
	g.functions.errs = nil
	return errs
}

// BeforeClose registers f, which is called once when the connection begins to end, on a
// goroutine of the connection. Functions are called in the order in which they were
// registered.
//
// A close frame that this side has yet to send waits for f. If this side ends the connection,
// because Close or CloseNow is called or Serve has returned, f runs before the close frame:
// the messages that f enqueues are sent first (see [Conn.Enqueue]), and f has returned when
// Close returns.
//
// f must not block and must not close the connection. If f runs for as long as the close
// timeout, the socket is closed, and only the end of Serve still waits for f. A panic of f
// counts as a panic of Serve.
//
// BeforeClose returns false, and f is not called, if the connection has already begun to end.
// It may be called from any goroutine.
func (c *Conn) BeforeClose(f func()) bool {
	g := &c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closing {
		return false
	}
	if earlier := g.beforeClose; earlier != nil {
		g.beforeClose = func() {
			defer f() // also if the earlier one panics
			earlier()
		}
		return true
	}
	g.beforeClose = f
	return true
}

// beginClosing is the first step of closing the connection: from now on no read delivers a
// message. It waits until the hooks of BeforeClose have returned or the socket is closed. The
// caller must hold no lock.
func (c *Conn) beginClosing() {
	c.t.StopDelivering()
	c.startHooks()
	if c.group.hooksReturned.IsSet() {
		return
	}
	select {
	case <-c.group.hooksReturned.Done():
	case <-c.t.Closed():
	}
}

// cancelContext cancels the connection's context and starts the hooks of BeforeClose. It does
// not wait for the hooks: the caller may hold locks.
func (c *Conn) cancelContext(cause error) {
	g := &c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	c.endLife(cause)
	c.startHooksLocked()
}

// startHooks starts the hooks of BeforeClose, once, and reports whether this call did so. It
// does not wait for the hooks.
func (c *Conn) startHooks() (first bool) {
	g := &c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	return c.startHooksLocked()
}

// startHooksLocked is startHooks for a caller that holds the mutex of the group. The hooks
// run on a goroutine of their own, because the caller may hold other locks, too.
func (c *Conn) startHooksLocked() (first bool) {
	g := &c.group
	if g.closing {
		return false
	}
	g.closing = true
	hooks := g.beforeClose
	g.beforeClose = nil
	if hooks == nil {
		g.hooksReturned.Set()
		return true
	}
	g.ensureFunctions().running.Go(func() { c.runHooks(hooks) })
	return true
}

// runHooks calls the hooks of BeforeClose. Close frames wait until the hooks return, but no
// longer than a closing handshake may take.
func (c *Conn) runHooks(hooks func()) {
	returned := &c.group.hooksReturned
	defer returned.Set()
	defer func() {
		if c.t.CloseChosen() { // close the queue now, whenever Close goes on
			c.t.CloseQueue()
		}
	}()
	defer c.afterFunc(max(c.GetCloseHandshakeTimeout(), transport.CloseGrace), func() {
		defer returned.Set()
		c.t.Abort()
	}).Stop()
	c.run(func() error {
		hooks()
		return nil
	})
}
