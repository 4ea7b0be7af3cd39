package hub

import (
	"errors"

	"github.com/goyave-contrib/websocket"
)

// deliver sends the member the messages of a pass that it has not received, unless it has
// left in the meantime. If they don't fit into the queue together, it flushes after each
// one, so that the socket can take what it has room for.
func (m *Member) deliver(ms *membership, p *pass) {
	enqueued, done := m.enqueueTogether(ms, p)
	if enqueued {
		m.conn.Flush()
	}
	if done {
		return
	}
	for position := p.start; position != p.end(); position++ {
		m.enqueueOne(ms, p, position)
		m.conn.Flush()
	}
}

// enqueueTogether enqueues the messages of a pass in one call. It reports whether to flush,
// and whether the pass is done for this member: it is not if there are several messages
// that do not fit together.
func (m *Member) enqueueTogether(ms *membership, p *pass) (flush, done bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left || ms.group == nil || p.index(ms.next) == len(p.deliveries) {
		return false, true
	}
	messages := p.messagesFor(m, ms.next)
	if m.disconnecting || len(messages) == 0 {
		ms.next = p.end()
		return false, true
	}
	if err := m.enqueue(messages...); errors.Is(err, websocket.ErrQueueFull) && len(messages) > 1 {
		return true, false
	}
	ms.next = p.end()
	return true, true
}

// enqueueOne enqueues the message at a position, unless the member has received it.
func (m *Member) enqueueOne(ms *membership, p *pass, position uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := p.index(position)
	if m.left || ms.group == nil || p.index(ms.next) > i {
		return
	}
	ms.next = position + 1
	if d := p.deliveries[i]; !m.disconnecting && d.isFor(m) {
		_ = m.enqueue(d.message) // enqueue counts the message if it does not fit
	}
}

// enqueueUndelivered enqueues the undelivered messages of groups that the member leaves,
// ahead of any later message. The caller holds the mutex.
func (m *Member) enqueueUndelivered(passes []*pass) {
	for _, p := range passes {
		messages := p.messagesFor(m, p.start)
		if m.disconnecting || len(messages) == 0 {
			continue
		}
		if err := m.enqueue(messages...); errors.Is(err, websocket.ErrQueueFull) && len(messages) > 1 {
			for _, message := range messages {
				if !m.disconnecting {
					_ = m.enqueue(message) // enqueue counts the message if it does not fit
				}
			}
		}
	}
}

// catchUp delivers the undelivered messages of the selected groups, as a pass would. A
// member that leaves calls it before it takes the locks that other goroutines need, under
// which little or nothing remains to be delivered then.
func (m *Member) catchUp(selected selector) {
	for ms, undelivered := range m.undelivered(selected) {
		m.deliver(ms, undelivered)
	}
}

// undelivered returns the undelivered messages of the selected groups, nil if there are none.
func (m *Member) undelivered(selected selector) (passes map[*membership]*pass) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return nil
	}
	for _, ms := range selected(m) {
		if p := ms.group.undelivered(ms); p != nil {
			if passes == nil {
				passes = make(map[*membership]*pass)
			}
			passes[ms] = p
		}
	}
	return passes
}

// enqueue adds messages to the connection's queue: all of them or, with an error, none. It
// writes nothing. The caller holds the mutex.
func (m *Member) enqueue(messages ...*websocket.EncodedMessage) error {
	err := m.conn.Enqueue(m.hub.options.Queue, messages...)
	switch {
	case err == nil:
		m.queueFull = false
	case errors.Is(err, websocket.ErrQueueFull) && len(messages) == 1:
		m.handleQueueFull()
	}
	return err
}
