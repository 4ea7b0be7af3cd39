package hub

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Shutdown ends the hub for good: Join fails from now on, every member's connection is closed
// with the ShutdownClose of its Upgrader (code 1001 by default), after the messages that were sent
// to it before, the Observer is told the rest, the other nodes learn that the people of this node are
// gone, and the broker is closed.
// Shutdown returns nil when all of this is done, or the error of the broker's Close. If ctx ends
// first, Shutdown aborts the remaining connections without a close handshake and returns an
// error with their number that wraps the cause of ctx. It may be called several times, also
// concurrently; each call waits in the same way.
//
// Shutdown does not wait for Serve to return. Shut down the Upgrader first: it also sends the
// queued messages and the close frame, and it waits for Serve, so that messages that Serve sends to other
// nodes at its end arrive. Once the hub is shut down, messages to other nodes are dropped
// without an error.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.stopAccepting()
	h.lifeMu.Lock()
	for _, m := range h.everyone.all() {
		code, text := m.conn.ShutdownClose()
		h.closeLocked(m, code, text)
	}
	h.lifeMu.Unlock()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		h.running.Wait()
	}()
	var err error
	select {
	case <-closed:
	case <-ctx.Done():
		if n := h.abort(); n > 0 {
			err = fmt.Errorf("hub: shutdown: connections cut: %d: %w", n, context.Cause(ctx))
		}
		<-closed
	}
	if h.presence != nil {
		if presenceErr := h.presence.roster.Shutdown(ctx); err == nil {
			err = presenceErr
		}
	}
	if waitErr := h.events.wait(ctx); err == nil {
		err = waitErr
	}
	if h.closeBroker != nil {
		h.brokerClosed.Store(true)
		if closeErr := h.closeBroker(); err == nil {
			err = closeErr
		}
	}
	return err
}

// stopAccepting makes Join fail from now on.
func (h *Hub) stopAccepting() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lifeMu.Lock()
	defer h.lifeMu.Unlock()
	h.closed = true
	if h.history != nil {
		h.history.end()
	}
}

// abort closes the sockets of the connections that are being closed, and returns their number.
func (h *Hub) abort() int {
	h.lifeMu.Lock()
	members := slices.Collect(maps.Keys(h.closing))
	h.lifeMu.Unlock()
	for _, m := range members {
		_ = m.conn.CloseNow()
	}
	return len(members)
}
