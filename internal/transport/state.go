package transport

import (
	"sync"
	"sync/atomic"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// A stateEvent is something that happens to a connection and has to do with its end.
type stateEvent uint8

const (
	eventShutdown     stateEvent = iota // its Endpoint shuts down
	eventClosing                        // CloseNow was called, or Serve has returned
	eventClose                          // Close was called, with the frame that it is to send
	eventQueueClosed                    // Close begins to send what waits in the queue, and then its frame
	eventCloseNow                       // the application closes the socket without a closing handshake
	eventCloseFrame                     // our close frame begins to leave
	eventPeerClose                      // the peer's close frame was read
	eventPeerReported                   // the peer's close frame is reported to the layer above
	eventViolation                      // the peer broke the protocol
	eventReadEnd                        // the stream ended without a close frame, or a read failed
	eventHangUp                         // a write found that the peer hung up
	eventPeerGone                       // the peer did not answer, or took nothing of a write
	eventFailure                        // a call was cut short by the caller's own bound, or by a panic
	eventSocketClosed                   // the socket is about to be closed, whatever the reason
	stateEvents
)

// transitions says what each event changes, in every state. Facts only accumulate. The
// cause is that of the first event that has one, but for a hang-up: see mayReplace. An
// event that is marked so ends the context of the connection, with its error.
//
// Two events do less in some states. A shutdown counts only until the end is decided
// otherwise: see shutdownCounts. Of several failures only the first sets its facts.
var transitions = [stateEvents]struct {
	sets    fact
	cause   CloseCause
	cancels bool
}{
	eventShutdown:     {factShutdown, CauseNone, true},
	eventClosing:      {factClosing, CauseNone, false},
	eventClose:        {factClosing | factCloseCalled, CauseLocal, false},
	eventQueueClosed:  {factQueueClosed, CauseNone, false},
	eventCloseNow:     {0, CauseLocal, true},
	eventCloseFrame:   {factCloseFrame, CauseLocal, true},
	eventPeerClose:    {factPeerClosed, CausePeer, true},
	eventPeerReported: {factPeerReported, CauseNone, false},
	eventViolation:    {0, CauseProtocol, true},
	eventReadEnd:      {0, CauseDisconnect, true},
	eventHangUp:       {factFailed | factHungUp, CauseDisconnect, true},
	eventPeerGone:     {factFailed, CauseDisconnect, true},
	eventFailure:      {factFailed, CauseNone, true},
	eventSocketClosed: {factClosed, CauseNone, false},
}

// A fact is something that holds from some event on. Facts are combined as a set.
type fact uint32

const (
	factShutdown     fact = 1 << iota // the connection ends because its Endpoint shuts down
	factClosing                       // no read delivers a message any more
	factCloseCalled                   // Close was called
	factQueueClosed                   // nothing is enqueued any more
	factCloseFrame                    // our close frame has begun to leave, nothing is written after it
	factPeerClosed                    // the peer's close frame was read, nothing is read after it
	factPeerReported                  // the layer above knows of the peer's close frame
	factFailed                        // nothing can be written any more, because a call failed
	factHungUp                        // factFailed, but what had come is still read
	factClosed                        // the socket is closed, or about to be
)

// A CloseCause is what decided on the wire how a connection ends.
type CloseCause uint8

const (
	CauseNone       CloseCause = iota
	CausePeer                  // its close frame was read
	CauseLocal                 // Close was called, a close frame written, the socket closed
	CauseProtocol              // the peer broke the protocol
	CauseDisconnect            // EOF, a reset, no answer, a write not taken
)

// wasRead reports whether something that the peer sent decided.
func (c CloseCause) wasRead() bool { return c == CausePeer || c == CauseProtocol }

// state is how a connection ends. The zero value is that of an open connection.
//
// Only apply changes facts and the cause, with the mutex held. Facts can be read without it,
// each time by one atomic load, and so can a field that belongs to a fact, once the fact is
// seen: it was stored before and never changes.
type state struct {
	facts atomic.Uint32

	mu         sync.Mutex // held over memory only
	how        CloseCause
	cause      error          // of how
	closeFrame *ws.CloseError // Close is to send it
	expiry     *expiry

	failure   *Error         // with factFailed: the first
	peerClose *ws.CloseError // with factPeerClosed

	peerClosed xsync.Event // factPeerClosed is set
	writeEnded xsync.Event // factFailed or factClosed is set
	closed     xsync.Event // factClosed is set

	released xsync.Event // the socket's Close has returned
	closeErr *error      // of that; nil: there was none
}

// apply makes the transition and reports whether it set a fact that did not hold before.
// It wakes nobody: that is left to wake.
func (s *state) apply(e stateEvent, err error) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	facts := fact(s.facts.Load())
	sets := transitions[e].sets
	switch e {
	case eventShutdown:
		if !s.shutdownCounts(facts) {
			return false
		}
	case eventClose:
		if facts&factCloseCalled == 0 {
			s.closeFrame, _ = err.(*ws.CloseError) //nolint:errorlint // it is one
		}
	case eventPeerClose:
		if s.peerClose == nil {
			s.peerClose, _ = err.(*ws.CloseError) //nolint:errorlint // it is one
		}
	case eventHangUp, eventPeerGone, eventFailure:
		if s.failure != nil {
			sets = 0
			break
		}
		s.failure, _ = err.(*Error) //nolint:errorlint // it is one
	}
	if s.mayReplace(transitions[e].cause, facts|sets) {
		s.how, s.cause = transitions[e].cause, err
	}
	s.facts.Store(uint32(facts | sets))
	return sets&^facts != 0
}

