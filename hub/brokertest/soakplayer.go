package brokertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

// A soakPlayer connects again and again. What its clients have received outlives them.
type soakPlayer struct {
	soak     *soak
	number   int
	key      string
	random   *rand.Rand
	isSlow   bool
	sessions int
	sets     int
	stays    []*soakStay
	since    map[string]hub.Position // of the last message of each room with history

	plain int // how many messages without history it has received

	mu        sync.Mutex
	current   *soakSession // nil for none
	isSettled bool         // current is in all its rooms, and lasts to the end
}

// A soakStay is the time for which a member is in a room.
type soakStay struct {
	number int
	room   string
	isKept bool
	since  hub.Position
	live   bool // it began with the messages of that moment
	joined atomic.Bool

	// The goroutine that reads sets these.
	epoch  string
	got    []uint64 // the offsets of messages, ascending
	people map[string]string
}

func (s *soakStay) has(offset uint64) bool {
	_, ok := slices.BinarySearch(s.got, offset)
	return ok
}

func newSoakPlayer(s *soak, number int) *soakPlayer {
	return &soakPlayer{
		soak: s, number: number, key: fmt.Sprint("key ", number/2), // everyone has two tabs
		random: rand.New(rand.NewPCG(s.seed, uint64(1+number))), //nolint:gosec // a test
		isSlow: number%4 == 3, since: make(map[string]hub.Position),
	}
}

// rooms returns the rooms in which the player is in the end.
func (p *soakPlayer) rooms() (rooms []string) {
	for i, room := range soakRooms {
		if (p.number/2+i)%3 > 0 {
			rooms = append(rooms, room)
		}
	}
	return rooms
}

func (p *soakPlayer) pause(most int) {
	timer := time.NewTimer(time.Duration(1+p.random.IntN(most)) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.soak.over:
	}
}

// play plays sessions, the last of which lasts to the end.
func (p *soakPlayer) play() {
	for !p.isOver() {
		p.sessions++
		p.session()
		p.set(nil, false)
		p.pause(50)
	}
}

func (p *soakPlayer) isOver() bool {
	select {
	case <-p.soak.over:
		return true
	default:
		return false
	}
}

func (p *soakPlayer) set(current *soakSession, isSettled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current, p.isSettled = current, isSettled
}

// staying returns the session and its stay in a room that it has entered, nil if there is none.
func (p *soakPlayer) staying(room string) (*soakSession, *soakStay) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil {
		return nil, nil
	}
	stay := p.current.stay(room)
	if stay == nil || !stay.joined.Load() {
		return nil, nil
	}
	return p.current, stay
}

// lasting returns the session that lasts to the end, nil if the player is not in its rooms.
func (p *soakPlayer) lasting() *soakSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isSettled {
		return nil
	}
	return p.current
}

// session connects, does things at random, and ends with the connection.
func (p *soakPlayer) session() {
	s, err := p.open(p.soak.pick(p.random))
	if s == nil {
		return // the node is ending
	}
	p.set(s, false)
	for steps := p.random.IntN(80); err == nil && steps > 0 && !p.soak.calm.Load(); steps-- {
		err = s.step()
		p.pause(30)
	}
	if err == nil && p.soak.calm.Load() {
		err = s.settle()
	}
	if err != nil && s.conn.Context().Err() == nil && !s.node.ended.Load() && !isEnding(err) {
		p.soak.failf("%s on %s: %v", s.from, s.node.name, err)
	}
	s.close()
}

// open begins a session on a node. It returns nil if there is no connection.
func (p *soakPlayer) open(node *soakNode) (*soakSession, error) {
	client, conn, err := node.connect(p.random)
	if err != nil {
		return nil, err
	}
	s := &soakSession{
		soakPlayer: p, node: node, client: client, conn: conn, from: fmt.Sprintf("player %d in session %d", p.number, p.sessions),
		stays: make(map[string]*soakStay), last: make(map[string]int), marks: make(chan int, 1),
	}
	s.reading.Go(s.read)
	s.member, err = node.hub.Join(conn)
	if err == nil && p.key != "" {
		err = s.member.SetKey(p.key)
	}
	return s, err
}

// close ends the session in one of several ways.
func (s *soakSession) close() {
	s.ending.Store(true)
	switch s.random.IntN(3) {
	case 0:
		_ = s.client.CloseNow()
	case 1:
		_ = s.client.Close(websocket.CloseNormalClosure, "")
	default:
		_ = s.conn.Close(websocket.CloseNormalClosure, "")
	}
	s.reading.Wait()
	_ = s.client.CloseNow()
	for room := range s.stays {
		s.end(room)
	}
}

