package websocket

import (
	"errors"
	"time"

	ws "github.com/gorilla/websocket"
)

// closeHandshake sends the frame that Close chose, after what was enqueued, unless one was
// sent before (an answer to the peer's, or one that the application wrote itself), and waits
// for the peer's. It closes the socket in any case.
func (t *transport) closeHandshake() error {
	t.happens(eventQueueClosed, nil)
	timeout := time.Duration(t.closeTimeout.Load())
	switch {
	case t.isClosed():
		return t.sendChosen(timeout) // which tells why it can't
	case timeout <= 0:
		err := t.sendChosen(timeout)
		t.findPeerClose(closeGrace)
		t.abort()
		return err
	}
	defer t.abortAfter(timeout)()
	t.awaitFlush()
	err := t.sendChosen(timeout)
	if err == nil || t.hungUp() {
		t.awaitPeerClose()
	}
	_ = t.close() // the socket is closed, whatever it returns
	return err
}

// sendChosen writes the close frame that was chosen. Until the lock is held, another one may
// be chosen.
func (t *transport) sendChosen(timeout time.Duration) error {
	b := closeBound(timeout)
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

// answerClose echoes the peer's close frame, with no text, and closes the socket.
func (t *transport) answerClose(ce *ws.CloseError) {
	timeout := time.Duration(t.closeTimeout.Load())
	b := closeBound(timeout)
	if !t.bounds(&b) {
		defer t.abortAfter(max(timeout, closeGrace))()
	}
	_ = t.writeClose(&b, ws.FormatCloseMessage(ce.Code, "")) // ErrCloseSent: it was an answer itself
	_ = t.close()
}

// closeNow closes the socket without a closing handshake.
func (t *transport) closeNow() {
	t.findPeerClose(closeGrace)
	t.happens(eventCloseNow, errClosed)
	t.abort()
}