// mayReplace reports whether a cause takes the place of the one that there is. The first
// holds. But what is read of a peer that hung up was sent before that, and before a close
// frame of ours that did not leave any more.
func (s *state) mayReplace(how CloseCause, facts fact) bool {
	switch {
	case how == CauseNone:
		return false
	case s.how == CauseNone:
		return true
	default:
		return facts&factHungUp != 0 && how.wasRead() && !s.how.wasRead()
	}
}

// shutdownCounts reports whether a shutdown decides how the connection ends: nothing else
// has, or just a Close that has not come to send its frame.
func (s *state) shutdownCounts(facts fact) bool {
	return s.how == CauseNone || s.how == CauseLocal && facts&(factCloseFrame|factClosed) == 0
}

// wake wakes the goroutines that wait for what holds now.
func (s *state) wake() {
	facts := fact(s.facts.Load())
	if facts&factPeerClosed != 0 {
		s.peerClosed.Set()
	}
	if facts&(factFailed|factClosed) != 0 {
		s.writeEnded.Set()
	}
	if facts&factClosed != 0 {
		s.closed.Set()
	}
}

// has reports whether one of the facts holds.
func (s *state) has(facts fact) bool { return fact(s.facts.Load())&facts != 0 }

// ShuttingDown reports whether the connection ends because its Endpoint shuts down.
func (s *state) ShuttingDown() bool { return s.has(factShutdown) }

// CloseChosen reports whether ChooseClose was called.
func (s *state) CloseChosen() bool { return s.has(factCloseCalled) }

// PeerCloseReported reports whether Events.PeerClosed was called, or is about to be.
func (s *state) PeerCloseReported() bool { return s.has(factPeerReported) }

// isClosed reports whether the socket is closed, or about to be.
func (s *state) isClosed() bool { return s.has(factClosed) }

// HungUp reports whether writing is over because the peer hung up. The socket may be
// closed since.
func (s *state) HungUp() bool { return s.has(factHungUp) }

// delivers reports whether reads deliver messages: not once we have begun to close the
// connection.
func (s *state) delivers() bool { return !s.has(factClosing | factCloseFrame) }

// Unwritable returns why nothing can be written, nil if something can.
func (s *state) Unwritable() error {
	switch facts := fact(s.facts.Load()); {
	case facts&(factFailed|factCloseFrame|factClosed) == 0:
		return nil
	case facts&factFailed != 0:
		return s.failure
	case facts&factCloseFrame != 0:
		return ws.ErrCloseSent
	default:
		return ErrClosed
	}
}

// SocketFailure returns the first failure of the socket, nil without one.
func (s *state) SocketFailure() error {
	if s.has(factFailed) {
		return s.failure
	}
	return nil
}

// endError is what a call returns that finds the socket closed.
func (s *state) endError() error {
	if s.has(factFailed) {
		return s.failure
	}
	return ErrClosed
}

// Closed returns a channel that is closed when the socket is closed, or about to be.
func (s *state) Closed() <-chan struct{} { return s.closed.Done() }

// PeerCloseRead returns the peer's close frame, nil until it is read.
func (s *state) PeerCloseRead() *ws.CloseError {
	if s.has(factPeerClosed) {
		return s.peerClose
	}
	return nil
}

// closeReceived returns the code of the peer's close frame, 0 until it is read.
func (s *state) closeReceived() int {
	if ce := s.PeerCloseRead(); ce != nil {
		return ce.Code
	}
	return 0
}

// CloseCode returns the code of the close frame that decided how the connection ended, 1006
// without one.
func (t *Conn) CloseCode() int {
	how, _ := t.CloseCause()
	received, sent := t.closeReceived(), int(t.counts.closeSent.Load())
	switch {
	case sent == 0 && received == 0:
		return ws.CloseAbnormalClosure
	case sent == 0 || how == CausePeer && received != 0:
		return received
	default:
		return sent
	}
}

// CloseCause returns what decided how the connection ends, and the error that goes with it.
func (s *state) CloseCause() (CloseCause, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.how, s.cause
}

// chosenFrame returns the close frame that Close is to send.
func (s *state) chosenFrame() *ws.CloseError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeFrame
}

// ReplaceFrame has Close send another frame, if it still is to send the old one.
func (s *state) ReplaceFrame(old, frame *ws.CloseError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closeFrame == old {
		s.closeFrame = frame
	}
}
