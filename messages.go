package websocket

import (
	"errors"
	"time"

	"github.com/goyave-contrib/websocket/internal/transport"
)

// RunMessages is Run for a connection that is handled message by message: see
// [MessageController]. It calls open on the new goroutine, and then the MessageHandler that
// open returned. An error or panic of open or of the handler is treated like one of Run's serve.
// Nothing of open is retained once open has returned.
//
// The goroutine ends when the connection is parked: see Options.ParkAfter. When the peer sends
// something, the handler is called on another goroutine.
func (e *Endpoint) RunMessages(conn *Conn, open func() (MessageHandler, error), report func(error)) {
	e.mustHaveAccepted(conn)
	go newMessages(conn, open, report, toParking).serve()
}

// ServeMessages is RunMessages on the caller's goroutine alone: it returns when the connection
// is closed. See [Endpoint.Serve] for its use and its price.
func (e *Endpoint) ServeMessages(conn *Conn, open func() (MessageHandler, error), report func(error)) {
	e.mustHaveAccepted(conn)
	newMessages(conn, open, report, toHandler).serve()
}

// errNoHandler is the failure of an open that returned nothing to serve the connection with.
var errNoHandler = errors.New("websocket: Open returned neither a MessageHandler nor an error")

// messages is the run of a connection that is handled message by message. Its state is here
// and not on a stack, because its goroutine ends when the connection is parked. From then on,
// another goroutine may use it.
type messages struct {
	run
	handler MessageHandler // an opener until it has succeeded
	transport.Parking
}

// An opener stands for the handler that it returns, until it is called.
type opener func() (MessageHandler, error)

// OnMessage is not called.
func (opener) OnMessage(int, []byte) error { return errNoHandler }

func newMessages(conn *Conn, open opener, report func(error), how dispatch) *messages {
	conn.dispatch = how
	return &messages{run: run{conn: conn, report: report}, handler: open}
}

// Wake goes on with a connection that was parked: it is a [transport.Waker].
func (m *messages) Wake() { m.serve() }

// serve handles messages until the connection is parked or ends.
func (m *messages) serve() {
	parked := false
	callRecovering(func() error { return m.guarded(&parked) }, func(err error) {
		if !parked {
			m.end(err)
		}
	})
}

// guarded calls loop as connOptions.guarded would, which would be one more call on the stack of every
// connection that waits.
func (m *messages) guarded(parked *bool) error {
	if guard := m.conn.options.guard; guard != nil {
		return guard(func() error { return m.loop(parked) })
	}
	return m.loop(parked)
}

// loop handles messages. It returns why the connection ends, or nil when it is parked.
func (m *messages) loop(parked *bool) error {
	if open, ok := m.handler.(opener); ok {
		if err := m.begin(open); err != nil {
			return err
		}
	}
	quiet := time.Duration(-1) // never
	if m.conn.dispatch == toParking {
		quiet = m.conn.options.parkAfter
	}
	for {
		// Not by way of ReadSlice: each call is on the stack of every connection that waits.
		messageType, message, err := m.conn.t.ReadOrPark(quiet, m)
		switch {
		case err == transport.ErrParked: //nolint:errorlint // it is never wrapped
			*parked = true
			return nil
		case err != nil:
			return err
		case m.conn.closeRead.Load() != nil:
			return unexpectedFrame
		}
		if err := m.handler.OnMessage(messageType, message); err != nil {
			return err
		}
	}
}

// begin notifies the observer, and opens the connection.
func (m *messages) begin(open opener) error {
	m.handler = nil // it may hold the request
	m.opened()
	if m.conn.t.ShuttingDown() {
		return ErrShutdown // the connection is about to be closed
	}
	handler, err := open()
	if err == nil && handler == nil {
		err = errNoHandler
	}
	if err == nil {
		m.handler = handler
	}
	return err
}

// end ends the connection once the loop has ended with err.
func (m *messages) end(err error) {
	growStack()
	m.conn.t.EndLoan()
	errs := []error{err}
	defer func() { m.complete(errs) }() // also if OnClose calls runtime.Goexit
	if ctrl, ok := m.handler.(CloseHandler); ok {
		callRecovering(func() error { return m.close(ctrl, err) }, func(failure error) { errs = append(errs, failure) })
	}
}

// close calls OnClose within the guard of the options, if there is one.
func (m *messages) close(ctrl CloseHandler, err error) error {
	return m.conn.options.guarded(func() error {
		ctrl.OnClose(err)
		return nil
	})
}
