package transport

import (
	"sync"
	"sync/atomic"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// A stateEvent is something that happens to a connection and bears on its end.
type stateEvent uint8

const (
	eventShutdown     stateEvent = iota // the Endpoint shuts down
	eventClosing                        // this end is about to close the connection: see StopDelivering
	eventClose                          // ChooseClose was called, with the close frame to send
	eventQueueClosed                    // no message is enqueued any more
	eventCloseNow                       // the application closes the socket without a closing handshake
	eventCloseFrame                     // writing our close frame begins
	eventPeerClose                      // the peer's close frame was read
	eventPeerReported                   // the peer's close frame is reported to the layer above
	eventViolation                      // the peer violated the protocol
	eventReadEnd                        // the stream ended without a close frame, or a read failed
	eventHangUp                         // a write found that the peer hung up
	eventPeerGone                       // the peer did not answer a ping, or took nothing of a write
	eventFailure                        // a call was ended by the caller's own bound, or by a panic
	eventSocketClosed                   // the socket is about to be closed, for any reason
	eventReleased                       // the Close of the socket has returned
	stateEvents
)

// transitions says what each event changes, in every state. Facts only accumulate. The first
// event that has a cause decides it, except after a hang-up: see mayReplace. An event that
// cancels ends the context of the connection, with the error of the event.
//
// Two kinds of events do less in some states. A shutdown has an effect only until the end is
// decided otherwise: see shutdownCounts. Only the first of several failures sets its facts.
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
	eventReleased:     {factReleased, CauseNone, false},
}

// A fact is something that holds from some event on. A value may be a set of several facts.
type fact uint32

const (
	factShutdown     fact = 1 << iota // the connection ends because its Endpoint shuts down
	factClosing                       // reads deliver no message
	factCloseCalled                   // ChooseClose was called
	factQueueClosed                   // Enqueue fails
	factCloseFrame                    // writing our close frame has begun; nothing is written after it
	factPeerClosed                    // the peer's close frame was read; nothing is read after it
	factPeerReported                  // the layer above was told of the peer's close frame
	factFailed                        // nothing can be written, because a call failed
	factHungUp                        // factFailed holds, but what the peer had sent can still be read
	factClosed                        // the socket is closed, or about to be
	factReleased                      // the Close of the socket has returned
)

// A CloseCause is what decided, on the wire, how a connection ends.
type CloseCause uint8

// The causes that there are.
const (
	CauseNone       CloseCause = iota // nothing yet
	CausePeer                         // the peer's close frame was read
	CauseLocal                        // ChooseClose was called, our close frame written, or the socket closed
	CauseProtocol                     // the peer violated the protocol
	CauseDisconnect                   // EOF, a reset, no answer, or a write that the peer did not take
)

// wasRead reports whether something that was read from the peer decided.
func (c CloseCause) wasRead() bool { return c == CausePeer || c == CauseProtocol }

// state is how a connection ends. The zero value is an open connection.
//
// Only apply changes the facts and the cause, with the mutex held. Facts can be read without
// it, by one atomic load. A field that belongs to a fact can be read without it once the fact
// holds: the field was stored before, and does not change.
type state struct {
	facts atomic.Uint32

	mu         sync.Mutex // never held during I/O
	how        CloseCause
	cause      error          // the error of the event that decided how
	closeFrame *ws.CloseError // the frame of ChooseClose
	expiry     *expiry        // nil without one

	failure   *Error         // the first failure; belongs to factFailed
	peerClose *ws.CloseError // belongs to factPeerClosed

	waits xsync.Lazy[waits] // made when a goroutine first waits for a fact
}

// An until is what goroutines may wait for: see await.
type until uint8

const (
	untilPeerClose until = iota // the peer's close frame was read
	untilWriteEnd               // nothing can be written any more
	untilClose                  // the socket is closed, or about to be
	untilRelease                // the Close of the socket has returned
	untils
)

// awaitedFacts are the facts one of which each wait ends with.
var awaitedFacts = [untils]fact{
	untilPeerClose: factPeerClosed,
	untilWriteEnd:  factFailed | factClosed,
	untilClose:     factClosed,
	untilRelease:   factReleased,
}

