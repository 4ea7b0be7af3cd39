package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Errors and a close frame with which the layer above ends connections.
var (
	errTestShutdown   = errors.New("the server shuts down")
	errTestPeerGone   = errors.New("the peer is gone")
	testShutdownFrame = &ws.CloseError{Code: ws.CloseGoingAway}
)

// The errors of the events: each event has its own, so that a test can tell them apart.
var (
	ownFrame     = &ws.CloseError{Code: 4000, Text: "Close"}
	sentFrame    = &ws.CloseError{Code: 4001, Text: "CloseMessage"}
	peersFrame   = &ws.CloseError{Code: 4002, Text: "the peer's"}
	errViolation = errors.New("violation")
	errStreamEnd = errors.New("end of the stream")
	hangUp       = &Error{Op: "write", Err: io.ErrClosedPipe, Gone: true}
	peerGone     = &Error{Op: "read", Err: errTestPeerGone, Gone: true}
	failure      = &Error{Op: "write", Err: context.Canceled}
)

var eventErrors = [stateEvents]error{
	eventShutdown:   errTestShutdown,
	eventClose:      ownFrame,
	eventCloseNow:   ErrClosed,
	eventCloseFrame: sentFrame,
	eventPeerClose:  peersFrame,
	eventViolation:  errViolation,
	eventReadEnd:    errStreamEnd,
	eventHangUp:     hangUp,
	eventPeerGone:   peerGone,
	eventFailure:    failure,
}

var eventNames = [stateEvents]string{
	eventShutdown:     "Shutdown",
	eventClosing:      "Serve returns",
	eventClose:        "Close",
	eventCloseNow:     "CloseNow",
	eventQueueClosed:  "flush before Close",
	eventCloseFrame:   "close frame",
	eventPeerClose:    "peer's close frame",
	eventPeerReported: "peer's close frame reported",
	eventViolation:    "violation",
	eventReadEnd:      "end of the stream",
	eventHangUp:       "hang-up",
	eventPeerGone:     "peer gone",
	eventFailure:      "failure",
	eventSocketClosed: "socket closed",
	eventReleased:     "socket released",
}

// Each row has the events that happened before, and the causes that decide the end when each of
// the events in seconds follows.
func TestFirstCauseHoldsButForAHangUp(t *testing.T) {
	seconds := []stateEvent{eventClose, eventCloseNow, eventCloseFrame, eventPeerClose, eventViolation, eventReadEnd, eventHangUp, eventPeerGone, eventFailure}
	for first, want := range map[string]struct {
		Events []stateEvent
		causes string
	}{
		"nothing":                   {nil, "local local local peer protocol disconnect disconnect disconnect -"},
		"Shutdown":                  {[]stateEvent{eventShutdown}, "local local local peer protocol disconnect disconnect disconnect -"},
		"Serve returns":             {[]stateEvent{eventClosing}, "local local local peer protocol disconnect disconnect disconnect -"},
		"socket closed":             {[]stateEvent{eventSocketClosed}, "local local local peer protocol disconnect disconnect disconnect -"},
		"failure":                   {[]stateEvent{eventFailure}, "local local local peer protocol disconnect disconnect disconnect -"},
		"Close":                     {[]stateEvent{eventClose}, "local local local local local local local local local"},
		"CloseNow":                  {[]stateEvent{eventCloseNow}, "local local local local local local local local local"},
		"close frame":               {[]stateEvent{eventCloseFrame}, "local local local local local local local local local"},
		"peer's close frame":        {[]stateEvent{eventPeerClose}, "peer peer peer peer peer peer peer peer peer"},
		"violation":                 {[]stateEvent{eventViolation}, "protocol protocol protocol protocol protocol protocol protocol protocol protocol"},
		"end of the stream":         {[]stateEvent{eventReadEnd}, "disconnect disconnect disconnect disconnect disconnect disconnect disconnect disconnect disconnect"},
		"peer gone":                 {[]stateEvent{eventPeerGone}, "disconnect disconnect disconnect disconnect disconnect disconnect disconnect disconnect disconnect"},
		"hang-up":                   {[]stateEvent{eventHangUp}, "disconnect disconnect disconnect peer protocol disconnect disconnect disconnect disconnect"},
		"Close, hang-up":            {[]stateEvent{eventClose, eventHangUp}, "local local local peer protocol local local local local"},
		"close frame, hang-up":      {[]stateEvent{eventCloseFrame, eventHangUp}, "local local local peer protocol local local local local"},
		"hang-up, peer's, anything": {[]stateEvent{eventHangUp, eventPeerClose}, "peer peer peer peer peer peer peer peer peer"},
		"hang-up, violation":        {[]stateEvent{eventHangUp, eventViolation}, "protocol protocol protocol protocol protocol protocol protocol protocol protocol"},
		"failure, hang-up":          {[]stateEvent{eventFailure, eventHangUp}, "disconnect disconnect disconnect disconnect disconnect disconnect disconnect disconnect disconnect"},
	} {
		causes := strings.Fields(want.causes)
		require.Len(t, causes, len(seconds))
		for i, second := range seconds {
			s := stateAfter(append(slices.Clone(want.Events), second))
			how, err := s.CloseCause()
			assert.Equal(t, causes[i], causeName(how), "%s, then %s", first, eventNames[second])
			assert.Equal(t, how == CauseNone, err == nil, "%s, then %s", first, eventNames[second])
		}
	}
}

