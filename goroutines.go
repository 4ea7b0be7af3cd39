package websocket

import (
	"context"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket/internal/xsync"
)

// recovered calls f and then done with its error, a *PanicError if f panics or
// leaves by Goexit, which goes on when done returns.
func recovered(f func() error, done func(error)) {
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

// survived calls a function and returns its panic, a *PanicError, if there was one.
func survived(f func()) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = newPanicError(value)
		}
	}()
	f()
	return nil
}

// inTurn calls all functions, one after the other. None is left out, whatever another
// one does. Told is told of panics, and survived too.
func inTurn(told func(error), functions ...func()) {
	if len(functions) == 0 {
		return
	}
	defer inTurn(told, functions[1:]...) // also after a Goexit
	if failure := survived(functions[0]); failure != nil {
		_ = survived(func() { told(failure) })
	}
}

// guard calls a function that runs where there is nobody to recover it: a panic is one of
// the connection's.
func (c *Conn) guard(f func()) {
	recovered(func() error {
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

// group is the functions of a connection: those that were started with Conn.Go, and
// what is to be called before it is closed.
type group struct {
	running sync.WaitGroup
	mu      sync.Mutex
	errs    []error     // since the last time somebody asked
	stopped bool        // Serve has returned
	closing bool        // the connection has begun to end
	before  func()      // what BeforeClose was given; nil without, and when it is called
	begun   xsync.Event // before has returned, or there was nothing to call
}

// Go calls f in a goroutine that belongs to the connection. Its context is the
// connection's, and f must return soon after that has ended; the end of Serve
// waits for it. If f returns an error or panics, the connection is ended as if
// Serve had: reads fail, the context is canceled, and when Serve has returned
// the first error counts. Where f returns the error of a write that failed because the
// peer hung up, reads go on: see [Conn]. A loop that only writes is started like this:
//
//	conn.Go(func(ctx context.Context) error { return pump(ctx, conn) })
//
// It may be called from any goroutine. Go returns false, and f is not called, once Serve
// has returned.
func (c *Conn) Go(f func(ctx context.Context) error) bool {
	g := &c.group
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return false
	}
	g.running.Go(func() { c.run(func() error { return f(c.Context()) }) })
	return true
}

// run calls a function that belongs to the connection.
func (c *Conn) run(f func() error) {
	recovered(func() error {
		if guard := c.options.guard; guard != nil {
			return guard(f)
		}
		return f()
	}, c.goroutineEnded)
}

// goroutineEnded ends the connection if a function that belongs to it failed.
func (c *Conn) goroutineEnded(err error) {
	if err == nil {
		return
	}
	g := &c.group
	g.mu.Lock()
	g.errs = append(g.errs, err)
	serving := !g.stopped
	g.mu.Unlock()
	if serving && !c.merelyHungUp(err) { // reads find out by themselves how that ended
		unreached := c.failReads(err)
		c.cancelContext(err)
		c.t.FailUnreached("read", err, unreached)
	}
}

// failReads makes the waiting read and every later one fail. Its own error says that the
// waiting one was not reached.
func (c *Conn) failReads(err error) error { return c.t.FailReads(err) }

// stop says that Serve has returned, and returns the errors so far.
func (g *group) stop() []error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = true
	return g.take()
}

// wait waits for the functions that still run and returns their errors.
func (g *group) wait() []error {
	g.running.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.take()
}

func (g *group) take() []error {
	errs := g.errs
	g.errs = nil
	return errs
}
