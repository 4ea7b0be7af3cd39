package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/goyave-contrib/websocket"
)

// A generation is one Upgrader from its first request to the end of its Shutdown.
type generation struct {
	s        *soak
	number   int
	upgrader *websocket.Upgrader

	handlers sync.WaitGroup
	written  atomic.Uint64 // messages, by the controllers
	read     atomic.Uint64
	gone     atomic.Uint64 // peers, as the controllers were told

	mu      sync.Mutex
	sealed  bool // no request comes any more
	ledgers []*ledger
	conns   []weak.Pointer[websocket.Conn]
	opened  int
	ended   int
	crowd   map[*websocket.Conn]*ledger // who gets what is broadcast
}

// newGeneration has an Upgrader with the timeouts of a server or, every other time,
// short ones.
func newGeneration(s *soak, number int) *generation {
	g := &generation{s: s, number: number, crowd: make(map[*websocket.Conn]*ledger)}
	g.upgrader = websocket.New(&controller{g: g})
	g.upgrader.Options = websocket.Options{
		Observer:       &websocket.Observer{Opened: g.tellOpened, Ended: g.tellEnded},
		Logger:         slog.New(alarm{g}),
		AllowedOrigins: []string{"friend.test"},
		CloseTimeout:   3 * time.Second,
	}
	if number%2 == 0 {
		g.upgrader.PingInterval = time.Second
		g.upgrader.PongTimeout = 8 * time.Second // a machine may have other things to do
		g.upgrader.WriteTimeout = 5 * time.Second
	}
	g.upgrader.Settings.EnableCompression = true
	return g
}

// An alarm is the handler of a generation's log: what it is told are bugs.
type alarm struct{ g *generation }

func (alarm) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }
func (a alarm) WithAttrs([]slog.Attr) slog.Handler             { return a }
func (a alarm) WithGroup(string) slog.Handler                  { return a }

func (a alarm) Handle(_ context.Context, record slog.Record) error {
	expected := false
	attrs := []string{record.Message}
	record.Attrs(func(attr slog.Attr) bool {
		if err, ok := attr.Value.Any().(error); ok {
			expected = isExpectedPanic(err)
		}
		attrs = append(attrs, attr.String())
		return true
	})
	if !expected {
		a.g.s.problems.add("logged: %s", strings.Join(attrs, " "))
	}
	return nil
}

// enter takes a request in, unless it comes too late.
func (g *generation) enter(l *ledger) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.sealed {
		return false
	}
	g.handlers.Add(1)
	g.ledgers = append(g.ledgers, l)
	return true
}

// tellOpened and tellEnded are the observer: they count.
func (g *generation) tellOpened(conn *websocket.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened++
	g.conns = append(g.conns, weak.Make(conn))
}

func (g *generation) tellEnded(conn *websocket.Conn, _ websocket.Ending) {
	g.mu.Lock()
	g.ended++
	g.mu.Unlock()
	l := ledgerOf(conn.Context())
	if !isClosed(conn) {
		g.s.problems.add("%s %d: the server's socket is not closed", l.kind, l.id)
	}
	close(l.ended)
}

// isClosed reports whether the socket is. One that is not would be by the garbage
// collector: counting descriptors at the end is not enough.
func isClosed(conn *websocket.Conn) bool {
	return errors.Is(conn.NetConn().SetReadDeadline(time.Time{}), net.ErrClosed)
}

type ledgerKey struct{}

func ledgerOf(ctx context.Context) *ledger {
	return ctx.Value(ledgerKey{}).(*ledger) //nolint:errcheck // it is one
}

// ServeHTTP hands a request to the Upgrader of the moment, a late one to the one that
// shuts down.
func (s *soak) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.ParseUint(r.URL.Query().Get("id"), 10, 64)
	found, ok := s.ledgers.Load(id)
	if !ok {
		http.NotFound(w, r)
		return
	}
	l := found.(*ledger) //nolint:errcheck // it is one
	g := s.previous.Load()
	if !r.URL.Query().Has("late") || g == nil || !g.enter(l) {
		for g = s.current.Load(); !g.enter(l); g = s.current.Load() {
			if g == s.current.Load() { // all is over
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
		}
	}
	defer g.handlers.Done()
	defer func() {
		if p := recover(); p != nil {
			s.problems.add("%s %d: the upgrade panicked: %v", l.kind, l.id, p)
		}
	}()
	g.upgrader.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), ledgerKey{}, l)))
}