func causeName(how CloseCause) string {
	return [...]string{CauseNone: "-", CausePeer: "peer", CauseLocal: "local", CauseProtocol: "protocol", CauseDisconnect: "disconnect"}[how]
}

func stateAfter(events []stateEvent) *state {
	s := new(state)
	for what := range untils {
		s.await(what)
	}
	for _, e := range events {
		s.apply(e, eventErrors[e])
		s.wake()
	}
	return s
}

// A shutdown counts if nothing has decided the end, or only a Close whose frame was not sent.
func TestShutdownCountsUntilTheEndIsDecided(t *testing.T) {
	for name, tc := range map[string]struct {
		before []stateEvent
		counts bool
	}{
		"nothing":                            {nil, true},
		"Serve has returned":                 {[]stateEvent{eventClosing}, true},
		"Close":                              {[]stateEvent{eventClose}, true},
		"Close, and its frame":               {[]stateEvent{eventClose, eventCloseFrame}, false},
		"Close, and the socket is closed":    {[]stateEvent{eventClose, eventSocketClosed}, false},
		"Close, and a failure":               {[]stateEvent{eventClose, eventFailure}, true},
		"a CloseMessage":                     {[]stateEvent{eventCloseFrame}, false},
		"CloseNow, the socket not closed":    {[]stateEvent{eventCloseNow}, true},
		"CloseNow":                           {[]stateEvent{eventCloseNow, eventSocketClosed}, false},
		"the peer's close frame":             {[]stateEvent{eventPeerClose}, false},
		"a violation":                        {[]stateEvent{eventViolation}, false},
		"the end of the stream":              {[]stateEvent{eventReadEnd}, false},
		"a hang-up":                          {[]stateEvent{eventHangUp}, false},
		"a peer that does not answer":        {[]stateEvent{eventPeerGone}, false},
		"a call that the caller has ended":   {[]stateEvent{eventFailure, eventSocketClosed}, true},
		"Close, and then the peer hung up":   {[]stateEvent{eventClose, eventHangUp}, true},
		"Close, a hang-up, the peer's frame": {[]stateEvent{eventClose, eventHangUp, eventPeerClose}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := stateAfter(tc.before)
			assert.Equal(t, tc.counts, s.apply(eventShutdown, errTestShutdown))
			assert.Equal(t, tc.counts, s.has(factShutdown))
			for e := range stateEvents { // no later event changes that
				s.apply(e, eventErrors[e])
			}
			assert.Equal(t, tc.counts, s.has(factShutdown))
		})
	}
}

