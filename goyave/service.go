package websocket

import (
	"cmp"
	"context"
	"math"
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

// service holds the endpoints and hubs of a server and shuts them down. It is a Goyave service, so
// that it can be looked up in the server.
type service struct {
	server    *goyave.Server
	drainTime time.Duration // over which the shutdown is spread; 0: it is not
	timeout   time.Duration // the limit of the shutdown, the drain time included; negative: none

	mu        sync.Mutex
	endpoints []*root.Endpoint
	hubs      []*hub.Hub

	watchOnce sync.Once
	running   atomic.Bool // the server was ready: an upgrade has come through it

	beginOnce  sync.Once
	drainUntil time.Time // the end of the drain time; written by beginOnce
	hurryOnce  sync.Once
	hurrying   sync.WaitGroup
	ended      chan struct{} // closed when the shutdown is complete
	errs       []error       // the errors of the shutdown; written before ended is closed
	reportOnce sync.Once     // for errs
	inOrder    atomic.Bool   // the application called ShutdownAll before any failure
	failures   atomic.Int64  // failures while the server stopped, unless inOrder
}

// serviceOf returns the service of a server. The first call registers it and its shutdown hook.
func serviceOf(server *goyave.Server) *service {
	s, ok := lookupService(server)
	if ok {
		return s
	}
	s = &service{
		server:    server,
		drainTime: max(0, configuredSeconds(server.Config(), drainTimeEntry)),
		timeout:   cmp.Or(configuredSeconds(server.Config(), shutdownTimeoutEntry), defaultShutdownTimeout),
		ended:     make(chan struct{}),
	}
	if s.timeout > 0 {
		s.timeout += min(s.drainTime, math.MaxInt64-s.timeout)
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

// all returns the endpoints and hubs to shut down.
func (s *service) all() ([]*root.Endpoint, []*hub.Hub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.endpoints), slices.Clone(s.hubs)
}

// shutDown shuts down all endpoints concurrently, then all hubs. The hubs come last because Serve
// may still send messages to other nodes, for which the broker must be open.
func (s *service) shutDown(ctx context.Context) []error {
	endpoints, hubs := s.all()
	return append(together(endpoints, s.endConnections(ctx)), together(hubs, func(h *hub.Hub) error { return h.Shutdown(ctx) })...)
}

// endConnections returns a function that ends the connections of an endpoint, over what is left of
// the drain time if there is one.
func (s *service) endConnections(ctx context.Context) func(*root.Endpoint) error {
	if s.drainTime == 0 {
		return func(e *root.Endpoint) error { return e.Shutdown(ctx) }
	}
	return func(e *root.Endpoint) error { return e.Drain(ctx, time.Until(s.drainUntil)) }
}

// together shuts down all of them concurrently. It returns a panic, which only a broker of the
// application can cause, as the error of the hub.
func together[T any](all []T, shutDown func(T) error) []error {
	errs := make([]error, len(all))
	var running sync.WaitGroup
	for i, one := range all {
		running.Go(func() {
			defer func() {
				if reason := recover(); reason != nil {
					errs[i] = errors.NewSkip(reason, 4) // skipped: runtime.Callers, NewSkip, this function, runtime.gopanic
				}
			}()
			errs[i] = shutDown(one)
		})
	}
	running.Wait()
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}
