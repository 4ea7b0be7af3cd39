package hub

import (
	"errors"
	"log/slog"
	"time"

	"github.com/goyave-contrib/websocket"
)

// missedText is the text of the close frame for members that have missed messages of a room.
const missedText = "missed messages"

const (
	// gapPatience is how long an entry may be late before it is read: entries of several
	// goroutines may overtake each other by a little.
	gapPatience = 20 * time.Millisecond

	// readPage is how many entries are read at once.
	readPage = 64

	minBackoff, maxBackoff = 50 * time.Millisecond, time.Second
)

// What a follower needs of the broker.
const (
	needNothing = iota
	needCursor
	needRead
	needGap // an entry is missing
)

func (f *follower) needLocked() int {
	switch {
	case f.ctx.Err() != nil:
		return needNothing
	case !f.live:
		return needCursor
	case f.hasGapLocked():
		return needGap
	case f.unread:
		return needRead
	default:
		return needNothing
	}
}

// hasGapLocked reports whether entries wait for one that has not arrived.
func (f *follower) hasGapLocked() bool {
	if len(f.waiting) == 0 || f.delivering || f.waiting[f.cursor] != nil {
		return false
	}
	for before, a := range f.waiting {
		if f.hasPassed(a.at) {
			f.removeLocked(before)
		}
	}
	return len(f.waiting) > 0
}

func (f *follower) workIfNeeded() {
	f.group.mu.Lock()
	needed := f.needLocked() != needNothing
	f.group.mu.Unlock()
	if needed {
		f.work()
	}
}

// work starts the goroutine that gets from the broker what the follower needs, unless it is running.
func (f *follower) work() {
	h := f.history.hub
	f.group.mu.Lock()
	begin := !f.working
	f.working = true
	f.group.mu.Unlock()
	if begin && !h.start(f.run) {
		f.group.mu.Lock()
		defer f.group.mu.Unlock()
		f.working = false // Shutdown has begun
	}
}

// run gets what the follower needs. It ends when it needs nothing more, and with the group.
func (f *follower) run() {
	defer f.history.startChecks()
	var failing time.Time // since when; zero: not
	patient, backoff := false, minBackoff
	for {
		need := f.nextNeed()
		if need == needNothing {
			return
		}
		if need == needGap && !patient {
			patient = true
			f.sleep(gapPatience)
			continue
		}
		begun := time.Now()
		err := f.attempt(need)
		f.tell(err)
		switch {
		case err == nil:
			failing, patient, backoff = time.Time{}, false, minBackoff
			continue
		case errors.Is(err, ErrHistoryLost) && need != needCursor:
			f.lose(err)
			continue // with those that come later
		case errors.Is(err, ErrHistoryLost), errors.Is(err, ErrNoHistory):
			f.lose(err)
		case failing.IsZero():
			failing = begun
		case time.Since(failing) >= f.history.options.GapTimeout:
			f.giveUp(need, err)
			failing = time.Now()
		}
		rest := f.history.options.GapTimeout
		if !failing.IsZero() {
			rest -= time.Since(failing)
		}
		f.sleep(min(backoff, max(rest, 0)))
		backoff = min(2*backoff, maxBackoff)
	}
}

// nextNeed returns what the follower needs. If that is nothing, the goroutine of work ends.
func (f *follower) nextNeed() int {
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	need := f.needLocked()
	f.working = need != needNothing
	return need
}

// sleep waits, or until the follower ends.
func (f *follower) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.ctx.Done():
	}
}

// tell records how an attempt ended, and logs the first failure of an outage.
func (f *follower) tell(err error) {
	f.group.mu.Lock()
	f.failed = err
	if errors.Is(err, ErrHistoryLost) { // the broker has answered
		f.failed = nil
	}
	f.notifyLocked()
	f.group.mu.Unlock()
	if f.ctx.Err() == nil {
		f.history.tell(err)
	}
}

