package hub

import (
	"runtime/debug"

	"github.com/goyave-contrib/websocket"
)

// A strictBroker makes errors of a Broker's panics: it is called by whatever goroutine a
// member leaves in, with locks held, and by Shutdown.
type strictBroker struct{ broker Broker }

var _ Broker = strictBroker{}

func (b strictBroker) Open(receive func(t Topic, payload []byte)) { b.broker.Open(receive) } // for New's caller

func (b strictBroker) Publish(t Topic, payload []byte) (err error) {
	defer survive(&err)
	return b.broker.Publish(t, payload)
}

func (b strictBroker) Subscribe(t Topic) (err error) {
	defer survive(&err)
	return b.broker.Subscribe(t)
}

func (b strictBroker) Unsubscribe(t Topic) (err error) {
	defer survive(&err)
	return b.broker.Unsubscribe(t)
}

func (b strictBroker) Close() (err error) {
	defer survive(&err)
	return b.broker.Close()
}

// survive is to be deferred: it makes an error of a panic.
func survive(err *error) {
	if p := recover(); p != nil {
		*err = &websocket.PanicError{Value: p, Stack: debug.Stack()}
	}
}
