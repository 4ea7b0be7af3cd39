package transport

import (
	"errors"
	"time"

	ws "github.com/gorilla/websocket"
)

// CloseHandshake sends the frame that Close chose, after what was enqueued, unless one was
// sent before (an answer to the peer's, or one that the application wrote itself), and waits
// for the peer's. It closes the socket in any case.
func (t *Conn) CloseHandshake() error {
	t.Happens(EventQueueClosed, nil)
	timeout := time.Duration(t.CloseTimeout.Load())
	switch {
	case t.isClosed():
		return t.sendChosen(timeout) // which tells why it can't
	case timeout <= 0:
		err := t.sendChosen(timeout)
		t.FindPeerClose(CloseGrace)
		t.Abort()
		return err
	}
	defer t.abortAfter(timeout)()
	t.AwaitFlush()
	err := t.sendChosen(timeout)
	if err == nil || t.HungUp() {
		t.awaitPeerClose()
	}
	_ = t.close() // the socket is closed, whatever it returns
	return err
}

// sendChosen writes the close frame that was chosen. Until the lock is held, another one may
// be chosen.
func (t *Conn) sendChosen(timeout time.Duration) error {
	b := closeDeadline(timeout)
	err := t.lockClose(&b)
	if err == nil {
		frame := t.chosenFrame()
		err = t.sendClose(&b, ws.FormatCloseMessage(frame.Code, frame.Text))
		t.unlockWrite()
	}
	if errors.Is(err, ws.ErrCloseSent) {
		return nil
	}
	return err
}

// AnswerClose echoes the peer's close frame, with no text, and closes the socket.
func (t *Conn) AnswerClose(ce *ws.CloseError) {
	timeout := time.Duration(t.CloseTimeout.Load())
	b := closeDeadline(timeout)
	if !t.bounds(&b) {
		defer t.abortAfter(max(timeout, CloseGrace))()
	}
	_ = t.writeClose(&b, ws.FormatCloseMessage(ce.Code, "")) // ErrCloseSent: it was an answer itself
	_ = t.close()
}

// CloseNow closes the socket without a closing handshake.
func (t *Conn) CloseNow() {
	t.FindPeerClose(CloseGrace)
	t.Happens(eventCloseNow, ErrClosed)
	t.Abort()
}