// waits are what goroutines that wait for a fact need: hardly any connection has one.
type waits struct {
	events   [untils]xsync.Event
	closeErr error // of the Close of the socket; belongs to factReleased
}

// ensureWaits returns the waits, which are made when they are first needed.
func (s *state) ensureWaits() *waits {
	return s.waits.Get(func() *waits { return new(waits) })
}

// await returns a channel that is closed as soon as that which is waited for has happened.
func (s *state) await(what until) <-chan struct{} {
	event := &s.ensureWaits().events[what]
	if s.has(awaitedFacts[what]) { // wake may have come before there was an event
		event.Set()
	}
	return event.Done()
}

// apply makes the transition of an event and reports whether it set a fact that did not hold
// before. The caller must call wake afterwards.
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

// mayReplace reports whether a cause replaces the recorded one. The first cause holds, with one
// exception: what is read after a hang-up was sent before it, and before the peer could have
// received a close frame of ours.
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

// shutdownCounts reports whether a shutdown decides how the connection ends. It does if nothing
// has decided yet, or only a ChooseClose whose frame is not being written.
func (s *state) shutdownCounts(facts fact) bool {
	return s.how == CauseNone || s.how == CauseLocal && facts&(factCloseFrame|factClosed) == 0
}

// wake wakes the goroutines that wait for a fact that holds now.
func (s *state) wake() {
	w := s.waits.Made()
	if w == nil {
		return
	}
	for what, facts := range awaitedFacts {
		if s.has(facts) {
			w.events[what].Set()
		}
	}
}

// has reports whether at least one of the facts holds.
func (s *state) has(facts fact) bool { return fact(s.facts.Load())&facts != 0 }

// ShuttingDown reports whether the connection ends because its Endpoint shuts down.
func (s *state) ShuttingDown() bool { return s.has(factShutdown) }

// CloseChosen reports whether ChooseClose was called.
func (s *state) CloseChosen() bool { return s.has(factCloseCalled) }

// PeerCloseReported reports whether Events.PeerClosed was called, or is about to be.
func (s *state) PeerCloseReported() bool { return s.has(factPeerReported) }

// isClosed reports whether the socket is closed, or about to be.
func (s *state) isClosed() bool { return s.has(factClosed) }

// HungUp reports whether nothing can be written because the peer hung up. The socket may have
// been closed since.
func (s *state) HungUp() bool { return s.has(factHungUp) }

// delivers reports whether reads deliver messages. They do until this end begins to close the
// connection.
func (s *state) delivers() bool { return !s.has(factClosing | factCloseFrame) }

// Unwritable returns why nothing can be written, nil if writes are possible.
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

// SocketFailure returns the first failure of the connection, an *Error, nil without one.
func (s *state) SocketFailure() error {
	if s.has(factFailed) {
		return s.failure
	}
	return nil
}

// endError returns the error of a call that finds the socket closed.
func (s *state) endError() error {
	if s.has(factFailed) {
		return s.failure
	}
	return ErrClosed
}

// Closed returns a channel that is closed when the socket is closed, or about to be.
func (s *state) Closed() <-chan struct{} { return s.await(untilClose) }

// PeerCloseRead returns the peer's close frame, nil if it was not read.
func (s *state) PeerCloseRead() *ws.CloseError {
	if s.has(factPeerClosed) {
		return s.peerClose
	}
	return nil
}

// closeReceived returns the code of the peer's close frame, zero if it was not read.
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

// CloseCause returns what decided how the connection ends, and the error of that event. Both
// may still change: see mayReplace.
func (s *state) CloseCause() (CloseCause, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.how, s.cause
}

// chosenFrame returns the close frame that CloseHandshake is to send.
func (s *state) chosenFrame() *ws.CloseError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeFrame
}

// ReplaceFrame makes CloseHandshake send another frame, if the chosen one is old and was not
// sent.
func (s *state) ReplaceFrame(old, frame *ws.CloseError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closeFrame == old {
		s.closeFrame = frame
	}
}
