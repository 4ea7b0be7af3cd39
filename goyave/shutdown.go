package websocket

import (
	"context"
	stderrors "errors"
	"net"
	"net/http"
	"time"

	root "github.com/goyave-contrib/websocket"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/util/errors"
)

// ShutdownAll shuts down all Upgraders of a server, and then its hubs. New upgrades are refused
// with 503, and every client gets a close frame with 1001 or the code that its Serve chose. If
// websocket.drainTime is set, the connections are spread over that time, as by [Upgrader.Drain];
// the time begins when the server begins to stop, or with the first ShutdownAll.
//
// ShutdownAll returns nil when every Serve has returned. If ctx ends first, or
// websocket.shutdownTimeout has passed since the end of the drain time, it aborts the remaining
// connections and returns an error with their number.
//
// The server does this by itself when it stops. But Goyave runs shutdown hooks in the order of
// registration, and an application registers its own hooks before its routes. A hook that closes a
// resource that Serve uses, such as a connection to a broker, must call ShutdownAll first.
//
//	server.RegisterShutdownHook(func(s *goyave.Server) {
//		if err := websocket.ShutdownAll(context.Background(), s); err != nil {
//			s.Logger.Error(err)
//		}
//		broker.Close()
//	})
//
// The application must call it, too, if it uses server.Router() in an http.Server of its own,
// because connections are not closed otherwise, and if it calls ClearShutdownHooks, because the
// server does not wait for connections otherwise.
//
// It may be called several times, also concurrently. A shutdown can't be undone.
func ShutdownAll(ctx context.Context, server *goyave.Server) error {
	s, ok := lookupService(server)
	if !ok {
		return nil // no route and no hub
	}
	if s.failures.Load() == 0 {
		s.inOrder.Store(true)
	}
	s.begin()
	ctx, cancel := s.withTimeout(ctx)
	defer cancel()
	errs := s.shutDown(ctx) // clients get their close frames before the caller's own deadline
	if len(errs) > 0 {
		s.reportOnce.Do(func() {})
	}
	return errors.New(errs)
}

// withTimeout limits ctx to the timeout of the shutdown.
func (s *service) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.timeout > 0 {
		return context.WithTimeout(ctx, s.timeout)
	}
	return context.WithCancel(ctx)
}

// hook is the server's shutdown hook.
func (s *service) hook(*goyave.Server) {
	s.begin()
	<-s.ended
	defer func() { _ = recover() }() // a panic of the logger can't be logged, and other hooks must still run
	if err := s.outcome(); err != nil {
		var args []any
		var p *PanicError
		if stderrors.As(err, &p) { // a broker has panicked
			args = []any{"stack", string(p.Stack)}
		}
		s.server.Logger.Error(err, args...)
	}
	if failures := s.failures.Load(); failures > 0 {
		s.server.Logger.Warn("websocket: Serve failed while the server stopped: a shutdown hook that closes what it uses"+
			" has to call websocket.ShutdownAll first", "failures", failures)
	}
}

// watch makes the shutdown begin before the server's hooks run: Goyave shuts its http.Server down
// before them. watch ignores an http.Server of the application's own, which may be one of several.
func (s *service) watch(request context.Context) {
	if goyave.ServerFromContext(request) != s.server {
		return
	}
	s.watchOnce.Do(func() {
		s.running.Store(true)
		if server, ok := request.Value(http.ServerContextKey).(*http.Server); ok {
			server.RegisterOnShutdown(s.begin)
		}
	})
	if s.stopping() { // the http.Server does not call the function any more
		s.begin()
	}
}

// stopping reports whether the server is stopping. That is known from the start of the stop if an
// upgrade has come through the running server.
func (s *service) stopping() bool { return s.running.Load() && !s.server.IsReady() }

// returned is called with the result of each function that belongs to a connection. While the
// server is stopping, the function may have failed because a hook of the application has closed a
// resource; the client must still get 1001, so the shutdown begins here at the latest. The other
// connections would fail as well before their turn, so it is no longer spread over the drain time.
func (s *service) returned(err error) {
	if !s.stopping() {
		return
	}
	failed := isFailure(err) && !s.inOrder.Load()
	if failed {
		s.failures.Add(1)
	}
	s.begin()
	if failed {
		s.hurry()
	}
}

// hurry ends the drain time, if there is one. It must be called before the connection of the caller
// has ended: until then, end does not wait for hurrying.
func (s *service) hurry() {
	if s.drainTime == 0 {
		return
	}
	s.hurryOnce.Do(func() {
		endpoints, _ := s.all()
		for _, endpoint := range endpoints {
			endpoint.BeginShutdown()
		}
		s.hurrying.Go(func() {
			ctx, cancel := s.withTimeout(context.Background())
			defer cancel()
			together(endpoints, func(e *root.Endpoint) error { return e.Shutdown(ctx) }) // Drain returns the same errors
		})
	})
}

// isFailure reports whether err is more than the end of the connection.
func isFailure(err error) bool {
	if err == nil || CloseStatus(err) >= 0 || IsDisconnect(err) {
		return false
	}
	for _, known := range []error{ErrShutdown, ErrCloseSent, context.Canceled, net.ErrClosed} {
		if stderrors.Is(err, known) {
			return false
		}
	}
	return true
}

// begin starts the shutdown, which is limited by the configured time, without waiting for it. When
// it returns, all endpoints refuse upgrades and, unless there is a drain time, are marked as
// shutting down.
func (s *service) begin() {
	s.beginOnce.Do(func() {
		s.drainUntil = time.Now().Add(s.drainTime)
		endpoints, _ := s.all()
		for _, endpoint := range endpoints {
			if s.drainTime > 0 {
				endpoint.BeginDrain()
			} else {
				endpoint.BeginShutdown()
			}
		}
		go s.end()
	})
}

// end completes the shutdown and closes ended.
func (s *service) end() {
	defer close(s.ended)
	ctx, cancel := s.withTimeout(context.Background())
	defer cancel()
	s.errs = s.shutDown(ctx)
	s.hurrying.Wait()
}

// outcome returns the errors of the completed shutdown, unless they have been returned before.
func (s *service) outcome() (err error) {
	s.reportOnce.Do(func() { err = errors.New(s.errs) })
	return err
}
