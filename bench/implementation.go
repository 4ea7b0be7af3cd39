package main

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
)

// Settings of every implementation that has them.
const (
	bufferSize     = 4096 // bytes, read and write buffer
	maxMessageSize = serving.MaxMessageSize

	compressionThreshold = serving.CompressionThreshold
)

type mode = serving.Mode

const (
	echo             = serving.Echo
	deflate          = serving.Deflate
	context15        = serving.Context15
	context12        = serving.Context12
	context9         = serving.Context9
	broadcast        = serving.Broadcast
	broadcastContext = serving.BroadcastContext
)

// withoutContext returns the reason for each mode with context takeover.
func withoutContext(why string) map[mode]string {
	return map[mode]string{context15: why, context12: why, context9: why, broadcastContext: why}
}

// An implementation is one way to serve WebSockets. Each is registered by a file of its own.
type implementation struct {
	name   string
	module string   // for its version in the report; empty for raw TCP
	below  []string // modules that it is built on, for their versions in the report
	config string   // how it is configured, for the report
	ours   bool
	raw    bool // does not speak WebSocket: the lower bound of any cost

	// lacks has the reason for each mode that the implementation does not have.
	lacks map[mode]string

	// contextConns is how many connections with context takeover there may be when memory is counted,
	// because of what each takes; 0 means any number.
	contextConns int

	// quietAfter is how long a connection must have been quiet until it takes less memory; 0 means
	// that it never does.
	quietAfter time.Duration

	// serve accepts connections from l until that fails. It is nil if program is set.
	serve func(l net.Listener, m mode) error

	// program serves the implementation, by its name. It is nil if serve is set.
	program *program
}

var implementations []implementation

func register(im implementation) struct{} {
	implementations = append(implementations, im)
	slices.SortFunc(implementations, func(a, b implementation) int {
		if d := a.rank() - b.rank(); d != 0 {
			return d
		}
		return strings.Compare(a.name, b.name)
	})
	return struct{}{}
}

func (im *implementation) rank() int {
	switch {
	case im.ours:
		return 0
	case im.raw:
		return 1
	case im.name == gorillaName:
		return 2
	default:
		return 3
	}
}

func implementationNamed(name string) (implementation, error) {
	for _, im := range implementations {
		if im.name == name && im.program == nil {
			return im, nil
		}
	}
	return implementation{}, fmt.Errorf("bench: no implementation %q", name)
}

// serveHTTP serves the implementations that use net/http.
func serveHTTP(l net.Listener, handler http.HandlerFunc) error {
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	return s.Serve(l)
}

// A set of connections to broadcast to.
type set[C comparable] struct {
	mu      sync.Mutex
	members map[C]struct{}
}

func (s *set[C]) add(c C) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members == nil {
		s.members = make(map[C]struct{})
	}
	s.members[c] = struct{}{}
}

func (s *set[C]) remove(c C) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.members, c)
}

// all returns a copy, so that no caller writes to a socket while it holds the lock.
func (s *set[C]) all() []C {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]C, 0, len(s.members))
	for c := range s.members {
		all = append(all, c)
	}
	return all
}
