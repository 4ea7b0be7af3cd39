package natsbroker

import (
	"fmt"
	"maps"
	"slices"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/nats-io/nats.go"
)

// A subscription is the wanted and the actual state of one subject. Members may enter and leave
// while the connection accepts nothing: that only changes the wanted state, so no work piles up.
type subscription struct {
	topic   hub.Topic
	subject string

	wanted, changed bool // guarded by the Broker's mutex; changed: it is in Broker.changed

	fence chan<- struct{} // not nil: no subscription, but a place in Broker.changed, closed when it is reached

	err error // why it is not in effect though wanted; guarded by the Broker's mutex

	last entryBefore // the newest entry that has arrived; guarded by the Broker's mutex

	nats *nats.Subscription // the actual state, nil without; only for the sending goroutine
}

// Subscribe asks for the messages of a topic. It does not wait for the server. The hub calls it.
// The error is [ErrClosed], or wraps nats.ErrConnectionClosed when the connection has ended for
// good.
func (b *Broker) Subscribe(t hub.Topic) error { return b.want(t, true) }

// Unsubscribe reverses [Broker.Subscribe]. The hub calls it. It returns the same errors.
func (b *Broker) Unsubscribe(t hub.Topic) error { return b.want(t, false) }

func (b *Broker) want(t hub.Topic, wanted bool) error {
	subject := b.subject(t)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	s := b.subjects[subject]
	if s == nil {
		if !wanted {
			return nil
		}
		s = &subscription{topic: t, subject: subject}
		b.subjects[subject] = s
	}
	s.wanted = wanted
	if !s.changed {
		s.changed = true
		b.changed = append(b.changed, s)
	}
	b.signal()
	return nil
}

// wanted returns the topic of a subject, and whether its messages are wanted.
func (b *Broker) wanted(subject string) (t hub.Topic, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.subjects[subject]
	if s == nil || !s.wanted {
		return hub.Topic{}, false
	}
	return s.topic, true
}

// nextChanged returns the next subscription whose wanted state has changed, nil if there is none.
func (b *Broker) nextChanged() (s *subscription, wanted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.changed) == 0 {
		return nil, false
	}
	s = b.changed[0]
	b.changed[0] = nil
	b.changed = b.changed[1:]
	s.changed = false
	return s, s.wanted
}

// change brings a subscription into the wanted state. Only the sending goroutine calls it.
func (b *Broker) change(s *subscription, wanted bool) error {
	if s.fence != nil {
		close(s.fence)
		return nil
	}
	var err error
	switch {
	case wanted && s.nats == nil:
		s.nats, err = b.nc.ChanSubscribe(s.subject, b.incoming)
	case !wanted && s.nats != nil:
		err = s.nats.Unsubscribe()
		s.nats = nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if wanted && err != nil {
		s.err = err
		b.failed[s] = struct{}{}
	} else {
		s.err = nil
		delete(b.failed, s)
	}
	if !s.wanted && s.nats == nil && !s.changed {
		delete(b.subjects, s.subject)
	}
	return err
}

// retryFailed has subscriptions tried again that failed. The caller holds the mutex.
func (b *Broker) retryFailed() {
	for s := range b.failed {
		if !s.changed {
			s.changed = true
			b.changed = append(b.changed, s)
		}
	}
}

// subscribeFailure returns why a wanted subscription is not in effect, nil if all are.
func (b *Broker) subscribeFailure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.failed {
		if s.wanted {
			return fmt.Errorf("natsbroker: %w", s.err)
		}
	}
	return nil
}

// unsubscribeAll ends all subscriptions, because the connection stays open after Close.
func (b *Broker) unsubscribeAll() {
	b.mu.Lock()
	all := slices.Collect(maps.Values(b.subjects))
	b.mu.Unlock()
	for _, s := range all {
		if s.nats != nil {
			b.report(s.nats.Unsubscribe())
		}
	}
}
