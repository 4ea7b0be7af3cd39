package hub

import (
	"context"
	"fmt"
	"sync"

	"github.com/goyave-contrib/websocket"
)

// Shutdown ends the hub: nobody joins any more, every member's connection is closed
// with code 1001, behind what is queued for it, and the broker is closed. It returns
// nil when all that is done. When ctx ends first, the connections that are left are cut
// and an error says how many they were; it wraps the cause of ctx. There is no way back.
//
// It does not wait for Serve to return: shut down the Upgrader next. That alone would
// also send what is queued, and 1001.
func (h *Hub) Shutdown(ctx context.Context) error {
	h.refuse()
	var closing sync.WaitGroup
	for _, m := range h.everyone.all() {
		closing.Go(func() { _ = m.conn.Close(websocket.CloseGoingAway, "Server shutting down") }) // it is closed in any case
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		closing.Wait()
		h.running.Wait()
	}()
	var err error
	select {
	case <-closed:
	case <-ctx.Done():
		cut := 0
		for _, m := range h.everyone.all() {
			_ = m.conn.CloseNow()
			cut++
		}
		<-closed
		err = fmt.Errorf("hub: shutdown: connections cut: %d: %w", cut, context.Cause(ctx))
	}
	if h.options.Broker != nil {
		if closeErr := h.options.Broker.Close(); err == nil {
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
