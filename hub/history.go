package hub

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket"
)

// HistoryOptions say which rooms keep their last messages, so that a client that was away gets what it
// has missed: see [Member.JoinSince]. Set Rooms; all else may be zero.
type HistoryOptions struct {
	// Rooms says how much is kept of the messages of a room. The zero Keep: nothing. The hub calls
	// it often, concurrently and with no lock held. It must be quick, and always have the same
	// answer for a room, on all nodes. Where it panics, the call that needed the answer fails.
	Rooms func(room string) Keep

	// Stamp returns a message with its position, so that the client can say later what it has
	// received last: see [Message.Data]. The members get what Stamp returns, in the queue as the
	// original says (Latest and WhenFull). The hub calls it with no lock held, concurrently, once
	// for a message on each node, and again when it reads the message for a member that resumes.
	// Where Stamp panics, or its message can't be sent, the members get the message as it was.
	// Nil: always.
	//
	// A message with a subject (see Message.Latest) is not stamped: it may be written ahead of
	// earlier messages, and a client that resumed after it would miss them.
	Stamp func(m Message, at Position) Message

	// Timeout limits each call of the Broker, and the time for which Send may wait. Zero or less
	// means 5 seconds.
	Timeout time.Duration

	// GapTimeout is how long members of a room wait at most when the node knows that a message is
	// missing and the Broker can't say which. After that, they are disconnected with code 1013
	// (try again later), so that their clients resume. Zero or less means 30 seconds.
	GapTimeout time.Duration

	// CheckInterval is how often a node asks the Broker for messages of rooms that have been
	// quiet. A last message that was lost on its way reaches the members within twice this time.
	// Zero or less means 15 seconds. Without a Broker, nothing is lost or asked.
	CheckInterval time.Duration

	// MaxMemory is how many bytes of recent messages of a room a node holds at most while the room
	// has members there, besides what the Broker keeps. Zero means 1 MiB; negative means none.
	// Members that missed more, or older ones, get them from the Broker.
	MaxMemory int
}

const (
	defaultHistoryTimeout = 5 * time.Second
	defaultGapTimeout     = 30 * time.Second
	defaultCheckInterval  = 15 * time.Second
	defaultHistoryMemory  = 1 << 20
)

func (o HistoryOptions) resolve() HistoryOptions {
	for option, value := range map[*time.Duration]time.Duration{
		&o.Timeout:       defaultHistoryTimeout,
		&o.GapTimeout:    defaultGapTimeout,
		&o.CheckInterval: defaultCheckInterval,
	} {
		if *option <= 0 {
			*option = value
		}
	}
	if o.MaxMemory == 0 {
		o.MaxMemory = defaultHistoryMemory
	}
	return o
}

var (
	errNoHistoryBroker = fmt.Errorf("%w: the Broker is no HistoryBroker", ErrNoHistory)
	errNotAlone        = errors.New("hub: a message to a room with history can have no other target")
)

// A history is what a hub knows of the histories of its rooms.
type history struct {
	hub     *Hub
	options HistoryOptions
	broker  HistoryBroker // nil if the Broker is none
	local   bool          // the broker is in this process, and has no other hub
	checks  checks
	away    atomic.Bool // the broker has failed, and not answered since

	ctx context.Context // ends when Shutdown begins
	end context.CancelFunc
}

// openHistory returns the history for the hub's options, nil if there is none. The broker is open, or
// nil: then the hub keeps the messages itself.
func (h *Hub) openHistory(broker Broker) *history {
	if h.options.History == nil {
		return nil
	}
	s := &history{hub: h, options: h.options.History.resolve(), local: broker == nil}
	s.ctx, s.end = context.WithCancel(context.Background())
	if s.local {
		broker = new(Memory).Node()
	}
	if broker, ok := broker.(HistoryBroker); ok {
		s.broker = recoveringHistory{broker}
		broker.OpenHistory(s.receive) // a panic is for the caller of New
	}
	return s
}

// keep returns how much is kept of a room. It is an error if something is to be kept and can't be.
func (s *history) keep(room string) (keep Keep, err error) {
	if s.options.Rooms == nil {
		return Keep{}, nil
	}
	defer recoverTo(&err)
	if keep = s.options.Rooms(room); keep.Messages > 0 && s.broker == nil {
		return Keep{}, errNoHistoryBroker
	}
	return keep, nil
}

// keepIn returns what is kept of the messages to a group.
func (h *Hub) keepIn(t Topic) (Keep, error) {
	if h.history == nil || t.Kind != KindRoom {
		return Keep{}, nil
	}
	return h.history.keep(t.Name)
}

