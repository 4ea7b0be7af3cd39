package transport

import (
	"context"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
)

// What the connection writes by itself: pings, pongs and heartbeats.

// WriteSoon writes a ping or pong. It waits for its turn for the given time at most, however
// the frame under way goes on, and writes nothing where that is not enough; zero means no
// bound. Its error is that of the write itself, whose bound is WriteTimeout: the caller's
// deadline is for the caller's writes.
func (t *Conn) WriteSoon(opcode byte, payload []byte, wait time.Duration) error {
	turn := unboundedWait()
	if wait > 0 {
		turn.deadline = time.Now().Add(wait)
	}
	if t.lockFrame(&turn) != nil {
		return nil
	}
	defer t.unlockFrame()
	b := t.ownDeadline()
	return t.sendFrame(&b, opcode, payload)
}

// WritePing writes a ping whose payload is asked for when its turn has come. The context
// bounds the wait alone: half a ping would end the connection.
func (t *Conn) WritePing(ctx context.Context, payload func() []byte) error {
	b := t.WriteDeadline(ctx)
	if err := t.lockFrame(&b); err != nil {
		return err
	}
	defer t.unlockFrame()
	b.ctx = context.Background()
	return t.sendFrame(&b, wire.OpPing, payload())
}

// WriteIfQuiet writes a message, unless one is being written or one has left within the
// given time.
func (t *Conn) WriteIfQuiet(quiet time.Duration, opcode byte, payload []byte) error {
	if !t.messageLock.TryLock() {
		return nil
	}
	defer t.unlockMessage()
	if t.Age() < t.LastSent()+quiet {
		return nil
	}
	b := t.ownDeadline()
	return t.WriteFrame(&b, opcode, payload)
}
