package hub

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/goyave-contrib/websocket"
)

// Shutdown ends the hub: nobody joins any more, every member's connection is closed
// with code 1001, behind what was sent to it before, and the broker is closed. It
// returns nil when all that is done. When ctx ends first, the connections that are left
// are cut and an error says how many they were; it wraps the cause of ctx. It may be
// called again, also at the same time. There is no way back.
//
// It does not wait for Serve to return. Shut down the Upgrader first: it also sends what is
// queued, and 1001, and it waits for Serve, so that what Serve sends to other nodes at its
// end arrives. What is sent to them once the hub is shut down is lost, without an error.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.refuse()
	h.life.Lock()
	for _, m := range h.everyone.all() {
		h.closeLocked(m, websocket.CloseGoingAway, "Server shutting down")
	}
	h.life.Unlock()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		h.running.Wait()
	}()
	var err error
	select {
	case <-closed:
	case <-ctx.Done():
		if n := h.cut(); n > 0 {
			err = fmt.Errorf("hub: shutdown: connections cut: %d: %w", n, context.Cause(ctx))
		}
		<-closed
	}
	if h.closeBroker != nil {
		h.offline.Store(true)
		if closeErr := h.closeBroker(); err == nil {
			err = closeErr
		}
	}
	return err
}

// refuse has nobody join any more.
func (h *Hub) refuse() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.life.Lock()
	defer h.life.Unlock()
	h.closed = true
}

// cut cuts the connections that are being closed, and counts them.
func (h *Hub) cut() int {
	h.life.Lock()
	members := slices.Collect(maps.Keys(h.closing))
	h.life.Unlock()
	for _, m := range members {
		_ = m.conn.CloseNow()
	}
	return len(members)
}
