package hub

import (
	"errors"

	"github.com/goyave-contrib/websocket"
)

// deliver sends the member the messages of a pass that it has not received, unless it has
// left in the meantime. If they don't fit into the queue together, it flushes after each
// one, so that the socket can take what it has room for.
func (m *Member) deliver(ms *membership, p *pass) {
	if p.single {
		m.deliverSteps(ms, p.end())
		return
	}
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
	messages := p.messagesFor(m, ms.next, m.isHeld(ms))
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
	if d := &p.deliveries[i]; d.isFor(m) && (!d.isKept() || !m.isHeld(ms)) {
		_ = m.enqueue(d.message) // enqueue counts the message if it does not fit
	}
}

// deliverSteps is deliver for a pass whose messages are enqueued one by one, up to a position in the
// group.
func (m *Member) deliverSteps(ms *membership, end uint32) {
	stepped := false
	for flushed := false; ; {
		more, full := m.step(ms, end, flushed)
		if !more {
			break
		}
		stepped = true
		if flushed = full; full {
			m.conn.Flush() // so that the socket can take what it has room for
		}
	}
	if stepped { // else the pass of another group has been here
		m.conn.Flush()
	}
}

// step delivers one message on the way to a position. It reports whether to go on. If the message
// does not fit into the queue, it is not delivered, unless this was the last attempt.
func (m *Member) step(ms *membership, end uint32, lastAttempt bool) (more, full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left || ms.group == nil {
		return false, false
	}
	return m.stepLocked(ms, end, nil, lastAttempt)
}

func (m *Member) stepLocked(ms *membership, end uint32, l leftovers, lastAttempt bool) (more, full bool) {
	ms, d, ok := m.next(ms, end, l)
	if !ok {
		return false, false
	}
	drops := m.disconnecting || d.isKept() && m.isHeld(ms)
	if !lastAttempt && !drops && m.isFull(&d) {
		return true, true
	}
	if m.advance(ms, &d) && !drops {
		_ = m.enqueueSlow(d.message, d.slow()) // it counts the message if it does not fit
	}
	return true, false
}

// isFull reports whether a message does not fit into the queue now.
func (m *Member) isFull(d *delivery) bool {
	messages, bytes := m.conn.Queued()
	return messages > 0 && !m.hub.options.Queue.Allows(messages+1, bytes+len(d.message.Data())+maxFrameOverhead)
}

// deliverDirect delivers a message of a union to a member that is named itself, behind what was
// sent to groups of the union before, unless the member has reached the message in one of them.
func (m *Member) deliverDirect(d *delivery) {
	for flushed := false; m.approach(d, flushed); flushed = true {
		m.conn.Flush() // so that the socket can take what it has room for
	}
	m.conn.Flush()
}

// approach is deliverDirect until a message does not fit into the queue, which it reports. That
// message is not delivered, unless this was the last attempt.
func (m *Member) approach(d *delivery, lastAttempt bool) (full bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := d.union()
	if !m.left {
		for i := range u.candidates(m) {
			ms, p := u.membership(m, i)
			for more := p != nil && isBefore(ms.next, p.position+1); more; lastAttempt = false {
				if more, full = m.stepLocked(ms, p.position+1, nil, lastAttempt); full {
					return true
				}
			}
		}
	}
	reached := u.direct[m]
	switch {
	case *reached:
		return false
	case !d.isFor(m) || m.sendErrorLocked() != nil: // it is not sent
	case !lastAttempt && m.isFull(d):
		return true
	default:
		_ = m.enqueueSlow(d.message, d.slow())
	}
	*reached = true
	return false
}

// enqueueUndelivered enqueues the undelivered messages of groups that the member leaves, ahead of
// any later message. The caller holds the mutex.
func (m *Member) enqueueUndelivered(l leftovers) {
	for ms, p := range l {
		if p.single {
			for more := true; more; {
				more, _ = m.stepLocked(ms, p.end(), l, true)
			}
			continue
		}
		messages := p.messagesFor(m, ms.next, m.isHeld(ms))
		ms.next = p.end()
		if m.disconnecting || len(messages) == 0 {
			continue
		}
		if err := m.enqueue(messages...); errors.Is(err, websocket.ErrQueueFull) && len(messages) > 1 {
			for _, message := range messages {
				_ = m.enqueue(message) // enqueue counts the message if it does not fit
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
// writes nothing. A member that is disconnecting gets no more, because that would come after a gap.
// The caller holds the mutex.
func (m *Member) enqueue(messages ...*websocket.EncodedMessage) error {
	if m.disconnecting {
		return websocket.ErrQueueFull
	}
	err := m.conn.Enqueue(m.hub.options.Queue, messages...)
	switch {
	case err == nil:
		m.queueFull = false
	case errors.Is(err, websocket.ErrQueueFull) && len(messages) == 1:
		m.handleQueueFull(m.hub.options.WhenFull)
	}
	return err
}

// enqueueSlow is enqueue for one message that may have a slow; s is nil if it has none.
func (m *Member) enqueueSlow(message *websocket.EncodedMessage, s *slow) error {
	if s == nil {
		return m.enqueue(message)
	}
	if m.disconnecting {
		return websocket.ErrQueueFull
	}
	h := m.hub
	policy := h.options.WhenFull
	if s.hasPolicy {
		policy = s.policy
	}
	displaced, err := m.conn.EnqueueReplacing(h.options.Queue, message, s.replacement)
	h.replaced.Add(uint64(displaced.Replaced)) //nolint:gosec // it is not negative
	switch {
	case errors.Is(err, websocket.ErrQueueFull):
		m.handleQueueFull(policy)
	case displaced.Dropped > 0:
		h.dropped.Add(uint64(displaced.Dropped) - 1) //nolint:gosec // it is positive
		m.handleQueueFull(policy)                    // which counts one
	case err == nil:
		m.queueFull = false
	}
	return err
}
