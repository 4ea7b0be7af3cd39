package hub_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Players join rooms with history on three nodes, leave, vanish, and resume on other nodes from the last
// message that they have received. The brokers lose, repeat and delay entries, fail, and return entries
// late. The model knows what was appended: from the position where a player has joined, it receives
// exactly what follows and is not kept from it, to the end.
func TestHistoryModel(t *testing.T) {
	for seed := range uint64(8) {
		w := runHistoryModel(t, seed, 10_000)
		assert.Zero(t, w.lost.Load(), "nothing is dropped")
		assert.Positive(t, w.resumed.Load())
	}
}

// The same holds when histories are short and lost altogether at times, except that players are told
// then that what they have missed can't be had.
func TestHistoryModelWithLosses(t *testing.T) {
	var lost int64
	for seed := range uint64(8) {
		lost += runHistoryModel(t, 100+seed, 25).lost.Load()
	}
	assert.Positive(t, lost)
}

const (
	historyNodes      = 3
	historyPlayers    = 12
	historySessions   = 10
	historyPublishers = 2 // on each node
	historyMessages   = 150
)

// A world is the nodes, and what they have appended.
type world struct {
	*testing.T
	keep  int
	nodes [historyNodes]*hub.Hub

	calm     atomic.Bool  // the brokers make no mistakes
	settled  atomic.Int64 // the number of players that have joined for the last time
	lost     atomic.Int64
	resumed  atomic.Int64
	brokers  [historyNodes]*chaoticBroker
	delayed  sync.WaitGroup
	appended atomic.Int64 // the number of messages

	mu    sync.Mutex
	truth map[string][]modelEntry // by epoch and room, in the order of offsets
	epoch map[string]string       // the current one of each room
}

type modelEntry struct {
	at     hub.Position
	text   string
	except []string // keys, members' IDs, and rooms: see seat
}

// runHistoryModel runs the model once.
func runHistoryModel(t *testing.T, seed uint64, keep int) (w *world) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		silenceSlog(t)
		w = &world{T: t, keep: keep, truth: make(map[string][]modelEntry), epoch: make(map[string]string)}
		for i := range w.nodes {
			w.brokers[i] = &chaoticBroker{world: w, random: newLockedRandom(seed, 1000+i), topics: make(map[hub.Topic]bool)}
		}
		w.begin()
		for i := range w.nodes {
			w.nodes[i] = hub.New(hub.Options{
				Broker: w.brokers[i],
				Queue:  websocket.QueueLimit{Bytes: 20_000},
				History: &hub.HistoryOptions{
					Rooms: func(room string) hub.Keep { return hub.Keep{Messages: keep * min(1, strings.Count(room, "history"))} },
					Stamp: func(m hub.Message, at hub.Position) hub.Message {
						return hub.Text(at.String() + " " + string(m.Data()))
					},
					CheckInterval: 2 * time.Second,
					MaxMemory:     []int{-1, 20_000, 0}[i],
				},
			})
		}
		var playing, publishing sync.WaitGroup
		players := make([]*historyPlayer, historyPlayers)
		for i := range players {
			players[i] = &historyPlayer{world: w, name: fmt.Sprint("player ", i), random: newLockedRandom(seed, i), rig: newRig(t, testws.Memory, websocket.Options{})}
			playing.Go(players[i].play)
		}
		for i := range historyNodes * historyPublishers {
			publishing.Go(func() { w.publish(w.nodes[i%historyNodes], newLockedRandom(seed, 100+i), players) })
		}
		if keep < 1000 {
			for range 3 {
				time.Sleep(time.Second)
				w.begin()
			}
		}
		publishing.Wait()
		for w.settled.Load() < historyPlayers {
			time.Sleep(100 * time.Millisecond)
		}
		for _, room := range historyRooms {
			for w.nodes[0].To(hub.Room(room)).Send(hub.Text("the end")) != nil { //nolint:revive // until it is kept
			}
		}
		w.calm.Store(true) // the end may have been lost on its way
		w.delayed.Wait()
		playing.Wait()
		for _, h := range w.nodes {
			require.NoError(t, h.Shutdown(t.Context()))
		}
		for _, p := range players {
			p.check()
		}
	})
	return w
}

