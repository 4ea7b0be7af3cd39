package hub

import (
	"errors"

	"github.com/goyave-contrib/websocket"
)

// deliver has the member get the messages of a round that it has not got yet, unless it
// has left meanwhile.
func (m *Member) deliver(place *membership, r *round) {
	some, fit := m.enqueueTogether(place, r)
	if some {
		m.conn.Flush()
	}
	if fit {
		return
	}
	for position := r.begin; position != r.end(); position++ { // between them, the socket takes what it can
		m.enqueueOne(place, r, position)
		m.conn.Flush()
	}
}

// enqueueTogether enqueues the messages of a round. It reports whether there are some,
// and whether they are dealt with: not if they are more than fit at once.
func (m *Member) enqueueTogether(place *membership, r *round) (some, dealtWith bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left || place.group == nil || r.had(place.seen) == len(r.deliveries) {
		return false, true
	}
	messages := r.messagesFor(m, place.seen)
	if m.slow || len(messages) == 0 {
		place.seen = r.end()
		return false, true
	}
	if err := m.enqueue(messages...); errors.Is(err, websocket.ErrQueueFull) && len(messages) > 1 {
		return true, false
	}
	place.seen = r.end()
	return true, true
}

// enqueueOne enqueues the message at a position, if the member has not got it yet.
func (m *Member) enqueueOne(place *membership, r *round, position uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := r.had(position)
	if m.left || place.group == nil || r.had(place.seen) > at {
		return
	}
	place.seen = position + 1
	if d := r.deliveries[at]; !m.slow && d.isFor(m) {
		_ = m.enqueue(d.message) // counted there
	}
}

// enqueueRests enqueues what is left of groups that the member leaves: all of it at
// once, whatever else comes then. The mutex is held.
func (m *Member) enqueueRests(rests []*round) {
	for _, r := range rests {
		messages := r.messagesFor(m, r.begin)
		if m.slow || len(messages) == 0 {
			continue
		}
		if err := m.enqueue(messages...); errors.Is(err, websocket.ErrQueueFull) && len(messages) > 1 {
			for _, message := range messages {
				if !m.slow {
					_ = m.enqueue(message) // counted there
				}
			}
		}
	}
}

// catchUp has the member get what is under way to it in its places, as a round would:
// when it leaves then, with locks held that others need, little or nothing is left.
func (m *Member) catchUp(find finder) {
	for place, rest := range m.behind(find) {
		m.deliver(place, rest)
	}
}

// behind returns what the member has not got yet, nil if that is nothing.
func (m *Member) behind(find finder) (rests map[*membership]*round) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return nil
	}
	for _, place := range find(m) {
		if rest := place.group.rest(place); rest != nil {
			if rests == nil {
				rests = make(map[*membership]*round)
			}
			rests[place] = rest
		}
	}
	return rests
}

// enqueue has messages wait to be written to the connection: all of them or, with an
// error, none. The mutex is held; nothing is written.
func (m *Member) enqueue(messages ...*websocket.EncodedMessage) error {
	err := m.conn.Enqueue(m.hub.options.Queue, messages...)
	switch {
	case err == nil:
		m.full = false
	case errors.Is(err, websocket.ErrQueueFull) && len(messages) == 1:
		m.refuse()
	}
	return err
}
