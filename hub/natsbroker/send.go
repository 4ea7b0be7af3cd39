package natsbroker

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/nats-io/nats.go"
)

// A message waits to be published.
type message struct {
	subject string
	data    []byte
}

func (m message) size() int { return len(m.subject) + len(m.data) }

// Publish queues a payload for the hubs of other nodes. It returns nil once the payload is in the
// queue: it is published as soon as the connection accepts it, in the order of the calls. The
// error is one of
//   - [ErrOutgoingFull]
//   - [ErrClosed]
//   - an error that wraps nats.ErrMaxPayload, when the payload is too big for the server. A
//     Serve that returns it ends its connection with code 1009 (message too big)
//   - an error that wraps nats.ErrConnectionClosed, when the connection has ended for good
func (b *Broker) Publish(t hub.Topic, payload []byte) error {
	size := len(b.self) + len(payload)
	if err := b.checkSize(size); err != nil {
		return err
	}
	m := message{subject: b.subject(t), data: make([]byte, 0, size)}
	m.data = append(append(m.data, b.self[:]...), payload...)

	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	if b.bytes+m.size() > b.outgoing {
		return ErrOutgoingFull
	}
	b.messages = append(b.messages, m)
	b.bytes += m.size()
	b.signal()
	return nil
}

// checkSize returns an error for a message that is too big for the server.
func (b *Broker) checkSize(size int) error {
	if limit := b.maxPayload.Load(); limit > 0 && int64(size) > limit {
		return fmt.Errorf("natsbroker: %w: it has %d bytes with ours, the server takes %d: %w", nats.ErrMaxPayload, size, limit, errTooBig)
	}
	return nil
}

// errTooBig makes a Serve that returns the error of Publish end its connection with 1009.
var errTooBig = websocket.NewCloseError(websocket.CloseMessageTooBig, "message too big")

// signal wakes the sending goroutine.
func (b *Broker) signal() {
	select {
	case b.work <- struct{}{}:
	default:
	}
}

// send runs the queued publishes and changes of subscriptions until the Broker or the connection
// is closed. It is the sending goroutine.
func (b *Broker) send() {
	defer b.nc.RemoveStatusListener(b.status)
	for {
		for b.sendNext() {
		}
		select {
		case <-b.work:
		case <-b.status:
			b.learnMaxPayload()
			if b.nc.IsClosed() {
				b.fail()
				return
			}
		case <-b.stop:
			for b.sendNext() {
			}
			b.unsubscribeAll()
			return
		}
	}
}

// sendNext passes one subscription or message to the connection and reports whether to go on.
// Subscriptions come first, because a message may trigger messages to them.
func (b *Broker) sendNext() (more bool) {
	select {
	case <-b.abandon:
		return false
	default:
	}
	if s, wanted := b.nextChanged(); s != nil {
		b.report(recovered(func() error { return b.change(s, wanted) }))
		return true
	}
	m, ok := b.first()
	if !ok {
		return false
	}
	err := recovered(func() error { return b.nc.Publish(m.subject, m.data) })
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return false // the message stays in the queue until nats.go has reconnected
	}
	b.removeFirst()
	b.report(err)
	return true
}

func (b *Broker) first() (m message, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.messages) == 0 {
		return message{}, false
	}
	return b.messages[0], true
}

func (b *Broker) removeFirst() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bytes -= b.messages[0].size()
	b.messages[0] = message{} // for the garbage collector
	b.messages = b.messages[1:]
}

// report passes an error that has no caller to the connection's error handler.
func (b *Broker) report(err error) {
	switch handle := b.nc.ErrorHandler(); {
	case errors.Is(err, nats.ErrConnectionClosed):
		b.fail()
	case err != nil && handle != nil:
		_ = recovered(func() error { // a panic of the handler can't be reported anywhere
			handle(b.nc, nil, fmt.Errorf("natsbroker: %w", err))
			return nil
		})
	}
}

// recovered calls foreign code in a goroutine of the Broker. It returns a panic as a
// *websocket.PanicError.
func recovered(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &websocket.PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	return f()
}

// fail makes all calls fail from now on, because the connection is closed.
func (b *Broker) fail() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = fmt.Errorf("natsbroker: %w", nats.ErrConnectionClosed)
	}
	for _, s := range b.changed {
		if s.fence != nil {
			close(s.fence)
		}
	}
	b.messages, b.bytes, b.changed = nil, 0, nil
}

// learnMaxPayload reads the size limit of the current server. Servers may have different limits.
func (b *Broker) learnMaxPayload() { b.maxPayload.Store(b.nc.MaxPayload()) }
