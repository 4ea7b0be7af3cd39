package transport

import (
	"errors"
	"time"

	ws "github.com/gorilla/websocket"
)

// SetCloseTimeout bounds later closing handshakes. Zero or less means no waiting.
func (t *Conn) SetCloseTimeout(d time.Duration) { t.closeTimeout.Store(int64(d)) }

// CloseTimeout returns the bound of a closing handshake.
func (t *Conn) CloseTimeout() time.Duration { return time.Duration(t.closeTimeout.Load()) }

// BeginShutdown notes that the Endpoint of the connection shuts down, and ends the context of
// the connection with the cause. It does nothing once the end was decided otherwise, except
// by a Close whose frame is still to be sent.
func (t *Conn) BeginShutdown(cause error) { t.happens(eventShutdown, cause) }

// StopDelivering notes that the connection is about to be closed by this end: from now on no
// read delivers a message.
func (t *Conn) StopDelivering() { t.happens(eventClosing, nil) }

// ChooseClose chooses the frame that CloseHandshake is to send, and stops delivering. It
// reports whether this is the first call, which must be followed by CloseHandshake; a later
// one does nothing.
func (t *Conn) ChooseClose(frame *ws.CloseError) (first bool) { return t.happens(eventClose, frame) }

// CloseQueue makes Enqueue fail from now on.
func (t *Conn) CloseQueue() { t.happens(eventQueueClosed, nil) }

// CloseHandshake sends the frame that Close chose, after what was enqueued, unless one was
// sent before (an answer to the peer's, or one that the application wrote itself), and waits
// for the peer's. It closes the socket in any case.
func (t *Conn) CloseHandshake() error {
	t.CloseQueue()
	timeout := t.CloseTimeout()
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
	err := t.lockCloseFrame(&b)
	if err == nil {
		frame := t.chosenFrame()
		err = t.sendClose(&b, ws.FormatCloseMessage(frame.Code, frame.Text))
		t.unlockFrame()
	}
	if errors.Is(err, ws.ErrCloseSent) {
		return nil
	}
	return err
}

// AnswerClose echoes the peer's close frame, with no text, and closes the socket.
func (t *Conn) AnswerClose(ce *ws.CloseError) {
	timeout := t.CloseTimeout()
	b := closeDeadline(timeout)
	if !t.socketEnforces(&b) {
		defer t.abortAfter(max(timeout, CloseGrace))()
	}
	_ = t.writeClose(&b, ws.FormatCloseMessage(ce.Code, "")) // ErrCloseSent: it was an answer itself
	_ = t.close()
}

// CloseNow closes the socket without a closing handshake.
func (t *Conn) CloseNow() {
	t.FindPeerClose(CloseGrace)
	t.happens(eventCloseNow, ErrClosed)
	t.Abort()
}

// awaitPeerClose waits until somebody has read the peer's close frame or the
// socket is closed, which the caller makes sure of. Where nobody is reading, it
// reads frames away itself and keeps nothing.
func (t *Conn) awaitPeerClose() {
	if t.has(factPeerClosed) {
		return
	}
	select {
	case <-t.peerClosed.Done():
		t.reading.lock.Cancel()
		return
	case <-t.closed.Done():
		t.reading.lock.Cancel()
		return
	case <-t.reading.lock.Wait():
	}
	defer t.unlockRead()
	if t.lent.NotPooled { // and still the caller's
		t.detachBuffer()
	}
	t.readDeadlines().take(t.nc)
	if t.dropFrames() && t.HungUp() {
		t.reading.err = t.endError() // who reads on must not take the close frame for all there was
	}
}

// dropFrames reads frames away up to the end, and reports whether a message was among
// them, or a part of one. The read lock is held.
func (t *Conn) dropFrames() (dropped bool) {
	dropped = t.gate > 0
	for {
		for t.gate > 0 {
			if t.drop() != nil {
				return dropped
			}
		}
		h, err := t.nextFrame()
		if err != nil {
			return dropped
		}
		dropped = dropped || !h.IsControl()
		t.beginFrame(h)
		t.consumed(0)
	}
}
