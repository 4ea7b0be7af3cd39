package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

var (
	errInRoom   = errors.New("hub: the member is in the room already")
	errLeftRoom = errors.New("hub: the member has left the room in the meantime")
)

// JoinSince adds the member to a room with history and sends it the messages that it has missed: those
// after a position, in their order, and then the live ones, with nothing missing in between and
// nothing twice. It returns the position after which the live ones follow. The position may be from
// any node; the zero Position asks for all messages that are kept. To join without missed messages,
// use [Member.JoinContext].
//
// JoinSince waits for the broker, and for room in the member's queue, so that a long history does not
// overflow it. Messages are left out that are not for the member: what Except named is looked up
// again now, with the rooms and the key that the member has now. A message with a subject (see
// [Message.Latest]) takes the place of a waiting one, but no message is dropped to make room.
//
// The error is one of
//   - [ErrHistoryLost], when messages after the position can't be had any more: the application
//     should load the current state, and join from there
//   - [ErrNoHistory], when the room has no history
//   - an error that wraps the cause of ctx, when ctx has ended first
//   - an error of [Member.Join], or of the broker
//   - others, when the member is in the room already, or has left it during the call
//
// After an error, the member is in the rooms that it was in before; it may have received some of the
// messages. While JoinSince runs, the member is in the room for lists and other calls.
func (m *Member) JoinSince(ctx context.Context, room string, since Position) (Position, error) {
	if _, err := m.hub.kept(room); err != nil {
		return Position{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(m.conn.Context(), func() { cancel(context.Cause(m.conn.Context())) })()
	r := &resumption{member: m, at: since, end: cancel, done: make(chan struct{})}
	ms, err := m.enterHeld(Room(room), r)
	if err != nil {
		return Position{}, err
	}
	if ms == nil {
		return Position{}, errInRoom
	}
	err = r.run(ctx)
	close(r.done)
	if err == nil {
		return r.at, nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("hub: resuming in a room: %w", context.Cause(ctx))
	}
	m.abandon(r)
	if ended := m.sendError(); ended != nil {
		err = ended
	}
	return Position{}, err
}

// A resumption sends a member of a room what it has missed, while the member is held.
type resumption struct {
	member   *Member
	ms       *membership
	follower *follower
	at       Position // of the last message that the member has
	end      context.CancelCauseFunc
	done     chan struct{} // closed when nothing more is sent
}

// run returns when the member has all messages up to the cursor, and gets the next ones with the
// passes of the group.
func (r *resumption) run(ctx context.Context) error {
	for {
		if err := r.follower.awaitLive(ctx); err != nil {
			return err
		}
		var err error
		switch entries, state := r.look(); state {
		case resumed:
			return nil
		case inMemory:
			err = r.send(ctx, entries)
		case notInMemory:
			err = r.read(ctx)
		case ahead:
			err = r.awaitCursor(ctx)
		case notInGroup:
			err = errLeftRoom
		}
		if err != nil {
			return err
		}
	}
}

// Where a resumption is.
const (
	resumed     = iota // at the cursor; the member is not held any more
	inMemory           // the next entries are in memory
	notInMemory        // they must be read
	ahead              // at an entry that this node does not know of, or of another epoch
	notInGroup         // the member has left
)

func (r *resumption) look() (entries []*keptEntry, state int) {
	m, f := r.member, r.follower
	m.catchUp(func(*Member) []*membership { return oneOrNone(r.membershipLocked()) }) // which sends nothing
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.membershipLocked() == nil {
		return nil, notInGroup
	}
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	if !f.live {
		return nil, inMemory // nothing to send; wait again
	}
	if r.at == (Position{}) {
		if !f.recent.isAll() {
			return nil, notInMemory
		}
		r.at = f.recent.after
	}
	if r.at == f.cursor {
		if r.ms.next == f.group.logEnd() {
			m.releaseLocked(r)
			return nil, resumed
		}
		return nil, inMemory
	}
	if r.at.Epoch != f.cursor.Epoch || r.at.Offset > f.cursor.Offset {
		return nil, ahead
	}
	entries, ok := f.recent.since(r.at)
	switch {
	case !ok:
		return nil, notInMemory
	case len(entries) == 0: // there is nothing between this offset and the cursor
		r.at = f.cursor
	}
	return entries, inMemory
}

// membershipLocked returns the membership, nil if the member has left the group. The caller holds
// the member's mutex.
func (r *resumption) membershipLocked() *membership {
	if r.member.left || r.ms.group == nil {
		return nil
	}
	return r.ms
}

// read reads a page of the entries that are not in memory any more, and sends it.
func (r *resumption) read(ctx context.Context) error {
	f, after := r.follower, r.at
	page, newest, err := f.history.read(ctx, f.group.topic, after, readPage)
	if err != nil {
		return err
	}
	if len(page) == 0 {
		r.at = newest
		return nil
	}
	if after == (Position{}) {
		after = Position{page[0].Epoch, page[0].Previous}
	}
	f.group.mu.Lock()
	cursor := f.cursor
	f.group.mu.Unlock()
	entries := make([]*keptEntry, 0, len(page))
	for _, e := range page {
		if e.Epoch == cursor.Epoch && e.Offset > cursor.Offset {
			break // it comes with the live ones
		}
		entries = append(entries, f.prepare(e))
	}
	if len(entries) == 0 {
		r.at = cursor // all that is kept is later
		return nil
	}
	f.group.mu.Lock()
	if f.live {
		f.recent.extend(after, entries)
	}
	f.group.mu.Unlock()
	return r.send(ctx, entries)
}

// awaitCursor returns when the cursor has reached the position of the member, which another node
// knows. A position that nobody knows, or that is forgotten meanwhile, is lost.
func (r *resumption) awaitCursor(ctx context.Context) error {
	f := r.follower
	for pause := minBackoff; ; pause = min(2*pause, maxBackoff) {
		if _, _, err := f.history.read(ctx, f.group.topic, r.at, 0); err != nil {
			return err
		}
		f.readMore()
		if reached, err := r.cursorReaches(ctx, pause); reached || err != nil {
			return err
		}
	}
}

// cursorReaches reports whether the cursor reaches the position of the member within a time.
func (r *resumption) cursorReaches(ctx context.Context, within time.Duration) (bool, error) {
	f := r.follower
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		f.group.mu.Lock()
		waits := f.live && (r.at.Epoch != f.cursor.Epoch || r.at.Offset > f.cursor.Offset)
		change := f.changeLocked()
		f.group.mu.Unlock()
		if !waits {
			return true, nil
		}
		select {
		case <-change:
		case <-timer.C:
			return false, nil
		case <-f.ctx.Done():
			return false, errLeftRoom
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// send sends entries to the member, and waits for room in its queue.
func (r *resumption) send(ctx context.Context, entries []*keptEntry) error {
	m := r.member
	defer m.conn.Flush()
	for _, k := range entries {
		m.mu.Lock()
		isForMember := !k.isNone && k.isFor(m)
		err := m.sendErrorLocked()
		if r.membershipLocked() == nil {
			err = errLeftRoom
		}
		m.mu.Unlock()
		if err == nil && isForMember {
			err = m.sendMissed(ctx, k.message)
		}
		if err != nil {
			return err
		}
		r.at = k.at
	}
	return nil
}

// sendMissed enqueues a message as soon as there is room for it.
func (m *Member) sendMissed(ctx context.Context, message Message) error {
	queue := m.hub.options.Queue
	if s := m.hub.slowOf(message); s != nil && s.replacement != nil {
		m.mu.Lock()
		if d := m.hub.newDelivery(message); !m.isFull(&d) {
			defer m.mu.Unlock()
			return m.enqueueSlow(message.encoded, s)
		}
		m.mu.Unlock() // a message that had to wait is not replaced by a later one
	}
	return m.conn.EnqueueContext(ctx, queue, message.encoded)
}

// isFor reports whether the entry does not leave out a member now. The caller holds the member's mutex.
func (k *keptEntry) isFor(m *Member) bool {
	return !slices.ContainsFunc(k.except, func(t Topic) bool {
		switch t.Kind {
		case KindEveryone:
			return true
		case kindMember:
			return m.hub.number(target{topic: t}) == m.number
		default:
			return m.memberships.get(t) != nil
		}
	})
}
