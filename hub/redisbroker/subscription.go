package redisbroker

import (
	"context"
	"fmt"
	"time"

	"github.com/goyave-contrib/websocket/hub"
)

// A subscription is what the hub wants of one topic. Members may enter and leave while Redis is away: that
// only changes the wanted state, so no work piles up.
type subscription struct {
	topic   hub.Topic
	channel string

	// Guarded by the Broker's mutex.
	wanted  bool
	changed bool // it is in Broker.changed
	history bool // its epoch is kept from expiring

	link *link // where the channel is; only for the routing goroutine
}

// Subscribe asks for the messages of a topic. It does not wait for Redis. The hub calls it.
// The error is [ErrClosed], or wraps redis.ErrClosed when the client has been closed.
func (b *Broker) Subscribe(t hub.Topic) error { return b.want(t, true) }

// Unsubscribe reverses [Broker.Subscribe]. The hub calls it. It returns the same errors.
func (b *Broker) Unsubscribe(t hub.Topic) error { return b.want(t, false) }

func (b *Broker) want(t hub.Topic, wanted bool) error {
	channel := b.channel(t)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	s := b.topics[channel]
	if s == nil {
		if !wanted {
			return nil
		}
		s = &subscription{topic: t, channel: channel}
		b.topics[channel] = s
	}
	s.wanted = wanted
	if !s.changed {
		s.changed = true
		b.changed = append(b.changed, s)
	}
	signal(b.routeWork)
	return nil
}

// wanted returns the subscription to a channel, nil if its messages are not wanted.
func (b *Broker) wanted(channel string) *subscription {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.topics[channel]; s != nil && s.wanted {
		return s
	}
	return nil
}

// routeAll decides on which link each subscription is, again and again, until the Broker is closed. It
// is the routing goroutine. It ends all links.
func (b *Broker) routeAll() {
	ticker := time.NewTicker(b.options.PingInterval)
	defer ticker.Stop()
	var wait backoff
	for {
		err := recovered(b.routeChanged)
		switch {
		case b.ctx.Err() != nil:
			return
		case err == nil:
			wait.reset()
			b.outages.end("cluster")
			select {
			case <-b.routeWork:
			case <-ticker.C: // a cluster may have moved channels silently
				b.routeAgain()
			case <-b.stop:
				return
			}
		default:
			b.outages.begin("cluster", err)
			if !wait.sleep(b.ctx) {
				return
			}
		}
	}
}

// routeAgain has all subscriptions routed anew: a cluster may have moved their channels.
func (b *Broker) routeAgain() {
	if b.cluster == nil {
		return
	}
	b.mu.Lock()
	b.route = true
	b.mu.Unlock()
	signal(b.routeWork)
}

// routeChanged routes the subscriptions whose wanted state has changed, or all. An error means that
// some are left.
func (b *Broker) routeChanged() error {
	sharded, err := b.sharded(b.ctx)
	if err != nil {
		return err
	}
	b.mu.Lock()
	list, fences := b.changed, b.routing
	b.changed, b.routing = nil, nil
	for _, s := range list {
		s.changed = false
	}
	if b.route {
		b.route = false
		for _, s := range b.topics {
			if s.link != nil {
				list = append(list, s)
			}
		}
	}
	b.mu.Unlock()

	var errs []error
	for _, s := range list {
		if err := b.routeOne(s, sharded); err != nil {
			errs = append(errs, err)
			b.mu.Lock()
			if !s.changed {
				s.changed = true
				b.changed = append(b.changed, s)
			}
			b.mu.Unlock()
		}
	}
	b.endUnused()
	if len(errs) > 0 {
		b.mu.Lock()
		b.routing = append(b.routing, fences...)
		b.mu.Unlock()
		return fmt.Errorf("redisbroker: the servers of %d channels are unknown: %w", len(errs), errs[0])
	}
	for _, f := range fences {
		f.pass(nil)
	}
	return nil
}

// routeOne puts a subscription on the link that it belongs to.
func (b *Broker) routeOne(s *subscription, sharded bool) error {
	b.mu.Lock()
	wanted := s.wanted
	b.mu.Unlock()
	var l *link
	if wanted {
		var err error
		if l, err = b.linkOf(b.ctx, s.channel, sharded); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.wanted != wanted {
		return nil // it has changed again, and is in b.changed
	}
	if s.link != nil && s.link != l {
		s.link.changeLocked(s.channel, false)
	}
	if s.link = l; l != nil {
		l.changeLocked(s.channel, true)
	} else if b.topics[s.channel] == s {
		delete(b.topics, s.channel)
	}
	return nil
}

// linkOf returns the link to the server that has a channel.
func (b *Broker) linkOf(ctx context.Context, channel string, sharded bool) (*link, error) {
	address := ""
	var client subscriber = b.client
	if sharded {
		node, err := b.cluster.MasterForKey(ctx, channel)
		if err != nil {
			return nil, err
		}
		address, client = node.Options().Addr, node
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.links[address]
	if l == nil {
		l = newLink(b, address, sharded)
		b.links[address] = l
		b.running.Go(l.run)
	}
	l.client = client
	return l, nil
}

// endUnused ends the links that have no channel any more. Without shards there is one, which stays.
func (b *Broker) endUnused() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for address, l := range b.links {
		if address != "" && len(l.channels) == 0 {
			l.endLocked()
			delete(b.links, address)
		}
	}
}
