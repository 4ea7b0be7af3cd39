package hub_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
)

var errAway = errors.New("broker is away")

// A faultyBroker is a node of a Memory whose deliveries a test holds up, repeats or loses.
type faultyBroker struct {
	hub.HistoryBroker
	mu      sync.Mutex
	wait    time.Duration // of Append and Read
	away    bool
	filter  func(e hub.Entry) (times int) // nil: once
	receive func(hub.Topic, hub.Entry)
	reads   int
	replace func(after hub.Position) error // of Read; nil: none
}

func newFaultyBroker(network *hub.Memory) *faultyBroker {
	return &faultyBroker{HistoryBroker: network.Node().(hub.HistoryBroker)} //nolint:errcheck // it is
}

func (b *faultyBroker) delay(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wait = d
}

func (b *faultyBroker) setAway(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

func (b *faultyBroker) setFilter(filter func(hub.Entry) int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.filter = filter
}

// countReads returns the number of reads since the last call.
func (b *faultyBroker) countReads() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.reads
	b.reads = 0
	return n
}

func (b *faultyBroker) OpenHistory(receive func(hub.Topic, hub.Entry)) {
	b.receive = receive
	b.HistoryBroker.OpenHistory(func(t hub.Topic, e hub.Entry) {
		b.mu.Lock()
		filter := b.filter
		b.mu.Unlock()
		times := 1
		if filter != nil {
			times = filter(e)
		}
		for range times {
			receive(t, e)
		}
	})
}

func (b *faultyBroker) call(ctx context.Context) error {
	b.mu.Lock()
	wait, away := b.wait, b.away
	b.mu.Unlock()
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if away {
		return errAway
	}
	return nil
}

func (b *faultyBroker) Append(ctx context.Context, t hub.Topic, payload []byte, keep hub.Keep) (hub.Entry, error) {
	if err := b.call(ctx); err != nil {
		return hub.Entry{}, err
	}
	return b.HistoryBroker.Append(ctx, t, payload, keep)
}

func (b *faultyBroker) Read(ctx context.Context, t hub.Topic, after hub.Position, limit int) ([]hub.Entry, hub.Position, error) {
	b.mu.Lock()
	b.reads++
	replace := b.replace
	b.mu.Unlock()
	if err := b.call(ctx); err != nil {
		return nil, hub.Position{}, err
	}
	if replace != nil {
		if err := replace(after); err != nil {
			return nil, hub.Position{}, err
		}
	}
	return b.HistoryBroker.Read(ctx, t, after, limit)
}

func (b *faultyBroker) AwaitSubscribed(ctx context.Context) error {
	return b.HistoryBroker.(hub.SubscriptionWaiter).AwaitSubscribed(ctx) //nolint:errcheck // it is
}

// silenceSlog makes slog's default logger write to the returned buffer.
func silenceSlog(t *testing.T) *bytes.Buffer {
	t.Helper()
	var written bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&lockedWriter{w: &written}, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &written
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.w.Write(p)
}
