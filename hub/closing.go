package hub

import "sync"

// close closes a member's connection in a goroutine that Shutdown waits for. The returned
// channel is closed as soon as the member has left and its Serve receives no more messages.
// Once Shutdown has begun, which closes all connections, close starts nothing and may return
// nil.
func (h *Hub) close(m *Member, code int, reason string) (left <-chan struct{}) {
	h.lifeMu.Lock()
	defer h.lifeMu.Unlock()
	if !h.closed {
		h.closeLocked(m, code, reason)
	}
	return h.closing[m]
}

// closeLocked is close, but also works during Shutdown. A second call for a member does
// nothing. The caller holds lifeMu.
func (h *Hub) closeLocked(m *Member, code int, reason string) {
	if _, ok := h.closing[m]; ok {
		return
	}
	left := make(chan struct{})
	h.closing[m] = left
	h.running.Go(func() {
		hasLeft := sync.OnceFunc(func() {
			m.mu.Lock()
			m.sendingEnded = true // the queue of the connection may take messages for a moment longer
			m.mu.Unlock()
			close(left)
		})
		if !m.conn.BeforeClose(hasLeft) { // it is called after the leave of Join
			m.leave()
			hasLeft()
		}
		_ = m.conn.Close(code, reason) // the connection is closed even if this fails
		m.leave()
		hasLeft() // in case a BeforeClose function ahead of these hangs
		h.lifeMu.Lock()
		defer h.lifeMu.Unlock()
		delete(h.closing, m)
	})
}