func (s *history) tell(err error) {
	switch {
	case err == nil:
		s.away.Store(false)
	case errors.Is(err, ErrHistoryLost): // it has answered
	case s.away.CompareAndSwap(false, true):
		logFailure("hub: the history of rooms is not available", err)
	}
}

func (f *follower) attempt(need int) error {
	if need == needCursor {
		return f.begin()
	}
	return f.readOn()
}

// begin puts the cursor at the newest entry, once the subscription is in effect: later entries arrive.
func (f *follower) begin() error {
	s := f.history
	ctx, cancel := s.bound(f.ctx)
	defer cancel()
	if waiter, ok := s.hub.options.Broker.(SubscriptionWaiter); ok {
		if err := waiter.AwaitSubscribed(ctx); err != nil {
			return err
		}
	}
	_, newest, err := s.broker.Read(ctx, f.group.topic, Position{}, 0)
	if err != nil {
		return err
	}
	f.group.mu.Lock()
	f.live, f.cursor = true, newest
	f.recent.reset(newest)
	f.notifyLocked()
	f.group.mu.Unlock()
	f.deliver()
	return nil
}

var errNotVisible = errors.New("hub: the Broker does not return an entry that it has delivered")

// readOn reads entries after the cursor and delivers them.
func (f *follower) readOn() error {
	f.group.mu.Lock()
	after, reads := f.cursor, f.reads
	f.reads++
	f.unread = false
	f.group.mu.Unlock()
	entries, newest, err := f.history.read(f.ctx, f.group.topic, after, readPage)
	if err != nil {
		f.group.mu.Lock()
		defer f.group.mu.Unlock()
		f.unread = true
		return err
	}
	return f.takePage(after, reads, entries, newest)
}

// takePage delivers what was read after the cursor.
func (f *follower) takePage(after Position, reads int, entries []Entry, newest Position) error {
	if newest.Epoch != after.Epoch || len(entries) == 0 && newest.Offset > after.Offset {
		return ErrHistoryLost // at the latest in the meantime
	}
	before := after.Offset
	for _, e := range entries {
		e.Previous = before // nothing is in between
		before = e.Offset
		f.take(e, true)
	}
	f.deliver()
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	f.unread = f.unread || before < newest.Offset
	for key, a := range f.waiting {
		if a.at.Epoch != after.Epoch && a.read <= reads { // it is late, and of an earlier epoch
			f.removeLocked(key)
		}
	}
	if len(entries) == 0 && f.cursor == after && f.hasGapLocked() {
		return errNotVisible
	}
	return nil
}

// giveUp ends the wait for what the broker does not return.
func (f *follower) giveUp(need int, err error) {
	if need != needRead {
		f.lose(err)
		return
	}
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	f.unread = false // the next entry or check tries again
}

// lose disconnects the members that are not going to get all messages. The follower begins anew
// with those that come later.
func (f *follower) lose(err error) {
	lost := f.stop()
	for _, ms := range lost {
		ms.member.cutOff(ms, f.group)
	}
	if len(lost) > 0 {
		logLoss(f.group.topic.Name, len(lost), err)
	}
	for _, ms := range lost {
		f.history.hub.close(ms.member, websocket.CloseTryAgainLater, missedText)
	}
}

// stop takes the cursor away, and returns the memberships of those that were sent what came before.
func (f *follower) stop() (followed []*membership) {
	g := f.group
	g.mu.Lock()
	defer g.mu.Unlock()
	f.live = false
	for f.delivering { // it does not wait for the network
		change := f.changeLocked()
		g.mu.Unlock()
		<-change
		g.mu.Lock()
	}
	clear(f.waiting)
	f.bytes, f.unread = 0, false
	f.recent.reset(Position{})
	f.notifyLocked()
	for _, ms := range g.slots {
		if ms == nil {
			continue
		}
		if _, isHeld := f.held[ms]; !isHeld {
			followed = append(followed, ms)
		}
	}
	return followed
}

func logLoss(room string, members int, failure error) {
	var err error
	defer recoverTo(&err)
	slog.Default().Warn("hub: members have missed messages and are disconnected", "room", room, "members", members, "error", failure)
}
