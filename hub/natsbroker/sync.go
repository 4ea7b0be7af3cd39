package natsbroker

import (
	"context"
	"time"

	"github.com/goyave-contrib/websocket/hub"
)

// flushTimeout is how long a round trip to the server may take before it is tried again: nats.go
// forgets it when it reconnects.
const flushTimeout = 2 * time.Second

var _ hub.SubscriptionWaiter = (*Broker)(nil)

// A round is one round trip to the server, for all calls of AwaitSubscribed that wait for it.
type round struct {
	done chan struct{}
	err  error // may be read once done is closed
}

// AwaitSubscribed returns nil when the server has all subscriptions that were asked for before: what
// is published to it from now on arrives. While there is no connection, it waits for the next one.
// The error is [ErrClosed], wraps nats.ErrConnectionClosed when the connection has ended for good,
// is that of a subscription that failed, which the next call tries again, or is the cause of ctx. The hub
// calls it.
//
// The other servers of a cluster know a subscription a moment later: it is on its way to them, ahead
// of all that this server sends them afterwards.
func (b *Broker) AwaitSubscribed(ctx context.Context) error {
	r, err := b.nextRound()
	if err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// nextRound returns the round that begins next, behind the subscriptions so far.
func (b *Broker) nextRound() (*round, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return nil, b.err
	}
	if b.next == nil {
		b.next = &round{done: make(chan struct{})}
	}
	if !b.syncing {
		b.syncing = true
		b.sending.Go(b.sync)
	}
	return b.next, nil
}

// sync does rounds until no call waits for one. Many calls at once take few round trips.
func (b *Broker) sync() {
	for {
		b.mu.Lock()
		r := b.next
		b.next = nil
		if r == nil {
			b.syncing = false
			b.mu.Unlock()
			return
		}
		fence := make(chan struct{})
		if r.err = b.err; r.err == nil { // otherwise the sending goroutine does not reach the fence any more
			b.retryFailed()
			b.changed = append(b.changed, &subscription{fence: fence})
			b.signal()
		}
		b.mu.Unlock()
		if r.err == nil {
			r.err = b.roundTrip(fence)
		}
		close(r.done)
	}
}

// roundTrip waits until the sending goroutine has passed the fence, and the server has answered.
func (b *Broker) roundTrip(fence <-chan struct{}) error {
	select {
	case <-fence:
	case <-b.stop:
		return ErrClosed
	}
	if err := b.subscribeFailure(); err != nil {
		return err
	}
	for {
		err := recovered(func() error { return b.nc.FlushTimeout(flushTimeout) })
		switch {
		case err == nil:
			return nil
		case b.failure() != nil:
			return b.failure()
		case b.nc.IsClosed():
			b.fail()
			return b.failure()
		}
		timer := time.NewTimer(flushTimeout / 100)
		select {
		case <-timer.C:
		case <-b.stop:
		}
		timer.Stop()
	}
}

// failure returns why Publish and Subscribe fail, nil while they work.
func (b *Broker) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}
