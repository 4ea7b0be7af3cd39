package transport

import (
	"context"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
)

// This file has what the layer above writes on its own behalf: pings, pongs and heartbeats.

// WriteSoon writes a ping or pong. It waits for frameLock for the given time at most, whatever
// progress the frame under way makes, and otherwise writes nothing and returns nil. Zero means
// no bound. The write itself is bounded by Config.WriteTimeout, and its error is returned:
// SetWriteDeadline is for the application's writes.
func (t *Conn) WriteSoon(opcode byte, payload []byte, wait time.Duration) error {
	lockWait := unboundedWait()
	if wait > 0 {
		lockWait.deadline = time.Now().Add(wait)
	}
	if t.lockFrame(&lockWait) != nil {
		return nil
	}
	defer t.unlockFrame()
	b := t.ownDeadline()
	return t.sendFrame(&b, opcode, payload)
}

// WritePing writes a ping. It calls payload once frameLock is held. The context bounds the wait
// for the lock alone: to interrupt the write would end the connection.
func (t *Conn) WritePing(ctx context.Context, payload func() []byte) error {
	b := t.WriteDeadline(ctx)
	if err := t.lockFrame(&b); err != nil {
		return err
	}
	defer t.unlockFrame()
	b.ctx = context.Background()
	return t.sendFrame(&b, wire.OpPing, payload())
}

// WriteIfQuiet writes a message, unless one is being written, or one was sent within the given
// time. It returns nil then.
func (t *Conn) WriteIfQuiet(quiet time.Duration, opcode byte, payload []byte) error {
	if !t.messageLock.TryLock() {
		return nil
	}
	defer t.unlockMessage()
	if t.Age() < t.LastSent()+quiet {
		return nil
	}
	b := t.ownDeadline()
	return t.writeFrame(&b, opcode, payload)
}