// broadcast writes prepared messages to the crowd until ctx ends.
func (g *generation) broadcast(ctx context.Context) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for number := uint64(0); ; number++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, fmt.Appendf(nil, "broadcast %d", number))
		if err != nil {
			g.s.problems.add("preparing a message: %v", err)
			return
		}
		g.mu.Lock()
		crowd := maps.Clone(g.crowd)
		g.mu.Unlock()
		var writing sync.WaitGroup
		for conn, l := range crowd {
			writing.Go(func() {
				if conn.WritePreparedMessage(prepared) == nil { // otherwise it is ending
					l.down.wrote("broadcast")
					g.written.Add(1)
				}
			})
		}
		writing.Wait()
	}
}

// live replaces the generation before, lives for a while, until it is replaced, and
// comes to its end: all that was counted is compared and nothing may be left.
func (g *generation) live(ctx context.Context, replaced <-chan struct{}) {
	broadcasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var broadcaster sync.WaitGroup
	broadcaster.Go(func() { g.broadcast(broadcasting) })
	<-replaced
	g.s.previous.Store(g)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*patience)
	defer cancel()
	if err := g.upgrader.Shutdown(bounded); err != nil {
		g.s.problems.add("generation %d: %v", g.number, err)
	}
	stop()
	broadcaster.Wait()
	g.seal()
	g.audit()
	g.checkReachable()
}

// seal waits for what is under way and lets nothing more in.
func (g *generation) seal() {
	g.s.previous.CompareAndSwap(g, nil)
	g.mu.Lock()
	g.sealed = true
	g.mu.Unlock()
	g.handlers.Wait()
	timeout := time.After(2 * patience)
	for _, l := range g.ledgers {
		select {
		case <-l.left:
		case <-timeout:
			g.s.problems.add("%s %d: the client does not come to an end", l.kind, l.id)
			return
		}
	}
}

// audit compares what the Upgrader counted with what its clients saw.
func (g *generation) audit() {
	stats := g.upgrader.Stats()
	statuses, codes := make(map[int]uint64), make(map[int]uint64)
	for _, l := range g.ledgers {
		l.judge(g.s.problems.add)
		l.set(func() {
			statuses[l.status]++
			if l.code != 0 {
				codes[l.code]++
			}
		})
		sent, received := l.down.total()
		g.s.tally.add("messages to clients", sent)
		g.s.tally.add("messages to clients that were checked", received)
		sent, received = l.up.total()
		g.s.tally.add("messages of clients", sent)
		g.s.tally.add("messages of clients that were checked", received)
	}
	g.s.tally.add("generations", 1)
	g.s.tally.add("connections", stats.Upgrades)
	equal := func(what string, got, want uint64) {
		if got != want {
			g.s.problems.add("generation %d: %s: the Upgrader counts %d, it were %d", g.number, what, got, want)
		}
	}
	equal("open connections", uint64(stats.Open), 0)
	equal("upgrades", stats.Upgrades, statuses[http.StatusSwitchingProtocols])
	equal("connections that the observer saw begin", uint64(g.opened), stats.Upgrades)
	equal("connections that the observer saw end", uint64(g.ended), stats.Upgrades)
	for _, status := range []int{400, 403, 405, 500, 503} {
		equal("refusals with "+strconv.Itoa(status), stats.Refusals[status], statuses[status])
		g.s.tally.add("refusals", statuses[status])
	}
	equal("messages sent", stats.MessagesSent, g.written.Load())
	for _, code := range []int{1002, 1007, 1009} { // whose clients read on until they have it
		equal("close frames with "+strconv.Itoa(code), stats.CloseSent[code], codes[code])
	}
	atLeast := func(what string, got, want uint64) {
		if got < want {
			equal(what, got, want)
		}
	}
	for _, code := range []int{1000, 1001, 1011} {
		atLeast("close frames with "+strconv.Itoa(code), stats.CloseSent[code], codes[code])
	}
	atLeast("peers gone", stats.PeersGone, g.gone.Load())
	atLeast("messages received", stats.MessagesReceived, g.read.Load())
	g.s.tally.add("peers gone", stats.PeersGone)
}

// checkReachable checks that nothing holds a connection any more, which a timer that
// is set would, and a goroutine.
func (g *generation) checkReachable() {
	conns := g.conns
	for _, l := range g.ledgers {
		conns = append(conns, l.client)
	}
	ids := g.ledgers
	g.ledgers, g.conns, g.crowd = nil, nil, nil
	for _, l := range ids {
		g.s.ledgers.Delete(l.id)
	}
	left := 0
	for range 20 {
		runtime.GC()
		left = 0
		for _, conn := range conns {
			if conn.Value() != nil {
				left++
			}
		}
		if left == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	g.s.problems.add("generation %d: %d of %d connections are still held by something", g.number, left, len(conns))
}
