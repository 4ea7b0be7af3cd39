package natsbroker

import (
	"maps"
	"slices"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/nats-io/nats.go"
)

// A subscription is to a subject. Members that come and go while the connection takes
// nothing change what is wanted, and leave nothing behind.
type subscription struct {
	topic   hub.Topic
	subject string

	wanted, changed bool // guarded by the Broker's mutex; changed: it is among those

	nats *nats.Subscription // what there is; for the goroutine that sends
}

// Subscribe has messages to a topic received. It is for the hub. Its errors are
// ErrClosed, and one that is nats.ErrConnectionClosed.
func (b *Broker) Subscribe(t hub.Topic) error { return b.want(t, true) }

// Unsubscribe ends what Subscribe has begun. It is for the hub, and has the same errors.
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

// wanted returns the topic of a subject, if messages to it are wanted.
func (b *Broker) wanted(subject string) (t hub.Topic, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.subjects[subject]
	if s == nil || !s.wanted {
		return hub.Topic{}, false
	}
	return s.topic, true
}

// nextChanged returns a subscription that is not what is wanted.
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

// change makes a subscription what is wanted.
func (b *Broker) change(s *subscription, wanted bool) error {
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
	if !s.wanted && s.nats == nil && !s.changed {
		delete(b.subjects, s.subject)
	}
	return err
}

// unsubscribeAll leaves nothing behind on the connection.
func (b *Broker) unsubscribeAll() {
	b.mu.Lock()
	all := slices.Collect(maps.Values(b.subjects))
	b.mu.Unlock()
	for _, s := range all {
		if s.nats != nil {
			b.tell(s.nats.Unsubscribe())
		}
	}
}
