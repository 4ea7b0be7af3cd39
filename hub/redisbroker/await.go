package redisbroker

import (
	"context"
	"errors"

	"github.com/goyave-contrib/websocket/hub"
)

var _ hub.SubscriptionWaiter = (*Broker)(nil)

// A round is a round trip to all servers that have subscriptions, for all calls of AwaitSubscribed that
// wait for it.
type round struct {
	done chan struct{}
	err  error // may be read once done is closed
}

// AwaitSubscribed returns nil when Redis has all subscriptions that were asked for before: what
// is published to it from now on arrives. While Redis is away, it waits for it.
// The error is [ErrClosed], wraps redis.ErrClosed when the client has been closed, is Redis' refusal of a
// subscription, or is the cause of ctx. The hub calls it.
//
// Without shards, the other servers of a cluster need no subscription: they pass all messages on.
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
		b.running.Go(b.sync)
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
		b.mu.Unlock()
		r.err = b.roundTrip()
		close(r.done)
	}
}

// roundTrip waits until all subscriptions so far have been routed, and all links have told their servers.
func (b *Broker) roundTrip() error {
	var wait backoff
	for {
		err := b.pass(b.routedFence())
		if err == nil {
			err = b.pass(b.linkFences()...)
		}
		if !errors.Is(err, errMoved) {
			return err
		}
		if !wait.sleep(b.ctx) {
			return ErrClosed
		}
	}
}

// routedFence returns a fence that is passed when all subscriptions so far are on a link.
func (b *Broker) routedFence() *fence {
	b.mu.Lock()
	defer b.mu.Unlock()
	f := &fence{done: make(chan struct{})}
	b.routing = append(b.routing, f)
	signal(b.routeWork)
	return f
}

// linkFences returns a fence for each link.
func (b *Broker) linkFences() (list []*fence) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.links {
		list = append(list, l.fenceLocked())
	}
	return list
}

// pass waits until all fences are passed. It returns the first error.
func (b *Broker) pass(fences ...*fence) (err error) {
	for _, f := range fences {
		select {
		case <-f.done:
		case <-b.stop:
			return ErrClosed
		case <-b.gone:
			return b.failure()
		}
		if err == nil {
			err = f.err
		}
	}
	return err
}