var historyRooms = []string{"history 1", "history 2"}

// begin connects the brokers anew, without any history.
func (w *world) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	network := new(hub.Memory)
	for _, b := range w.brokers {
		b.connect(network)
	}
	for _, room := range historyRooms {
		_, newest, err := network.Node().(hub.HistoryBroker).Read(w.Context(), hub.Room(room), hub.Position{}, 0) //nolint:errcheck // it is
		require.NoError(w, err)
		w.epoch[room] = newest.Epoch
	}
}

func (w *world) publish(h *hub.Hub, random *lockedRandom, players []*historyPlayer) {
	for range historyMessages {
		room := historyRooms[random.IntN(2)]
		audience := h.To(hub.Room(room))
		switch random.IntN(8) {
		case 0:
			audience = audience.Except(hub.Key(players[random.IntN(len(players))].name))
		case 1:
			if id := players[random.IntN(len(players))].id.Load(); id != nil {
				audience = audience.Except(hub.ID(*id))
			}
		case 2:
			audience = audience.Except(hub.Room("quiet"))
		}
		text := fmt.Sprint(w.appended.Add(1), strings.Repeat(" ", random.IntN(3)*500))
		err := audience.Send(hub.Text(text))
		if err == nil {
			assert.True(w, w.has(room, text), "it is kept")
		} else {
			require.ErrorIs(w, err, errAway)
		}
		if random.IntN(3) == 0 {
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		}
	}
}

func (w *world) has(room, text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, entries := range w.truth {
		if strings.HasSuffix(key, room) && slices.ContainsFunc(entries, func(e modelEntry) bool { return e.text == text }) {
			return true
		}
	}
	return false
}

// record records an entry that was appended, unless it has been recorded.
func (w *world) record(topic hub.Topic, e hub.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.ContainsFunc(w.truth[e.Epoch+topic.Name], func(other modelEntry) bool { return other.at == e.Position }) {
		return
	}
	entry := modelEntry{at: e.Position}
	body := e.Payload[3:]
	for range e.Payload[2] { // its fields are short
		length := int(body[1])
		entry.except = append(entry.except, string(body[3:2+length]))
		body = body[2+length:]
	}
	entry.text = string(body)
	key := e.Epoch + topic.Name
	w.truth[key] = append(w.truth[key], entry)
}

// now returns the epoch of a room and the newest offset.
func (w *world) now(room string) (epoch string, newest uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	epoch = w.epoch[room]
	for _, e := range w.truth[epoch+room] {
		newest = max(newest, e.at.Offset)
	}
	return epoch, newest
}

// A lockedRandom may be used by several goroutines.
type lockedRandom struct {
	mu     sync.Mutex
	random *rand.Rand
}

func newLockedRandom(seed uint64, who int) *lockedRandom {
	return &lockedRandom{random: rand.New(rand.NewPCG(seed, uint64(who)))} //nolint:gosec // a test can be repeated
}

func (r *lockedRandom) IntN(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.random.IntN(n)
}

// A chaoticBroker is a node of the current network.
type chaoticBroker struct {
	hub.Broker // not used: each method is its own
	world      *world
	random     *lockedRandom
	receive    func(hub.Topic, hub.Entry)
	delivering sync.Mutex // held during a call of receive

	mu     sync.Mutex
	node   hub.HistoryBroker
	topics map[hub.Topic]bool
	closed bool
}

func (b *chaoticBroker) connect(network *hub.Memory) {
	node := network.Node().(hub.HistoryBroker) //nolint:errcheck // it is
	node.Open(func(hub.Topic, []byte) {})
	node.OpenHistory(b.deliver)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.node = node
	for t := range b.topics {
		_ = node.Subscribe(t)
	}
}

