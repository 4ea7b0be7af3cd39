package natsbroker

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/nats-io/nats.go"
)

// A message is what waits to be published.
type message struct {
	subject string
	data    []byte
}

func (m message) size() int { return len(m.subject) + len(m.data) }

// Publish sends a payload to the hubs of other nodes. Nil means that it will be
// published as soon as the connection takes it, in the order of the calls.
//
// Errors are ErrOutgoingFull; one that is nats.ErrMaxPayload, where the payload is too
// big for the server: a Serve that returns it ends its connection with code 1009 (message
// too big); ErrClosed; and one that is nats.ErrConnectionClosed when the connection has
// ended for good.
func (b *Broker) Publish(t hub.Topic, payload []byte) error {
	size := len(b.self) + len(payload)
	if limit := b.maxPayload.Load(); limit > 0 && int64(size) > limit {
		return fmt.Errorf("natsbroker: %w: it has %d bytes with ours, the server takes %d: %w", nats.ErrMaxPayload, size, limit, errTooBig)
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

// errTooBig is how a connection ends whose Serve returns that a message is too big.
var errTooBig = websocket.NewCloseError(websocket.CloseMessageTooBig, "message too big")

// signal says that there is something to do.
func (b *Broker) signal() {
	select {
	case b.work <- struct{}{}:
	default:
	}
}

// send calls the connection with what is asked for, until the Broker or the connection
// is closed.
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

// sendNext hands the connection one thing, and reports whether it may take another one.
// Subscriptions are ahead of messages: there may be answers to those.
func (b *Broker) sendNext() (more bool) {
	select {
	case <-b.abandon:
		return false
	default:
	}
	if s, wanted := b.nextChanged(); s != nil {
		b.tell(survived(func() error { return b.change(s, wanted) }))
		return true
	}
	m, ok := b.first()
	if !ok {
		return false
	}
	err := survived(func() error { return b.nc.Publish(m.subject, m.data) })
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return false // it waits here until there is a connection
	}
	b.removeFirst()
	b.tell(err)
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

// tell tells the connection's error handler what nobody else can be told.
func (b *Broker) tell(err error) {
	switch handle := b.nc.ErrorHandler(); {
	case errors.Is(err, nats.ErrConnectionClosed):
		b.fail()
	case err != nil && handle != nil:
		_ = survived(func() error { // there is nobody else to tell
			handle(b.nc, nil, fmt.Errorf("natsbroker: %w", err))
			return nil
		})
	}
}

// survived calls a function of somebody else's in a goroutine of the Broker. A panic of
// it is an error: a *websocket.PanicError.
func survived(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &websocket.PanicError{Value: p, Stack: debug.Stack()}
		}
	}()
	return f()
}

// fail has everything fail: the connection is closed.
func (b *Broker) fail() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = fmt.Errorf("natsbroker: %w", nats.ErrConnectionClosed)
	}
	b.messages, b.bytes, b.changed = nil, 0, nil
}

// learnMaxPayload asks how much the server takes: each may take another size.
func (b *Broker) learnMaxPayload() { b.maxPayload.Store(b.nc.MaxPayload()) }
