package websocket

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	root "github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/util/errors"
)

const (
	serviceName            = "goyave-contrib.websocket"
	defaultShutdownTimeout = 15 * time.Second
)

// service is the register of a server's endpoints and hubs, and ends their connections.
// It is a Goyave service, so that it is found where the server is.
type service struct {
	server  *goyave.Server
	timeout time.Duration // of the shutdown; negative means none

	mu        sync.Mutex
	endpoints []*root.Endpoint
	hubs      []*hub.Hub

	watched sync.Once   // the server that runs
	running atomic.Bool // an upgrade came through it: it was ready

	begun    sync.Once
	ended    chan struct{} // closed when nothing is left to wait for
	errs     []error       // of the shutdown; written before ended is closed
	told     sync.Once     // the errors are
	inOrder  atomic.Bool   // the application called ShutdownAll before anything failed
	failures atomic.Int64  // while the server stopped, and not in order
}

// serviceOf returns the service of a server. The first call makes it, with the
// shutdown hook.
func serviceOf(server *goyave.Server) *service {
	s, ok := lookupService(server)
	if ok {
		return s
	}
	s = &service{
		server:  server,
		timeout: configuredSeconds(server.Config(), shutdownTimeoutEntry),
		ended:   make(chan struct{}),
	}
	if s.timeout == 0 {
		s.timeout = defaultShutdownTimeout
	}
	server.RegisterService(s)
	server.RegisterShutdownHook(s.hook)
	return s
}

// lookupService returns the service of a server, if there is one.
func lookupService(server *goyave.Server) (s *service, ok bool) {
	found, ok := server.LookupService(serviceName)
	if !ok {
		return nil, false
	}
	s, ok = found.(*service)
	if !ok {
		panic(errors.Errorf("websocket: another service is named %q", serviceName))
	}
	return s, true
}

// Name implements goyave.Service.
func (*service) Name() string { return serviceName }

func (s *service) add(endpoint *root.Endpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endpoints = append(s.endpoints, endpoint)
}

func (s *service) addHub(h *hub.Hub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hubs = append(s.hubs, h)
}

// all returns what there is to shut down.
func (s *service) all() ([]*root.Endpoint, []*hub.Hub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.endpoints), slices.Clone(s.hubs)
}

// ending is what has a Shutdown: an endpoint, a hub.
type ending interface {
	Shutdown(ctx context.Context) error
}

// shutDown ends the connections of all endpoints, together. The hubs come after them,
// so that what Serve still has to say to members elsewhere finds the broker open.
func (s *service) shutDown(ctx context.Context) []error {
	endpoints, hubs := s.all()
	return append(together(ctx, endpoints), together(ctx, hubs)...)
}

// together shuts all of them down at the same time. A panic, which only an application's
// own broker brings about, is the error of its hub, and no end of the process.
func together[T ending](ctx context.Context, all []T) []error {
	errs := make([]error, len(all))
	var running sync.WaitGroup
	for i, one := range all {
		running.Go(func() {
			defer func() {
				if reason := recover(); reason != nil {
					errs[i] = errors.NewSkip(reason, 4) // skipped: runtime.Callers, NewSkip, this function, runtime.gopanic
				}
			}()
			errs[i] = one.Shutdown(ctx)
		})
	}
	running.Wait()
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}