// deliver delivers an entry, perhaps late, more than once, or not at all.
func (b *chaoticBroker) deliver(t hub.Topic, e hub.Entry) {
	b.world.record(t, e)
	deliver := func() {
		b.delivering.Lock()
		defer b.delivering.Unlock()
		b.mu.Lock()
		closed := b.closed
		b.mu.Unlock()
		if !closed {
			b.receive(t, e)
		}
	}
	if b.world.calm.Load() {
		deliver()
		return
	}
	switch b.random.IntN(10) {
	case 0: // lost
	case 1, 2:
		b.world.delayed.Go(func() {
			time.Sleep(time.Duration(b.random.IntN(40)) * time.Millisecond)
			deliver()
		})
	case 3:
		deliver()
		deliver()
	default:
		deliver()
	}
}

func (b *chaoticBroker) current() hub.HistoryBroker {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.node
}

// fault sometimes waits, and sometimes returns an error.
func (b *chaoticBroker) fault() error {
	if b.world.calm.Load() {
		return nil
	}
	switch b.random.IntN(12) {
	case 0:
		return errAway
	case 1, 2:
		time.Sleep(time.Duration(b.random.IntN(10)) * time.Millisecond)
	}
	return nil
}

func (b *chaoticBroker) Open(func(hub.Topic, []byte))                   {}
func (b *chaoticBroker) OpenHistory(receive func(hub.Topic, hub.Entry)) { b.receive = receive }
func (b *chaoticBroker) Publish(hub.Topic, []byte) error                { return nil }
func (b *chaoticBroker) AwaitSubscribed(context.Context) error          { return b.fault() }

func (b *chaoticBroker) Subscribe(t hub.Topic) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.topics[t] = true
	return b.node.Subscribe(t)
}

func (b *chaoticBroker) Unsubscribe(t hub.Topic) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.topics, t)
	return b.node.Unsubscribe(t)
}

func (b *chaoticBroker) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

func (b *chaoticBroker) Append(ctx context.Context, t hub.Topic, payload []byte, keep hub.Keep) (hub.Entry, error) {
	if err := b.fault(); err != nil {
		return hub.Entry{}, err
	}
	e, err := b.current().Append(ctx, t, payload, keep)
	if err != nil {
		return hub.Entry{}, err
	}
	b.world.record(t, e)
	return e, b.fault() // it is kept even so
}

func (b *chaoticBroker) Read(ctx context.Context, t hub.Topic, after hub.Position, limit int) ([]hub.Entry, hub.Position, error) {
	if err := b.fault(); err != nil {
		return nil, hub.Position{}, err
	}
	entries, newest, err := b.current().Read(ctx, t, after, limit)
	for _, e := range entries {
		b.world.record(t, e)
	}
	if err == nil {
		err = b.fault()
	}
	return entries, newest, err
}

// A historyPlayer is a client that connects again and again, and remembers the last message of each room.
type historyPlayer struct {
	*world
	name   string
	random *lockedRandom
	rig    *rig
	id     atomic.Pointer[string]
	seats  []*seat
}

// A seat is a stay of a player in a room.
type seat struct {
	room   string
	since  hub.Position
	names  []string // what Except may name: the key, the ID and rooms
	joined bool
	last   bool // the player stays to the end

	mu  sync.Mutex
	got []modelEntry // without except
}

// play plays sessions, the last of which lasts to the end.
func (p *historyPlayer) play() {
	since := make(map[string]hub.Position)
	for i := range historySessions {
		p.session(since, i == historySessions-1)
	}
	for lasted := false; !lasted; { // until one is not ended by the hub
		lasted = p.session(since, true)
	}
}