// isEnding reports whether an error says that a connection is being closed.
func isEnding(err error) bool {
	return errors.Is(err, websocket.ErrCloseSent) || errors.Is(err, websocket.ErrQueueFull) || errors.Is(err, context.DeadlineExceeded)
}

// step does one thing. The error is that of a connection that has ended.
func (s *soakSession) step() error {
	room := soakRooms[s.random.IntN(len(soakRooms))]
	switch n := s.random.IntN(10); {
	case n < 2:
		if s.stay(room) == nil {
			return s.join(room)
		}
		if s.random.IntN(2) == 0 {
			return s.leave(room)
		}
	case n == 2:
		s.sets++
		return s.member.SetPresence(fmt.Append(nil, "value ", s.sets, " of ", s.number))
	case room != soakQuiet:
		s.send(room)
	}
	return nil
}

// send sends a message to a room. A broker that is away is no failure.
func (s *soakSession) send(room string) {
	s.sent++
	m := soakMessage{From: s.from, Number: s.sent}
	audience := s.node.hub.To(hub.Room(room))
	if s.random.IntN(8) == 0 {
		m.Except = fmt.Sprint("key ", s.random.IntN(soakPlayers/2))
		audience = audience.Except(hub.Key(m.Except))
	}
	err := audience.Send(hub.JSON(soakFrame{Kind: frameMessage, Room: room, soakMessage: m, Padding: strings.Repeat(" ", s.random.IntN(2000))}))
	if err == nil && slices.Contains(soakKept, room) {
		s.soak.ledger.acknowledge(room, m)
	}
}

// join enters a room, and resumes where the player was if the room has history.
func (s *soakSession) join(room string) error {
	ctx, cancel := context.WithTimeout(s.member.Conn().Context(), timeout)
	defer cancel()
	stay := &soakStay{number: len(s.soakPlayer.stays), room: room, isKept: slices.Contains(soakKept, room)}
	stay.live = !stay.isKept || !s.soak.calm.Load() && s.random.IntN(10) == 0
	if !stay.live {
		stay.since = s.since[room]
	}
	s.begin(stay)
	err := s.mark(ctx, frameEnter, stay)
	switch {
	case err != nil:
	case !stay.isKept:
		err = s.member.Join(room)
	case stay.live:
		err = s.member.JoinContext(ctx, room)
	default:
		var at hub.Position
		at, err = s.member.JoinSince(ctx, room, stay.since)
		if since := stay.since; err == nil && since != (hub.Position{}) && (at.Epoch != since.Epoch || at.Offset < since.Offset) {
			s.soak.failf("JoinSince since %v in %q has returned %v", since, room, at)
		}
	}
	if err == nil {
		stay.joined.Store(true)
		if stay.since != (hub.Position{}) {
			s.soak.resumed.Add(1)
		}
		return nil
	}
	if s.member.Conn().Context().Err() != nil {
		return err
	}
	isLost := errors.Is(err, hub.ErrHistoryLost)
	if err := s.leave(room); err != nil {
		return err
	}
	if isLost {
		at := stay.since
		if n := len(stay.got); n > 0 { // it was lost on the way
			at = hub.Position{Epoch: stay.epoch, Offset: stay.got[n-1]}
		}
		s.soak.ledger.lose(room, at)
		s.since[room] = hub.Position{}
	}
	return nil // the broker is away, or the message is lost: the player tries again later
}

// leave leaves a room, and returns when the client has received all that was sent before.
func (s *soakSession) leave(room string) error {
	s.member.Leave(room)
	ctx := s.member.Conn().Context()
	if err := s.mark(ctx, frameLeft, s.stay(room)); err != nil {
		return err
	}
	select {
	case <-s.marks:
		s.end(room)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *soakSession) mark(ctx context.Context, kind string, stay *soakStay) error {
	return s.member.SendContext(ctx, hub.JSON(soakFrame{Kind: kind, Room: stay.room, Stay: stay.number}))
}

// settle joins the rooms in which the player is in the end, and returns when the run is over.
func (s *soakSession) settle() error {
	for _, room := range soakRooms {
		wanted := slices.Contains(s.rooms(), room)
		if s.stay(room) != nil && !wanted {
			if err := s.leave(room); err != nil {
				return err
			}
		}
		for wanted && s.stay(room) == nil && !s.isOver() {
			if err := s.join(room); err != nil {
				return err
			}
			s.pause(30)
		}
	}
	if err := s.member.SetPresence([]byte("the last of " + s.key)); err != nil {
		return err
	}
	s.set(s, true)
	select {
	case <-s.soak.over:
		return nil
	case <-s.member.Conn().Context().Done():
		return context.Cause(s.member.Conn().Context())
	}
}