// Every event is tried in every state. The states are found by a walk through all transitions, and
// what must hold in a state follows from the events that led to it.
func TestEveryEventInEveryState(t *testing.T) {
	type key struct {
		facts fact
		how   CloseCause
		first stateEvent // the first failure
	}
	keyOf := func(events []stateEvent) key {
		s := stateAfter(events)
		first, _ := firstOf(events, eventHangUp, eventPeerGone, eventFailure)
		return key{fact(s.facts.Load()), s.how, first}
	}
	histories := [][]stateEvent{nil}
	seen := map[key]bool{keyOf(nil): true}
	for i := 0; i < len(histories); i++ {
		checkState(t, histories[i])
		for e := range stateEvents {
			events := append(slices.Clone(histories[i]), e)
			checkTransition(t, histories[i], e)
			if k := keyOf(events); !seen[k] {
				seen[k] = true
				histories = append(histories, events)
			}
		}
		if t.Failed() {
			return // the first failed state is enough to read
		}
	}
	assert.Greater(t, len(histories), 500, "states")
}

// firstOf returns the first event that is one of asked.
func firstOf(events []stateEvent, asked ...stateEvent) (first stateEvent, ok bool) {
	for _, e := range events {
		if slices.Contains(asked, e) {
			return e, true
		}
	}
	return stateEvents, false
}

// describe names the events for the message of a test.
func describe(events []stateEvent) string {
	names := make([]string, len(events))
	for i, e := range events {
		names[i] = eventNames[e]
	}
	return fmt.Sprintf("after [%s]", strings.Join(names, ", "))
}

// checkState checks what reads, writes and the layer above see of a state.
func checkState(t *testing.T, events []stateEvent) {
	t.Helper()
	s, after := stateAfter(events), describe(events)
	happened := func(asked ...stateEvent) bool {
		_, ok := firstOf(events, asked...)
		return ok
	}

	var write error
	first, failed := firstOf(events, eventHangUp, eventPeerGone, eventFailure)
	switch {
	case failed:
		write = eventErrors[first]
	case happened(eventCloseFrame):
		write = ws.ErrCloseSent
	case happened(eventSocketClosed):
		write = ErrClosed
	}
	assert.Equal(t, write, s.Unwritable(), "writes %s", after)
	closedRead := error(ErrClosed)
	if failed {
		closedRead = eventErrors[first]
		assert.Equal(t, closedRead, s.SocketFailure(), after)
	} else {
		assert.NoError(t, s.SocketFailure(), after)
	}
	assert.Equal(t, closedRead, s.endError(), "reads of a closed socket %s", after)
	assert.Equal(t, !happened(eventClosing, eventClose, eventCloseFrame), s.delivers(), "messages are delivered %s", after)
	assert.Equal(t, happened(eventSocketClosed), s.isClosed(), after)
	assert.Equal(t, first == eventHangUp, s.HungUp(), after)
	if happened(eventPeerClose) {
		assert.Equal(t, peersFrame, s.PeerCloseRead(), after)
		assert.Equal(t, peersFrame.Code, s.closeReceived(), after)
	} else {
		assert.Nil(t, s.PeerCloseRead(), after)
		assert.Zero(t, s.closeReceived(), after)
	}
	if happened(eventClose) {
		assert.Equal(t, ownFrame, s.chosenFrame(), after)
	} else {
		assert.Nil(t, s.chosenFrame(), after)
	}

	assert.Equal(t, happened(eventPeerClose), s.isWoken(untilPeerClose), "waiters for the peer's close frame are woken %s", after)
	assert.Equal(t, failed || happened(eventSocketClosed), s.isWoken(untilWriteEnd), "waiting writers are woken %s", after)
	assert.Equal(t, happened(eventSocketClosed), s.isWoken(untilClose), "waiters for the socket are woken %s", after)
	assert.Equal(t, happened(eventReleased), s.isWoken(untilRelease), "waiters for its Close are woken %s", after)
}

// isWoken reports whether the goroutines that wait for what have been woken.
func (s *state) isWoken(what until) bool {
	w := s.waits.Made()
	return w != nil && w.events[what].IsSet()
}

// A goroutine that begins to wait when what it waits for has just happened is woken, whichever comes
// first.
func TestWaitThatBeginsLate(*testing.T) {
	for range 1000 {
		tr := &Conn{}
		tr.events = noEvents{}
		var happening sync.WaitGroup
		happening.Go(func() { tr.happens(eventSocketClosed, nil) })
		<-tr.await(untilClose)
		<-tr.await(untilWriteEnd)
		happening.Wait()
		<-tr.await(untilClose)
	}
}

