package websocket

import (
	"context"
	"sync"
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

// service is the register of a server's endpoints and hubs. It is a Goyave service,
// so that it is found where the server is.
type service struct {
	timeout time.Duration // of the shutdown; negative means none

	mu        sync.Mutex
	endpoints []*root.Endpoint
	hubs      []*hub.Hub
}

// ending is what has a Shutdown: an endpoint, a hub.
type ending interface {
	Shutdown(ctx context.Context) error
}

// serviceOf returns the service of a server. The first call makes it, with the
// shutdown hook.
func serviceOf(server *goyave.Server) *service {
	if found, ok := server.LookupService(serviceName); ok {
		s, ok := found.(*service)
		if !ok {
			panic(errors.Errorf("websocket: another service is named %q", serviceName))
		}
		return s
	}
	s := &service{timeout: configuredSeconds(server.Config(), shutdownTimeoutEntry)}
	if s.timeout == 0 {
		s.timeout = defaultShutdownTimeout
	}
	server.RegisterService(s)
	server.RegisterShutdownHook(s.shutdown)
	return s
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

// shutdown ends the connections of all endpoints, together. The hubs come after them,
// so that what Serve still has to say to members elsewhere finds the broker open.
func (s *service) shutdown(server *goyave.Server) {
	ctx := context.Background()
	if s.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	shutDown(ctx, server, s.endpoints)
	shutDown(ctx, server, s.hubs)
}

// shutDown shuts all of them down, together.
func shutDown[T ending](ctx context.Context, server *goyave.Server, all []T) {
	var running sync.WaitGroup
	for _, one := range all {
		running.Go(func() {
			if err := one.Shutdown(ctx); err != nil {
				server.Logger.Error(errors.New(err))
			}
		})
	}
	running.Wait()
}