// session connects to a node, and joins rooms. It reports whether it has lasted to the end.
func (p *historyPlayer) session(since map[string]hub.Position, last bool) bool {
	slow := p.random.IntN(4) == 0 && !last
	client := wstest.Dial(p.T, p.rig.target, "/", &wstest.Options{Timeout: -1, ReadOnDemand: slow})
	member, err := p.nodes[p.random.IntN(historyNodes)].Join(<-p.rig.conns)
	require.NoError(p, err)
	require.NoError(p, member.SetKey(p.name))
	id := member.ID()
	p.id.Store(&id)
	names := []string{p.name, id}
	if p.random.IntN(3) == 0 {
		require.NoError(p, member.Join("quiet"))
		names = append(names, "quiet")
	}
	s := &session{player: p, seats: make(map[string]*seat), marks: make(chan string, 100)}
	var reading sync.WaitGroup
	reading.Go(func() { s.read(client, slow) })
	rounds := 1 + p.random.IntN(3)
	for round := range rounds {
		for _, room := range historyRooms {
			if s.seats[room] == nil && p.random.IntN(3) > 0 || last && round == rounds-1 && s.seats[room] == nil {
				if err = p.join(s, member, room, since, names); err != nil {
					break
				}
			}
		}
		if err != nil {
			break
		}
		time.Sleep(time.Duration(p.random.IntN(100)) * time.Millisecond)
		if room := historyRooms[p.random.IntN(2)]; round < rounds-1 && s.seats[room] != nil {
			member.Leave(room)
			if since[room], err = s.awaitLeft(member, room); err != nil {
				break
			}
		}
	}
	lasts := last && err == nil && p.lasts(member)
	_ = member.Conn().CloseNow()
	reading.Wait()
	for room, seat := range s.seats {
		seat.last = lasts
		since[room] = s.leave(room)
	}
	return lasts
}

// lasts reports whether a member stays until nothing moves any more.
func (p *historyPlayer) lasts(member *hub.Member) bool {
	ended := member.Conn().Context().Err
	p.settled.Add(1)
	for !p.calm.Load() && ended() == nil {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(10 * time.Second) // two checks find what was lost last
	return ended() == nil
}

// join resumes in a room. What it can't have is lost, and the player begins anew.
func (p *historyPlayer) join(s *session, member *hub.Member, room string, since map[string]hub.Position, names []string) error {
	for {
		seat := &seat{room: room, since: since[room], names: names}
		s.sit(seat)
		p.seats = append(p.seats, seat)
		epoch, newest := p.now(room)
		at, err := member.JoinSince(member.Conn().Context(), room, seat.since)
		if err == nil {
			p.resumed.Add(1)
			seat.joined = true
			assert.True(p, seat.since.Epoch == "" || at.Epoch == seat.since.Epoch && at.Offset >= seat.since.Offset, "%v since %v", at, seat.since)
			return nil
		}
		if !errors.Is(err, hub.ErrHistoryLost) && !errors.Is(err, errAway) {
			return err // the connection has ended
		}
		isLost := errors.Is(err, hub.ErrHistoryLost)
		if since[room], err = s.awaitLeft(member, room); err != nil {
			return err
		}
		if !isLost {
			continue
		}
		p.lost.Add(1)
		epochNow, newestNow := p.now(room)
		isGone := newestNow > since[room].Offset+uint64(p.keep) //nolint:gosec // it is positive
		if since[room] == (hub.Position{}) {
			isGone = newestNow > newest // the oldest that was kept may be gone
		}
		assert.True(p, isGone || epoch != epochNow || since[room].Epoch != epochNow, "%s: what follows %v is not lost", p.name, since[room])
		since[room] = hub.Position{}
	}
}

// A session is what the client of one connection receives.
type session struct {
	player *historyPlayer
	marks  chan string

	mu    sync.Mutex
	seats map[string]*seat
}

func (s *session) sit(seat *seat) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seats[seat.room] = seat
}