// checkTransition checks what one event changes: facts only accumulate, and apply reports whether
// there is a new one.
func checkTransition(t *testing.T, events []stateEvent, e stateEvent) {
	t.Helper()
	s, after := stateAfter(events), describe(append(slices.Clone(events), e))
	before := fact(s.facts.Load())
	how, cause := s.CloseCause()
	changed := s.apply(e, eventErrors[e])
	facts := fact(s.facts.Load())
	newHow, newCause := s.CloseCause()

	assert.Equal(t, before, facts&before, "a fact is gone %s", after)
	assert.Equal(t, facts != before, changed, after)
	if newHow != how {
		assert.Equal(t, eventErrors[e], newCause, "the error of the cause %s", after)
		assert.True(t, how == CauseNone || newHow.wasRead() && !how.wasRead() && s.HungUp(), "the first cause %s", after)
	} else {
		assert.Equal(t, cause, newCause, "the error of the first cause %s", after)
	}
	again := s.apply(e, eventErrors[e])
	assert.False(t, again, "the second time %s", after)
	assert.Equal(t, facts, fact(s.facts.Load()), "the second time %s", after)
}

// A contextEvents records why and when the context was canceled.
type contextEvents struct {
	noEvents
	s     *state
	cause error
	woken bool // a waiter was woken before the context was canceled
}

func (o *contextEvents) CancelContext(cause error) {
	if o.cause == nil {
		o.cause = cause
		o.woken = o.s.isWoken(untilPeerClose) || o.s.isWoken(untilWriteEnd) || o.s.isWoken(untilClose)
	}
}

// The context is canceled with the error of the event, before waiters are woken: a goroutine that
// is woken finds the context canceled.
func TestContextEndsBeforeWaitersAreWoken(t *testing.T) {
	ends := []stateEvent{eventShutdown, eventCloseNow, eventCloseFrame, eventPeerClose, eventViolation, eventReadEnd, eventHangUp, eventPeerGone, eventFailure}
	for e := range stateEvents {
		tr := &Conn{}
		tr.await(untilClose)
		o := &contextEvents{s: &tr.state}
		tr.events = o
		tr.happens(e, eventErrors[e])
		var want error
		if slices.Contains(ends, e) {
			want = eventErrors[e]
		}
		assert.Equal(t, want, o.cause, eventNames[e])
		assert.False(t, o.woken, eventNames[e])
	}
}

// Writers that wait for a lock are woken by events that end writing, and by no other.
func TestEventsThatWakeWaitingWriters(t *testing.T) {
	wakes := map[stateEvent]error{
		eventHangUp: hangUp, eventPeerGone: peerGone, eventFailure: failure, eventSocketClosed: ErrClosed,
	}
	for e := range stateEvents {
		t.Run(eventNames[e], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, server := net.Pipe()
				tr := New(server, nil, newConfig())
				require.True(t, tr.frameLock.TryLock())
				b := WriteDeadline{ctx: t.Context(), timeout: time.Minute}
				start := time.Now()
				written := make(chan error)
				go func() { written <- tr.acquire(&tr.frameLock, &b) }()
				synctest.Wait()
				tr.happens(e, eventErrors[e])
				err := <-written
				if want := wakes[e]; want != nil {
					assert.Equal(t, want, err)
					assert.Zero(t, time.Since(start))
				} else {
					assert.Equal(t, errBusy, err)
					assert.Equal(t, time.Minute, time.Since(start))
				}
			})
		})
	}
}

// The chosen frame can be replaced until it is sent, but only by a caller that knows it.
func TestFrameOfShutdownIsReplaced(t *testing.T) {
	s := stateAfter(nil)
	s.ReplaceFrame(testShutdownFrame, ownFrame)
	assert.Nil(t, s.chosenFrame(), "there was none")
	s.apply(eventClose, testShutdownFrame)
	s.apply(eventClose, sentFrame)
	assert.Equal(t, testShutdownFrame, s.chosenFrame(), "only the first call sends")
	s.ReplaceFrame(testShutdownFrame, ownFrame)
	assert.Equal(t, ownFrame, s.chosenFrame())
	s.ReplaceFrame(testShutdownFrame, sentFrame)
	assert.Equal(t, ownFrame, s.chosenFrame())
}
