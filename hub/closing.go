package hub

import (
	"fmt"
	"sync"

	"github.com/goyave-contrib/websocket"
)

// Disconnect closes the connections of all members with a key, with a close frame
// behind what was sent to them. When it returns, those of this node are in no room and no
// list any more, and nothing that they send is read. It does not wait for the closing
// handshakes. A code that may not be sent is an error: see [websocket.ValidCloseCode].
func (h *Hub) Disconnect(key string, code int, reason string) error {
	if !websocket.ValidCloseCode(code) {
		return fmt.Errorf("hub: close code %d may not be sent", code)
	}
	h.disconnect(key, code, reason)
	return h.publish(Topic{Key, key}, func() []byte { return closePayload(code, reason) })
}

func (h *Hub) disconnect(key string, code int, reason string) {
	var all []<-chan struct{}
	for _, m := range h.WithKey(key) {
		if begun := h.close(m, code, reason); begun != nil {
			all = append(all, begun)
		}
	}
	for _, begun := range all {
		<-begun
	}
}

// close closes a member's connection, in a goroutine that Shutdown waits for. It returns a
// channel that is closed as soon as the member has left and its connection is not read
// any more. Once Shutdown has begun, it closes all of them, and close may return nil.
func (h *Hub) close(m *Member, code int, reason string) (begun <-chan struct{}) {
	h.life.Lock()
	defer h.life.Unlock()
	if !h.closed {
		h.closeLocked(m, code, reason)
	}
	return h.closing[m]
}

// closeLocked is close whatever has begun. The mutex life is held.
func (h *Hub) closeLocked(m *Member, code int, reason string) {
	if _, ok := h.closing[m]; ok {
		return
	}
	begun := make(chan struct{})
	h.closing[m] = begun
	h.running.Go(func() {
		hasBegun := sync.OnceFunc(func() { close(begun) })
		if !m.conn.BeforeClose(hasBegun) { // behind that of Join
			m.leave()
			hasBegun()
		}
		_ = m.conn.Close(code, reason) // whatever it says, the connection is closed
		m.leave()
		hasBegun() // also where a function before that of Join hangs
		h.life.Lock()
		defer h.life.Unlock()
		delete(h.closing, m)
	})
}