// kept is keep of a room that must have a history.
func (h *Hub) kept(room string) (Keep, error) {
	keep, err := h.keepIn(Room(room))
	if err == nil && keep.Messages <= 0 {
		err = ErrNoHistory
	}
	return keep, err
}

// bound returns a context for one call of the broker.
func (s *history) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, s.options.Timeout, errHistoryTimeout)
}

var errHistoryTimeout = fmt.Errorf("hub: the Broker has not answered in time: %w", context.DeadlineExceeded)

// read is HistoryBroker.Read, bounded.
func (s *history) read(ctx context.Context, t Topic, after Position, limit int) ([]Entry, Position, error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return s.broker.Read(ctx, t, after, limit)
}

// receive receives entries from the broker.
func (s *history) receive(t Topic, e Entry) {
	if t.Kind != KindRoom {
		return
	}
	if g := s.hub.group(t); g != nil && g.follower != nil {
		g.follower.arrive(e)
	}
}

// A KeptMessage is a message in the history of a room.
type KeptMessage struct {
	Position Position
	Type     int    // websocket.TextMessage or websocket.BinaryMessage
	Data     []byte // which must not be changed
	// Except are the targets that the message left out. Those with a key or a member's ID were
	// not to receive it, and those in a room of these at the time of the message.
	Except []Topic
}

// History returns at most limit of the messages that are kept of a room, those after a position, the
// oldest first, and the position of the newest message that the room ever had. The zero Position
// asks for the oldest messages that are kept. With a limit of zero or less there are no messages, and
// only the position is of interest: a page that is loaded with the state of that moment may connect
// later and resume from there. HistoryOptions.Stamp is not applied.
//
// The error is one of
//   - [ErrHistoryLost], when messages after the position are not kept any more
//   - [ErrNoHistory], when the room has no history
//   - the error of the broker, or the cause of ctx
func (h *Hub) History(ctx context.Context, room string, after Position, limit int) ([]KeptMessage, Position, error) {
	if _, err := h.kept(room); err != nil {
		return nil, Position{}, err
	}
	for {
		entries, newest, err := h.history.read(ctx, Room(room), after, max(limit, 0))
		if err != nil {
			return nil, Position{}, err
		}
		var messages []KeptMessage
		for _, e := range entries {
			if m, except, ok := h.decodeEntry(e); ok {
				messages = append(messages, KeptMessage{Position: e.Position, Type: m.Type(), Data: m.Data(), Except: except})
			}
			after = e.Position
		}
		if len(messages) > 0 || len(entries) == 0 { // or all of them are of other programs, and malformed
			return messages, newest, nil
		}
	}
}

// decodeEntry returns the message of an entry, and whom it leaves out. It reports false for an entry
// of another program that can't be sent.
func (h *Hub) decodeEntry(e Entry) (m Message, except []Topic, ok bool) {
	var envelope envelope
	if !envelope.decode(e.Payload) || envelope.op != opMessage || len(envelope.to) > 0 || h.check(envelope.message) != nil {
		return Message{}, nil, false
	}
	return envelope.message, envelope.except, true
}

// keepOf returns what is kept of the messages to an audience: of one room, or nothing. It is an error
// if one of several targets is a room with history.
func (h *Hub) keepOf(a *Audience) (keep Keep, err error) {
	several := false
	for i := range a.to.n {
		target := a.to.at(i)
		several = several || target != a.to.first
		if keep.Messages > 0 || target.isMember() || target.topic.Kind != KindRoom {
			continue
		}
		if keep, err = h.history.keep(target.topic.Name); err != nil {
			return Keep{}, err
		}
	}
	if several && keep.Messages > 0 {
		return Keep{}, errNotAlone
	}
	return keep, nil
}

// sendKept sends a message to a room with history.
func (h *Hub) sendKept(a *Audience, message Message, keep Keep) error {
	s, t := h.history, a.to.first.topic
	e := envelope{op: opMessage, message: message}
	for i := range a.except.n {
		e.except = append(e.except, a.except.at(i).name())
	}
	payload, err := e.encode()
	if err != nil {
		return err
	}
	ctx, cancel := s.bound(context.Background())
	defer cancel()
	if g := h.group(t); g != nil && g.follower != nil { // members that have joined before get the message
		if err := g.follower.awaitLive(ctx); err != nil && !errors.Is(err, errNotFollowed) {
			return err
		}
	}
	entry, err := s.broker.Append(ctx, t, payload, keep)
	switch {
	case err == nil:
	case h.brokerClosed.Load(): // nothing is kept any more
		return websocket.ErrShutdown
	default:
		return err
	}
	if g := h.group(t); g != nil && g.follower != nil {
		g.follower.arrive(entry)
		g.follower.awaitReached(ctx, entry.Position)
	}
	return nil
}
