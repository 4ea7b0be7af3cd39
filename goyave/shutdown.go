package websocket

import (
	"context"
	stderrors "errors"
	"net"
	"net/http"

	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/util/errors"
)

// ShutdownAll ends all connections of a server's Upgraders, and then its hubs: new
// upgrades are refused with 503, every client is told 1001 or what its Serve chose, and nil
// is returned when every Serve has returned. When ctx ends or websocket.shutdownTimeout has
// passed, the connections that are left are cut, and an error says how many they were.
//
// The server does this by itself when it stops. But Goyave runs shutdown hooks in the
// order of registration, and an application has registered its own before its routes: if
// one of them closes what Serve uses, such as a connection to a broker, it calls
// ShutdownAll first.
//
//	server.RegisterShutdownHook(func(s *goyave.Server) {
//		if err := websocket.ShutdownAll(context.Background(), s); err != nil {
//			s.Logger.Error(err)
//		}
//		broker.Close()
//	})
//
// Where server.Router() is under an http.Server of the application's own, nothing else
// tells the clients. Where ClearShutdownHooks was called, nothing else waits for them.
//
// It may be called again, also at the same time. There is no way back.
func ShutdownAll(ctx context.Context, server *goyave.Server) error {
	s, ok := lookupService(server)
	if !ok {
		return nil // no route and no hub
	}
	if s.failures.Load() == 0 {
		s.inOrder.Store(true)
	}
	s.begin()
	ctx, cancel := s.bound(ctx)
	defer cancel()
	errs := s.shutDown(ctx) // with the caller's own deadline, before which the clients are told
	if len(errs) > 0 {
		s.told.Do(func() {})
	}
	return errors.New(errs)
}

// bound is how long the shutdown may take.
func (s *service) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if s.timeout > 0 {
		return context.WithTimeout(ctx, s.timeout)
	}
	return context.WithCancel(ctx)
}

// hook is the server's shutdown hook.
func (s *service) hook(*goyave.Server) {
	s.begin()
	<-s.ended
	defer func() { _ = recover() }() // a panic of the logger: nobody can be told, and hooks are to follow
	if err := s.outcome(); err != nil {
		var args []any
		var p *PanicError
		if stderrors.As(err, &p) { // a broker's
			args = []any{"stack", string(p.Stack)}
		}
		s.server.Logger.Error(err, args...)
	}
	if failures := s.failures.Load(); failures > 0 {
		s.server.Logger.Warn("websocket: Serve failed while the server stopped: a shutdown hook that closes what it uses"+
			" has to call websocket.ShutdownAll first", "failures", failures)
	}
}

// watch learns of the server's stop before its hooks run: from the http.Server, which is
// told first. An http.Server of the application's own is none of ours to watch: it may
// be one of several.
func (s *service) watch(request context.Context) {
	if goyave.ServerFromContext(request) != s.server {
		return
	}
	s.watched.Do(func() {
		s.running.Store(true)
		if server, ok := request.Value(http.ServerContextKey).(*http.Server); ok {
			server.RegisterOnShutdown(s.begin)
		}
	})
	if s.stopping() { // too late for that
		s.begin()
	}
}

// stopping reports whether the server stops, as far as one can know: from the very
// beginning, if it has been seen to run.
func (s *service) stopping() bool { return s.running.Load() && !s.server.IsReady() }

// returned is told how a function that belongs to a connection ended. While the server
// stops, that may be due to what the application's hooks have closed, and the client is to
// be told 1001 all the same.
func (s *service) returned(err error) {
	if !s.stopping() {
		return
	}
	if isFailure(err) && !s.inOrder.Load() {
		s.failures.Add(1)
	}
	s.begin()
}

// isFailure reports whether an error says more than that the connection has ended.
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

// begin has every connection end, within the configured time, and waits for none. From
// when it returns, all are marked.
func (s *service) begin() {
	s.begun.Do(func() {
		endpoints, _ := s.all()
		for _, endpoint := range endpoints {
			endpoint.BeginShutdown()
		}
		go s.end()
	})
}

// end waits for the connections. Whoever asks waits for it.
func (s *service) end() {
	defer close(s.ended)
	ctx, cancel := s.bound(context.Background())
	defer cancel()
	s.errs = s.shutDown(ctx)
}

// outcome returns the errors of the shutdown that has ended, unless somebody knows.
func (s *service) outcome() (err error) {
	s.told.Do(func() { err = errors.New(s.errs) })
	return err
}
