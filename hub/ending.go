package hub

import (
	"fmt"
	"sync"

	"github.com/goyave-contrib/websocket"
)

// Serve may return the errors of a Hub's and a Member's methods. Those that stand for a decision
// of the hub about the connection wrap a *websocket.CloseError: the connection ends with the
// same close frame, whether the hub or Serve closes it first, and OnError is not called. They
// are websocket.ErrQueueFull (1013), websocket.ErrShutdown (ShutdownClose of the Upgrader) and ErrTooLong (1009).

// ErrTooLong is the error of a message that is longer than [Options].Queue allows for one member.
// It is sent to no member. A Serve that returns it, wrapped or not, ends its connection with
// code 1009 (message too big), and OnError is not called.
var ErrTooLong = fmt.Errorf("hub: message is longer than Options.Queue allows: %w",
	websocket.NewCloseError(websocket.CloseMessageTooBig, "message too big"))

// tooSlowText is the text of the close frame that websocket.ErrQueueFull stands for.
const tooSlowText = "too slow"

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