// awaitLeft is leave when the client has received all that was sent before.
func (s *session) awaitLeft(member *hub.Member, room string) (hub.Position, error) {
	ctx := member.Conn().Context()
	if err := member.SendContext(ctx, hub.Text("mark")); err != nil {
		return s.position(room), err
	}
	select {
	case <-s.marks:
		return s.leave(room), nil
	case <-ctx.Done():
		return s.position(room), context.Cause(ctx)
	}
}

func (s *session) position(room string) hub.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seats[room].position()
}

// position returns the position of the last message that the client has received.
func (s *seat) position() hub.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.got) == 0 {
		return s.since
	}
	return s.got[len(s.got)-1].at
}

// leave ends the stay in a room, and returns the position of the last message there.
func (s *session) leave(room string) hub.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	seat := s.seats[room]
	delete(s.seats, room)
	return seat.position()
}

func (s *session) read(client *wstest.Client, slow bool) {
	for {
		_, p, err := client.ReadMessage()
		if err != nil {
			var ended *websocket.CloseError
			if errors.As(err, &ended) && ended.Text == "missed messages" {
				s.player.lost.Add(1)
			}
			return
		}
		if slow {
			time.Sleep(time.Duration(s.player.random.IntN(30)) * time.Millisecond)
		}
		text := string(p)
		if text == "mark" {
			s.marks <- text
			continue
		}
		s.got(text)
	}
}

// got records a message. Its room is the one in whose truth it is.
func (s *session) got(text string) {
	stamp, text, _ := strings.Cut(text, " ")
	at, err := hub.ParsePosition(stamp)
	assert.NoError(s.player, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, room := range historyRooms {
		if seat := s.seats[room]; seat != nil && s.player.isOf(room, at, text) {
			seat.mu.Lock()
			seat.got = append(seat.got, modelEntry{at: at, text: text})
			seat.mu.Unlock()
			return
		}
	}
	s.player.Errorf("%s got %v %q in no room", s.player.name, at, text)
}

// isOf waits until an entry has been recorded.
func (w *world) isOf(room string, at hub.Position, text string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for key, epoch := range w.truth {
		if strings.TrimSuffix(key, room) == at.Epoch && slices.ContainsFunc(epoch, func(e modelEntry) bool { return e.at == at && e.text == text }) {
			return true
		}
	}
	return false
}

// check compares what a player has received in each of its stays with the truth.
func (p *historyPlayer) check() {
	for i, s := range p.seats {
		epoch := s.since.Epoch
		if epoch == "" && len(s.got) > 0 {
			epoch = s.got[0].at.Epoch
		}
		entries := p.truth[epoch+s.room]
		slices.SortFunc(entries, func(a, b modelEntry) int { return int(a.at.Offset) - int(b.at.Offset) }) //nolint:gosec // they are small
		var want []modelEntry
		first := s.since.Offset
		if s.since == (hub.Position{}) && len(s.got) > 0 && p.keep < 1000 {
			first = s.got[0].at.Offset - 1 // the oldest that was kept then
		}
		for _, e := range entries {
			if e.at.Offset > first && !slices.ContainsFunc(e.except, func(name string) bool { return slices.Contains(s.names, name) }) {
				want = append(want, modelEntry{at: e.at, text: e.text})
			}
		}
		got := s.got
		if at := s.position(); s.last {
			assert.True(p, slices.ContainsFunc(entries, func(e modelEntry) bool { return e.at == at && e.text == "the end" }), "%v of %s is the end", at, s.room)
		}
		if !s.last && len(got) < len(want) {
			want = want[:len(got)]
		}
		if !assert.Equal(p, texts(want), texts(got), "%s, stay %d in %s since %v, joined %v, to the end %v", p.name, i, s.room, s.since, s.joined, s.last) {
			p.FailNow()
		}
	}
}

func texts(entries []modelEntry) (texts []string) {
	for _, e := range entries {
		texts = append(texts, strconv.FormatUint(e.at.Offset, 10)+" "+strings.TrimSpace(e.text))
	}
	return texts
}
