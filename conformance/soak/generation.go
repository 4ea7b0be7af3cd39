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

// A generation is one Upgrader from its first request to the end of its Shutdown or Drain.
type generation struct {
	s        *soak
	number   int
	upgrader *websocket.Upgrader

	handlers sync.WaitGroup
	written  atomic.Uint64 // messages, by the controllers
	read     atomic.Uint64
	gone     atomic.Uint64 // peers, by the errors that controllers received
	handled  atomic.Int64  // handlers whose OnClose was not called yet

	mu      sync.Mutex
	sealed  bool // no more requests are accepted
	ledgers []*ledger
	conns   []weak.Pointer[websocket.Conn]
	opened  int
	ended   int
	crowd   map[*websocket.Conn]*ledger // the receivers of broadcasts
}

// newGeneration returns a generation whose Upgrader has the default timeouts or, every other time,
// short ones. Two of four generations have a MessageController.
func newGeneration(s *soak, number int) *generation {
	g := &generation{s: s, number: number, crowd: make(map[*websocket.Conn]*ledger)}
	if g.byMessage() {
		g.upgrader = websocket.NewMessages(&messageController{controller{g: g}})
	} else {
		g.upgrader = websocket.New(&controller{g: g})
	}
	g.upgrader.Options = websocket.Options{
		Observer:       &websocket.Observer{Opened: g.tellOpened, Ended: g.tellEnded},
		Logger:         slog.New(alarm{g}),
		AllowedOrigins: []string{"friend.test"},
		CloseTimeout:   3 * time.Second,
		ParkAfter:      2 * time.Millisecond, // often
		DrainClose:     websocket.NewCloseError(websocket.CloseGoingAway, "drained"),
	}
	if number%2 == 0 {
		g.upgrader.PingInterval = time.Second
		g.upgrader.PongTimeout = 8 * time.Second // the machine may be busy
		g.upgrader.WriteTimeout = 5 * time.Second
	}
	g.upgrader.Settings.EnableCompression = true
	return g
}

// byMessage reports whether a MessageController serves the generation.
func (g *generation) byMessage() bool { return g.number%4 > 1 }

// end ends the connections: at once or, every other time, one after the other.
func (g *generation) end(ctx context.Context) error {
	if g.number%2 == 1 {
		g.s.tally.add("generations that were drained", 1)
		return g.upgrader.Drain(ctx, 500*time.Millisecond)
	}
	return g.upgrader.Shutdown(ctx)
}

// An alarm is the log handler of a generation. Whatever the library logs is a bug.
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

// enter counts a request in, unless the generation is sealed.
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

// tellOpened and tellEnded are the observer, which counts.
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

// isClosed reports whether the socket is closed. The garbage collector closes forgotten sockets, so
// that it is not enough to count descriptors at the end.
func isClosed(conn *websocket.Conn) bool {
	return errors.Is(conn.NetConn().SetReadDeadline(time.Time{}), net.ErrClosed)
}

type ledgerKey struct{}

func ledgerOf(ctx context.Context) *ledger {
	return ctx.Value(ledgerKey{}).(*ledger) //nolint:errcheck // it is one
}

// ServeHTTP passes a request to the current Upgrader, or a request of a late client to the Upgrader
// that is shutting down.
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
			if g == s.current.Load() { // the run has ended
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
				if conn.WritePreparedMessage(prepared) == nil { // otherwise the connection is ending
					l.down.wrote("broadcast")
					g.written.Add(1)
				}
			})
		}
		writing.Wait()
	}
}

// live runs the generation: it replaces the one before, serves until it is replaced itself, and
// shuts down. Then it compares all counts, and nothing may be left.
func (g *generation) live(ctx context.Context, replaced <-chan struct{}) {
	broadcasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var broadcaster sync.WaitGroup
	broadcaster.Go(func() { g.broadcast(broadcasting) })
	<-replaced
	g.s.previous.Store(g)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*patience)
	defer cancel()
	if err := g.end(bounded); err != nil {
		g.s.problems.add("generation %d: %v", g.number, err)
	}
	stop()
	broadcaster.Wait()
	g.seal()
	g.audit()
	g.checkReachable()
}

// seal accepts no more requests, and waits for the current ones.
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

// audit compares the counts of the Upgrader with the counts of its clients.
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
			g.s.problems.add("generation %d: %s: the Upgrader counts %d, there were %d", g.number, what, got, want)
		}
	}
	if g.byMessage() {
		g.s.tally.add("generations served message by message", 1)
	}
	equal("open connections", uint64(stats.Open), 0)
	equal("handlers without OnClose", uint64(max(g.handled.Load(), -g.handled.Load())), 0) //nolint:gosec // it is positive
	equal("upgrades", stats.Upgrades, statuses[http.StatusSwitchingProtocols])
	equal("connections that the observer saw begin", uint64(g.opened), stats.Upgrades)
	equal("connections that the observer saw end", uint64(g.ended), stats.Upgrades)
	for _, status := range []int{400, 403, 405, 500, 503} {
		equal("refusals with "+strconv.Itoa(status), stats.Refusals[status], statuses[status])
		g.s.tally.add("refusals", statuses[status])
	}
	equal("messages sent", stats.MessagesSent, g.written.Load())
	for _, code := range []int{1002, 1007, 1009} { // clients that break these rules read up to the close frame
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

// checkReachable checks that no timer, goroutine or other object still refers to a connection.
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
