package hub

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A follower delivers the history of a room with members on this node: each entry goes to the log of
// the group once, in the order of the offsets. The cursor is the last entry that has. An entry that
// does not follow the cursor waits until the entries before it have arrived, or have been read from
// the broker: see work.
type follower struct {
	history *history
	group   *group
	keep    Keep
	ctx     context.Context // ends with the group, or when Shutdown begins
	end     context.CancelFunc

	// The group's mutex guards the rest. It is held when an entry goes to the log and the
	// cursor moves, so that both are seen to happen at one moment.

	live       bool     // there is a cursor
	cursor     Position // of the last entry that went to the log
	waiting    map[Position]*arrival
	bytes      int    // of the payloads in waiting
	delivering bool   // a goroutine is about to move the cursor; no other one does
	recent     recent // the last entries that went to the log
	quiet      bool   // nothing has moved the cursor since the last check

	working bool  // the goroutine of work is running, or about to
	unread  bool  // the broker is to be asked for what follows the cursor, whether there is a gap or not
	reads   int   // how often it has been
	failed  error // of the last attempt of work; nil if it succeeded

	held    map[*membership]*resumption // the members that are not sent entries: see Member.isHeld
	changed chan struct{}               // closed when the cursor or live changes; nil: nobody waits
}

// An arrival is an entry that waits. The key in follower.waiting is the position of the entry before it.
type arrival struct {
	at    Position
	size  int
	read  int        // follower.reads when it arrived
	entry *keptEntry // nil until it is prepared
}

// A keptEntry is an entry as it is delivered on this node.
type keptEntry struct {
	follower *follower
	at       Position
	arrived  time.Time
	message  Message // with its stamp
	isNone   bool    // the entry can't be sent; there is no message
	except   []Topic
	size     int // what it takes in memory, about
}

const (
	// maxWaiting and maxWaitingBytes bound the entries that wait for others, besides those that
	// are read. What does not fit is read later.
	maxWaiting      = 256
	maxWaitingBytes = 4 << 20
)

func newFollower(s *history, g *group, keep Keep) *follower {
	f := &follower{history: s, group: g, keep: keep}
	f.waiting = make(map[Position]*arrival)
	f.held = make(map[*membership]*resumption)
	f.ctx, f.end = context.WithCancel(s.ctx)
	f.recent.limit(keep, s.options.MaxMemory)
	return f
}

// arrive takes an entry that was appended. It may be called several times with the same one.
func (f *follower) arrive(e Entry) {
	f.take(e, false)
	f.deliver()
}

// take lets an entry wait, unless it has arrived before, and prepares it. An entry that was read is
// taken in any case.
func (f *follower) take(e Entry, wasRead bool) {
	before := Position{e.Epoch, e.Previous}
	a := &arrival{at: e.Position, size: len(e.Payload)}
	f.group.mu.Lock()
	a.read = f.reads
	isFull := len(f.waiting) >= maxWaiting || f.bytes+a.size > maxWaitingBytes
	switch {
	case f.hasPassed(e.Position) || f.waiting[before] != nil && f.waiting[before].at == e.Position:
		f.group.mu.Unlock()
		return
	case isFull && !wasRead && before != f.cursor:
		f.unread = true
		f.group.mu.Unlock()
		return
	}
	f.removeLocked(before)
	f.waiting[before] = a
	f.bytes += a.size
	f.group.mu.Unlock()

	entry := f.prepare(e)
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	a.entry = entry
}

// hasPassed reports whether an entry is not after the cursor. The caller holds the mutex.
func (f *follower) hasPassed(at Position) bool {
	return f.live && at.Epoch == f.cursor.Epoch && at.Offset <= f.cursor.Offset
}

func (f *follower) removeLocked(before Position) {
	if a := f.waiting[before]; a != nil {
		f.bytes -= a.size
		delete(f.waiting, before)
	}
}

// prepare decodes an entry and stamps its message.
func (f *follower) prepare(e Entry) *keptEntry {
	k := &keptEntry{follower: f, at: e.Position, arrived: time.Now(), size: keptOverhead}
	message, except, ok := f.history.hub.decodeEntry(e)
	if !ok {
		k.isNone = true
		return k
	}
	k.except = except
	k.message = f.history.stamp(message, e.Position)
	k.size += 2 * len(k.message.encoded.Data()) // compressed frames are kept, too
	return k
}

// keptOverhead is about what an entry takes in memory besides its data.
const keptOverhead = 300

func (s *history) stamp(m Message, at Position) (stamped Message) {
	if s.options.Stamp == nil || m.slow != nil && m.slow.subject != "" {
		return m
	}
	err := func() (err error) {
		defer recoverTo(&err)
		stamped = s.options.Stamp(m, at)
		stamped.slow = m.slow
		return s.hub.check(stamped)
	}()
	if err != nil {
		logFailure("hub: HistoryOptions.Stamp failed", err)
		return m
	}
	return stamped
}

// notifyLocked wakes those that wait for a change.
func (f *follower) notifyLocked() {
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// changeLocked returns a channel that is closed at the next change.
func (f *follower) changeLocked() <-chan struct{} {
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// awaitLive returns when there is a cursor.
func (f *follower) awaitLive(ctx context.Context) error {
	for {
		f.group.mu.Lock()
		live, failed, change := f.live, f.failed, f.changeLocked()
		f.group.mu.Unlock()
		switch {
		case live:
			return nil
		case errors.Is(failed, ErrNoHistory):
			return failed
		}
		select {
		case <-change:
		case <-f.ctx.Done():
			return errNotFollowed
		case <-ctx.Done():
			if failed != nil {
				return failed
			}
			return fmt.Errorf("hub: waiting for the history: %w", context.Cause(ctx))
		}
	}
}

// errNotFollowed is the error of a room that has no members any more.
var errNotFollowed = errors.New("hub: the room has been left")

// awaitReached returns when the cursor has reached an entry, or will not.
func (f *follower) awaitReached(ctx context.Context, at Position) {
	for {
		f.group.mu.Lock()
		done, change := !f.live || f.hasPassed(at), f.changeLocked()
		f.group.mu.Unlock()
		if done {
			return
		}
		select {
		case <-change:
		case <-f.ctx.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// awaitHistories returns when messages that are sent to rooms with history reach the member.
func (m *Member) awaitHistories(ctx context.Context, rooms []string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(m.conn.Context(), func() { cancel(context.Cause(m.conn.Context())) })()
	for _, room := range rooms {
		g := m.hub.group(Room(room))
		if g == nil || g.follower == nil {
			continue
		}
		if err := g.follower.awaitLive(ctx); err != nil {
			if ended := m.sendError(); ended != nil {
				return ended
			}
			return err
		}
	}
	return nil
}
