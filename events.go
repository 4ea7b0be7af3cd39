package websocket

// connEvents is a Conn as its transport sees it: what it is told is no part of the API.
type connEvents Conn

func (e *connEvents) CancelContext(cause error) { (*Conn)(e).cancelContext(cause) }

func (e *connEvents) Guard(f func()) { (*Conn)(e).guard(f) }

// SocketClosing takes back the timer of the keep-alive: there is nothing to ping.
func (e *connEvents) SocketClosing() { e.keepalive.timer.Cancel() }

// Control has a ping or pong handled. A handler that could not write has not failed
// where the peer hung up: what else had come is still to be read.
func (e *connEvents) Control(messageType int, data string) error {
	var err error
	if messageType == PingMessage {
		err = e.Conn.PingHandler()(data)
	} else {
		err = e.Conn.PongHandler()(data)
	}
	if (*Conn)(e).merelyHungUp(err) {
		return nil
	}
	return err
}

// PeerClosed answers the peer's close frame, after the caller's handler, and closes the
// socket: nothing more can come or go. Going through gorilla's getter, it also runs a
// handler that was set on the embedded connection.
func (e *connEvents) PeerClosed(ce *CloseError) error {
	err := e.Conn.CloseHandler()(ce.Code, ce.Text)
	e.t.AnswerClose(ce)
	if (*Conn)(e).merelyHungUp(err) {
		return nil
	}
	return err
}
