package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A soak is one run of the load.
type soak struct {
	seed    uint64
	clients int

	plain, secure *httptest.Server
	dialer        net.Dialer

	current, previous atomic.Pointer[generation] // previous is shutting down; nil if none is
	ledgers           sync.Map                   // of connections, by id
	last              atomic.Uint64              // id

	tally    tally
	problems problems
}

func newSoak(seed uint64, clients int) *soak { return &soak{seed: seed, clients: clients} }

// run applies the load until the time is over or ctx ends, then ends everything.
func (s *soak) run(ctx context.Context, length time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	s.current.Store(newGeneration(s, 0))
	s.plain, s.secure = s.listen(), s.listen()
	s.plain.Start()
	s.secure.StartTLS()
	defer s.plain.Close()
	defer s.secure.Close()

	var generations sync.WaitGroup
	generations.Go(func() { s.replace(ctx) })

	var clients sync.WaitGroup
	for i := range s.clients {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(s.seed, uint64(i))) //nolint:gosec // must be reproducible
			for ctx.Err() == nil {
				if i%2 == 0 {
					s.connect(random, healthy[random.IntN(len(healthy))])
				} else { // some kinds take much longer
					s.connect(random, faults[random.IntN(len(faults))])
				}
			}
		})
	}
	clients.Wait()
	generations.Wait()
}

func (s *soak) listen() *httptest.Server {
	server := httptest.NewUnstartedServer(s)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // for clients that fail during the TLS handshake
	return server
}

// replace starts one generation after another until ctx ends. The last one is shut down with all
// remaining clients.
func (s *soak) replace(ctx context.Context) {
	var generations sync.WaitGroup
	defer generations.Wait()
	random := rand.New(rand.NewPCG(s.seed, 1<<32)) //nolint:gosec // must be reproducible
	for number := 1; ; number++ {
		g, replaced := s.current.Load(), make(chan struct{})
		generations.Go(func() { g.live(ctx, replaced) })
		select {
		case <-ctx.Done():
			close(replaced)
			return
		case <-time.After(time.Second + time.Duration(random.IntN(7000))*time.Millisecond):
		}
		s.current.Store(newGeneration(s, number))
		close(replaced)
	}
}

// connect runs one client.
func (s *soak) connect(random *rand.Rand, k kind) {
	c := &client{
		s: s, l: newLedger(s.last.Add(1), k.name),
		random: random, secure: random.IntN(3) == 0, compress: random.IntN(2) == 0,
	}
	s.ledgers.Store(c.l.id, c.l)
	k.run(c)
	close(c.l.left)
	s.tally.add("client: "+k.name, 1)
}

// report prints what was done.
func (s *soak) report(w io.Writer) {
	s.tally.mu.Lock()
	defer s.tally.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.tally.counts)) {
		_, _ = fmt.Fprintf(w, "%12d  %s\n", s.tally.counts[name], name)
	}
}

var _ http.Handler = (*soak)(nil)
