package transport

import (
	"errors"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// BeginShutdown notes that the Endpoint of the connection shuts down, and cancels the context
// of the connection with the cause. If the end was decided before, the connection does not
// count as shut down, unless it was decided only by a ChooseClose whose frame was not sent.
func (t *Conn) BeginShutdown(cause error) { t.happens(eventShutdown, cause) }

// StopDelivering notes that this end is about to close the connection: from now on reads drop
// messages, and return at the peer's close frame or another error.
func (t *Conn) StopDelivering() { t.happens(eventClosing, nil) }

// ChooseClose sets the frame that CloseHandshake is to send, and does what StopDelivering does.
// It reports whether this is the first call: then the caller must call CloseHandshake. A later
// call does nothing.
func (t *Conn) ChooseClose(frame *ws.CloseError) (first bool) { return t.happens(eventClose, frame) }

// CloseQueue makes Enqueue fail from now on. What was enqueued before is still sent.
func (t *Conn) CloseQueue() { t.happens(eventQueueClosed, nil) }

// CloseHandshake performs the closing handshake (RFC 6455, 7.1.2): it writes the messages that
// were enqueued and then the frame of ChooseClose, waits for the peer's close frame, and closes
// the socket. If another close frame was written before (an answer to the peer's, or one of the
// application's own), it writes none.
//
// The close timeout bounds all of it. The error says why the frame could not be written; the
// socket is closed all the same.
func (t *Conn) CloseHandshake() error {
	t.CloseQueue()
	timeout := t.CloseTimeout()
	switch {
	case t.isClosed():
		return t.sendChosen(timeout) // its error says why it cannot
	case timeout <= 0:
		err := t.sendChosen(timeout)
		t.FindPeerClose(CloseGrace)
		t.Abort()
		return err
	}
	defer t.abortAfter(timeout)()
	t.awaitFlush()
	err := t.sendChosen(timeout)
	if err == nil || t.HungUp() {
		t.awaitPeerClose()
	}
	_ = t.close() // the socket is closed, whatever it returns
	return err
}

// sendChosen writes the chosen close frame. It asks for the frame when it has the lock: until
// then, ReplaceFrame may change it.
func (t *Conn) sendChosen(timeout time.Duration) error {
	b := closeDeadline(timeout)
	err := t.lockCloseFrame(&b)
	if err == nil {
		frame := t.chosenFrame()
		err = t.sendClose(&b, frame)
		t.unlockFrame()
	}
	if errors.Is(err, ws.ErrCloseSent) {
		return nil
	}
	return err
}

// AnswerClose answers the peer's close frame with its code and no text, unless a close frame
// was sent before, and closes the socket. The close timeout bounds it.
//
// That is how most connections end. So what it calls then fits into the stack of a goroutine that has
// done nothing but wait: to let a stack grow takes as long as the whole answer.
func (t *Conn) AnswerClose(ce *ws.CloseError) {
	if !t.answerNow(ce) {
		t.answerSlowly(ce)
	}
	_ = t.close()
}

// answerNow is AnswerClose for a socket that takes the frame at once. It reports whether a frame was
// sent.
func (t *Conn) answerNow(ce *ws.CloseError) bool {
	if t.socket == nil || t.client || !t.frameLock.TryLock() {
		return false
	}
	if t.armed != 0 || t.corked() || t.Unwritable() != nil {
		t.unlockFrame()
		return false
	}
	answer := wire.CloseAnswer(ce)
	t.happens(eventCloseFrame, answer)
	small := smallFrames.Get().(*smallFrame) //nolint:errcheck // it is
	header := wire.AppendHeader(small[:0], wire.OpClose, 0)
	frame := wire.AppendClose(header, answer)
	frame[len(header)-1] = byte(len(frame) - len(header)) // at most 125
	n := t.tryWrite(frame)
	t.counts.bytesSent.Add(uint64(n)) //nolint:gosec // it is not negative
	if n == len(frame) || t.sendRest(frame[n:]) == nil {
		t.counts.closeSent.Store(int32(answer.Code)) //nolint:gosec // it has two bytes
	}
	smallFrames.Put(small)
	t.unlockFrame()
	return true
}

// sendRest sends what is left of a close frame.
//
//go:noinline
func (t *Conn) sendRest(p []byte) error {
	b := closeDeadline(t.CloseTimeout())
	_, err := t.sendWaiting(&b, p, nil)
	return err
}

// answerSlowly is AnswerClose for any other connection, and where something else is being written.
//
//go:noinline
func (t *Conn) answerSlowly(ce *ws.CloseError) {
	timeout := t.CloseTimeout()
	b := closeDeadline(timeout)
	if !t.socketEnforces(&b) {
		defer t.abortAfter(max(timeout, CloseGrace))()
	}
	_ = t.writeClose(&b, wire.CloseAnswer(ce)) // ErrCloseSent: it was an answer itself
}

// CloseNow closes the socket without a closing handshake. After a hang-up, it first looks for
// the peer's close frame in what was received.
func (t *Conn) CloseNow() {
	t.FindPeerClose(CloseGrace)
	t.happens(eventCloseNow, ErrClosed)
	t.Abort()
}

// awaitPeerClose waits until the peer's close frame was read or the socket is closed. The
// caller must bound it. While no other goroutine reads, it reads and drops frames itself.
func (t *Conn) awaitPeerClose() {
	if t.has(factPeerClosed) {
		return
	}
	select {
	case <-t.await(untilPeerClose):
		t.reading.lock.Cancel()
		return
	case <-t.Closed():
		t.reading.lock.Cancel()
		return
	case <-t.reading.lock.Wait():
	}
	defer t.unlockRead()
	if t.lent.NotPooled { // a part of the read buffer, which still belongs to the caller
		t.detachBuffer()
	}
	t.readDeadlines().take(t)
	if t.dropFrames() && t.HungUp() {
		// A later read must not return the close frame as if no message had been dropped.
		t.reading.err = t.endError()
	}
}

// dropFrames reads and drops frames until a read fails, or has read the close frame. It reports
// whether it dropped a message, or a part of one. The read lock is held.
func (t *Conn) dropFrames() (dropped bool) {
	dropped = t.frameLeft > 0
	for {
		for t.frameLeft > 0 {
			if t.dropPayload() != nil {
				return dropped
			}
		}
		h, err := t.nextFrame()
		if err != nil {
			return dropped
		}
		dropped = dropped || !h.IsControl()
		t.beginFrame(h)
		t.consume(0)
	}
}
