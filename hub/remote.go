package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

var errTooManyTargets = errors.New("hub: an audience on several nodes has at most 255 targets and rooms")

// connected reports whether there may be other nodes.
func (h *Hub) connected() bool { return h.options.Broker != nil && !h.brokerClosed.Load() }

// publish sends an operation to the members of an audience on other nodes.
func (h *Hub) publish(a Audience, e envelope) error {
	for i := range a.except.n {
		if t := a.except.at(i); !h.isHere(t) {
			e.except = append(e.except, t.name())
		}
	}
	var groups []Topic // rooms, keys, everyone
	nodes := make(map[string][]Topic)
	for i := range a.to.n {
		t := a.to.at(i)
		switch topic := t.name(); {
		case h.isHere(t):
		case topic.Kind == kindMember:
			if node, _ := parseID(topic.Name); node != "" {
				nodes[node] = append(nodes[node], topic)
			}
		case topic.Kind >= KindEveryone && topic.Kind <= KindKey && !slices.Contains(groups, topic):
			groups = append(groups, topic)
		}
	}
	switch {
	case len(groups) == 1 && len(nodes) == 0:
		return h.publishTo(groups[0], e)
	case len(groups) > 0: // one publication, so that each node acts on the audience as a whole
		e.to = groups
		for _, members := range nodes {
			e.to = append(e.to, members...)
		}
		return h.publishTo(Everyone(), e)
	default:
		var errs []error
		for node, members := range nodes {
			e.to = members
			errs = append(errs, h.publishTo(Topic{KindNode, node}, e))
		}
		return errors.Join(errs...)
	}
}

// isHere reports whether a target names a member of this hub, which no other node knows.
func (h *Hub) isHere(t target) bool { return h.number(t) != 0 }

// name returns the target for other nodes.
func (t target) name() Topic {
	if t.hub != nil {
		return ID(formatID(t.hub.node, t.number))
	}
	return t.topic
}

func (h *Hub) publishTo(t Topic, e envelope) error {
	payload, err := e.encode()
	if err == nil {
		err = h.options.Broker.Publish(t, payload)
	}
	if h.brokerClosed.Load() { // closed during the call: a lost message is no error then
		return nil
	}
	return err
}

// A subscribeError is an error of the broker's Subscribe.
type subscribeError struct{ err error }

func (e *subscribeError) Error() string { return e.err.Error() }
func (e *subscribeError) Unwrap() error { return e.err }

func (h *Hub) subscribe(t Topic) error {
	broker := h.subscriber()
	if broker == nil {
		return nil
	}
	if err := broker.Subscribe(t); err != nil {
		return &subscribeError{err}
	}
	return nil
}

func (h *Hub) unsubscribe(t Topic) {
	if broker := h.subscriber(); broker != nil {
		_ = broker.Unsubscribe(t) // the group is gone, so later messages are ignored
	}
}

// subscriber returns the broker that must know what has members on this node; nil for none.
func (h *Hub) subscriber() Broker {
	if h.options.Broker == nil && h.history != nil {
		return h.history.broker
	}
	return h.options.Broker
}

// awaitSubscribed returns when the subscriptions to the member's rooms and key are in effect, or when
// ctx or the connection has ended.
func (m *Member) awaitSubscribed(ctx context.Context) error {
	h := m.hub
	if h.options.Broker == nil {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(m.conn.Context(), func() { cancel(context.Cause(m.conn.Context())) })()
	err := h.options.Broker.(SubscriptionWaiter).AwaitSubscribed(ctx) //nolint:errcheck // New has wrapped it
	if ended := m.sendError(); ended != nil {
		return ended
	}
	if ctx.Err() != nil {
		return fmt.Errorf("hub: waiting for the subscription: %w", context.Cause(ctx))
	}
	if err != nil {
		return &subscribeError{err}
	}
	return nil
}

// receive does what another hub has published. It ignores malformed payloads, because it has no
// caller that could handle an error.
func (h *Hub) receive(t Topic, payload []byte) {
	var e envelope
	if !e.decode(payload) {
		return
	}
	if e.op == opPresence || e.op == opValue || e.op == opGone {
		h.presence.receive(t, e)
		return
	}
	a := Audience{hub: h}
	if len(e.to) == 0 {
		a.to = targets{n: 1, first: target{topic: t}}
	}
	a.to = a.to.withTopics(e.to)
	a.except = a.except.withTopics(e.except)
	switch e.op {
	case opMessage:
		if h.check(e.message) == nil {
			h.deliver(a, e.message)
		}
	case opClose:
		h.disconnect(h.members(a), e.code, e.reason)
	case opJoin:
		_ = h.joinAll(h.members(a), e.rooms)
	case opTake:
		if len(e.to) == 1 && e.to[0].Kind == KindKey {
			e.claim.Key = e.to[0].Name
			h.receiveClaim(e.claim)
		}
	case opLeave:
		for _, m := range h.members(a) {
			m.Leave(e.rooms...)
		}
	}
}
