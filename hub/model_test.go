package hub_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A message goes to exactly the audience of the moment when it is sent, once to each member, in the
// same order for all. A member that leaves, or whose connection ends, afterwards receives it first.
// On three nodes, the test publishes, joins, leaves, moves members of other nodes and ends
// connections at random, and the model computes what each client must receive.
func TestModel(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		for seed := range uint64(3) {
			newModel(t, n, seed, false).run()
		}
	})
}

// The same holds with short queues that drop messages, and with messages that replace others, except
// that clients miss some messages: as many as the hubs count.
func TestModelWithFullQueues(t *testing.T) {
	missed := 0
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		for seed := range uint64(3) {
			m := newModel(t, n, seed, true)
			m.run()
			for _, node := range m.nodes {
				missed += node.missed
			}
		}
	})
	assert.Positive(t, missed)
}

const (
	modelNodes      = 3
	modelPlayers    = 30 // a third of them on each node
	modelSteps      = 30
	modelPublishers = 2 // on each node
	modelMessages   = 150
	modelPadding    = 10_000 // bytes: the networks take some messages, and others have to wait
)

// A model records the calls of the hubs of three nodes, with their times, and what the clients
// receive.
type model struct {
	t     *testing.T
	seed  uint64
	full  bool // queues are full at times, and messages replace others
	clock atomic.Int64
	nodes [modelNodes]*modelNode

	mu       sync.Mutex
	messages []*modelMessage
	kicks    []kick
	players  []*player
}

// An interval is the time of a call on the model's clock. The call takes effect within it. The zero
// interval means that there was no call.
type interval struct{ call, ret int64 }

const never = math.MaxInt64

// A modelMessage is sent to an audience. On the other nodes, its time is that of the call of
// receive.
type modelMessage struct {
	to, except modelTargets
	latest     string // the key of Latest
	at         [modelNodes]interval
}

// drops reports whether a node drops messages that do not fit. The first node never does.
func (m *model) drops(node int) bool { return m.full && node > 0 }

// options returns the options of a node's hub.
func (m *model) options(node int) hub.Options {
	if !m.drops(node) {
		return hub.Options{Queue: websocket.QueueLimit{Messages: -1, Bytes: -1}}
	}
	return hub.Options{
		Queue:    websocket.QueueLimit{Messages: 6},
		WhenFull: []hub.Policy{hub.DropNewest, hub.DropOldest}[node-1],
	}
}

// modelTargets are topics and players.
type modelTargets struct {
	topics  []hub.Topic
	players []*player
}

// targets names the players in one of the two ways.
func (s modelTargets) targets(random *rand.Rand) (targets []hub.Target) {
	for _, topic := range s.topics {
		targets = append(targets, topic)
	}
	for _, p := range s.players {
		if member := p.member.Load(); random.IntN(2) == 0 {
			targets = append(targets, member)
		} else if member != nil {
			targets = append(targets, hub.ID(member.ID()))
		}
	}
	return targets
}

// A kick disconnects all members with a key on one node, or on both.
type kick struct {
	node int
	key  string
	all  bool
	at   interval
}

// A span is the time for which a player is in a room, has a key, or is a member.
type span struct {
	topic       hub.Topic
	join, leave interval
	got         []int // messages, in the order of arrival
}

// A player is a member and its client.
type player struct {
	name   int
	node   int
	random *rand.Rand
	member atomic.Pointer[hub.Member]
	dead   atomic.Bool // Serve must not receive any more messages
	rude   bool        // its end drops the queued messages
	unsure bool        // its connection ended during a call, whose effect is not known

	spans []*span
	got   []string // what the client has received
}

type modelNode struct {
	*hub.Hub
	upgrader *websocket.Upgrader
	target   any
	missed   int // messages that did not fit, or were replaced: by the hub's count
}

func newModel(t *testing.T, n testws.Network, seed uint64, full bool) *model {
	m := &model{t: t, seed: seed, full: full}
	var memory hub.Memory
	for i := range m.nodes {
		broker := &lateBroker{Broker: memory.Node(), model: m, node: i, random: m.newRandom(1000 + i)}
		options := m.options(i)
		options.Broker = broker
		node := &modelNode{Hub: hub.New(options)}
		node.upgrader = websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			name, _ := strconv.Atoi(r.URL.Query().Get("name"))
			return m.players[name].serve(m, conn)
		}))
		node.target = n.Serve(t, node.upgrader)
		m.nodes[i] = node
	}
	for i := range modelPlayers {
		m.players = append(m.players, &player{name: i, node: i % modelNodes, random: m.newRandom(i)})
	}
	return m
}

func (m *model) newRandom(who int) *rand.Rand {
	return rand.New(rand.NewPCG(m.seed, uint64(who))) //nolint:gosec // a test can be repeated
}

// call calls a function and records its interval.
func (m *model) call(f func()) interval {
	begun := m.clock.Add(1)
	f()
	return interval{begun, m.clock.Add(1)}
}

func (m *model) run() {
	var clients, publishers sync.WaitGroup
	for _, p := range m.players {
		client := wstest.Dial(m.t, m.nodes[p.node].target, fmt.Sprint("/?name=", p.name), &wstest.Options{Timeout: 20 * time.Second})
		clients.Go(func() { p.listen(m, client) })
		clients.Go(func() { p.talk(client) })
	}
	for i := range modelNodes * modelPublishers {
		random := m.newRandom(100 + i)
		publishers.Go(func() {
			for range modelMessages {
				m.send(i%modelNodes, random, m.anyAudience(random))
				if random.IntN(4) == 0 { // the messages are sent in bursts
					pause(random)
				}
			}
		})
	}
	publishers.Wait()
	for i, node := range m.nodes { // in the recommended order
		m.send(i, m.newRandom(200+i), modelMessage{to: modelTargets{topics: []hub.Topic{hub.Everyone()}}})
		down := m.call(func() { assert.NoError(m.t, node.upgrader.Shutdown(m.t.Context())) })
		m.kicked(kick{node: i, all: true, at: down})
	}
	for _, node := range m.nodes {
		require.NoError(m.t, node.Shutdown(m.t.Context()))
		stats := node.Stats()
		node.missed = int(stats.Dropped + stats.Replaced) //nolint:gosec // they are few
		require.Equal(m.t, hub.Stats{Dropped: stats.Dropped, Replaced: stats.Replaced}, stats)
	}
	clients.Wait()
	m.check()
}

// pause sometimes waits long enough for other goroutines to run.
func pause(random *rand.Rand) {
	if n := random.IntN(4); n > 0 {
		time.Sleep(time.Duration(n*n) * 50 * time.Microsecond)
	}
}

func anyRoom(random *rand.Rand) hub.Topic {
	return hub.Room(fmt.Sprint("room", random.IntN(3)))
}

func anyKey(random *rand.Rand) hub.Topic {
	return hub.Key(fmt.Sprint("key", random.IntN(8)))
}

func anyTopic(random *rand.Rand) hub.Topic {
	switch random.IntN(6) {
	case 0:
		return hub.Everyone()
	case 1:
		return anyKey(random)
	default:
		return anyRoom(random)
	}
}

// anyAudience is often one topic, or several, and sometimes leaves out others.
func (m *model) anyAudience(random *rand.Rand) (message modelMessage) {
	targets := func(most int) (s modelTargets) {
		for range random.IntN(most + 1) {
			if random.IntN(4) > 0 {
				s.topics = append(s.topics, anyTopic(random))
				continue
			}
			if p := m.players[random.IntN(len(m.players))]; p.member.Load() != nil {
				s.players = append(s.players, p)
			}
		}
		return s
	}
	if random.IntN(2) == 0 {
		message.to.topics = []hub.Topic{anyTopic(random)}
		return message
	}
	message.to = targets([]int{3, 5, 15}[random.IntN(3)])
	if random.IntN(2) == 0 {
		message.except = targets(2)
	}
	return message
}

// send sends one message, on a node.
func (m *model) send(node int, random *rand.Rand, message modelMessage) {
	m.mu.Lock()
	text := hub.Text(strconv.Itoa(len(m.messages)))
	if m.full {
		text = message.fill(len(m.messages), random)
	}
	m.messages = append(m.messages, &message)
	m.mu.Unlock()
	audience := m.nodes[node].To(message.to.targets(random)...)
	if except := message.except.targets(random); len(except) > 0 {
		audience = audience.Except(except...)
	}
	at := m.call(func() { assert.NoError(m.t, audience.Send(text)) })
	m.mu.Lock()
	defer m.mu.Unlock()
	message.at[node] = at
}

// fill returns the message with a number, which may be long, and may have a key or a policy.
func (message *modelMessage) fill(id int, random *rand.Rand) hub.Message {
	text := hub.Text(strconv.Itoa(id) + strings.Repeat(" ", random.IntN(4)*modelPadding))
	switch random.IntN(8) {
	case 0, 1:
		message.latest = fmt.Sprint("key", random.IntN(3))
		return text.Latest(message.latest)
	case 2:
		return text.WhenFull(hub.DropNewest)
	case 3:
		return text.WhenFull(hub.DropOldest)
	default:
		return text
	}
}

// received records a message of another node and its time.
func (m *model) received(node int, topic hub.Topic, payload []byte, at interval) {
	operation, body := splitEnvelope(payload)
	switch operation {
	case websocket.CloseMessage:
		m.kicked(kick{node: node, key: topic.Name, at: at})
	case websocket.TextMessage:
		id, err := strconv.Atoi(strings.TrimSpace(string(body)))
		assert.NoError(m.t, err)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.messages[id].at[node] = at
	}
}

// splitEnvelope returns the operation and the body of an envelope: see docs/hub.md.
func splitEnvelope(payload []byte) (operation byte, body []byte) {
	body = payload[3:]
	for range payload[2] {
		length, n := binary.Uvarint(body[1:])
		body = body[1+n+int(length):] //nolint:gosec // it is short
	}
	return payload[1], body
}

func (m *model) kicked(k kick) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kicks = append(m.kicks, k)
}

func (m *model) disconnect(node int, key string) {
	at := m.call(func() { assert.NoError(m.t, m.nodes[node].To(hub.Key(key)).Disconnect(4001, "kicked")) })
	m.kicked(kick{node: node, key: key, at: at})
}

// serve handles the player's connection, and ends it in one of many ways.
func (p *player) serve(m *model, conn *websocket.Conn) error {
	everyone := &span{topic: hub.Everyone(), leave: interval{never, never}}
	var err error
	everyone.join = m.call(func() {
		var member *hub.Member
		member, err = m.nodes[p.node].Join(conn)
		p.member.Store(member)
	})
	if err != nil { // the hub shuts down
		return nil //nolint:nilerr // which is no failure
	}
	p.spans = append(p.spans, everyone)
	reader := p.reader(m, conn)
	conn.Go(func(context.Context) error { return reader() })
	for range p.random.IntN(modelSteps) {
		if p.step(m) != nil {
			break
		}
		pause(p.random)
	}
	p.end(m, conn, p.random.IntN(6))
	return nil
}

func (p *player) end(m *model, conn *websocket.Conn, how int) {
	if how < 2 {
		<-conn.Context().Done() // it stays until the end
	}
	m.send(p.node, p.random, m.anyAudience(p.random)) // a last message
	key, rooms := "", []string(nil)
	now := m.clock.Add(1)
	for _, s := range p.spans {
		if s.leave.call == never {
			s.leave.call = now
			switch s.topic.Kind {
			case hub.KindRoom:
				rooms = append(rooms, s.topic.Name)
			case hub.KindKey:
				key = s.topic.Name
			}
		}
	}
	switch {
	case how == 2:
		assert.NoError(m.t, conn.Close(4000, "over"))
	case how == 3 && key != "":
		m.disconnect(p.node, key)
		p.dead.Store(true)
	case how == 4:
		p.rude = true
		assert.NoError(m.t, conn.CloseNow())
	default:
		return // the return ends the connection, too
	}
	now = m.clock.Add(1)
	for _, s := range p.spans {
		s.leave.ret = min(s.leave.ret, now)
	}
	if p.unsure { // the connection had ended before, and these calls wait for nothing
		return
	}
	assert.False(m.t, slices.Contains(m.nodes[p.node].Members(), p.member.Load()), "it is in no list")
	slices.Sort(rooms)
	assert.Equal(m.t, rooms, p.member.Load().Rooms(), "to itself, it has what it had")
	assert.Equal(m.t, key, p.member.Load().Key())
}

// reader reads the client's messages. After Disconnect has returned, no message may be delivered.
func (p *player) reader(m *model, conn *websocket.Conn) func() error {
	return func() error {
		for {
			dead := p.dead.Load()
			_, _, err := conn.ReadMessage()
			if err != nil {
				return err
			}
			assert.False(m.t, dead, "the player talks on")
		}
	}
}

// step makes one random call. It returns the error of a member whose connection has ended.
func (p *player) step(m *model) error {
	switch p.random.IntN(10) {
	case 0, 1, 2:
		return p.join(m, anyRoom(p.random))
	case 3, 4, 5:
		return p.leave(m, anyRoom(p.random))
	case 6:
		return p.setKey(m, anyKey(p.random))
	case 7:
		if p.random.IntN(20) > 0 {
			return nil
		}
		m.disconnect(p.node, anyKey(p.random).Name)
		return nil
	default:
		message := m.anyAudience(p.random)
		if p.random.IntN(2) == 0 {
			message.except.players = append(message.except.players, p)
		}
		m.send(p.node, p.random, message)
		return nil
	}
}

// mark sends a message to itself, behind which a later span begins. It is never dropped.
func (p *player) mark(topic hub.Topic) error {
	member := p.member.Load()
	return member.SendContext(member.Conn().Context(), hub.Text("left "+mark(topic)))
}

// await waits until another node has moved the player into a room or out of it.
func (p *player) await(room hub.Topic, in bool) error {
	member := p.member.Load()
	for slices.Contains(member.Rooms(), room.Name) != in {
		if err := member.Conn().Context().Err(); err != nil {
			return err
		}
		time.Sleep(50 * time.Microsecond)
	}
	return nil
}

// in returns the span of a topic that has not ended.
func (p *player) in(kind hub.Kind, name string) *span {
	for _, s := range p.spans {
		if s.topic.Kind == kind && (s.topic.Name == name || kind == hub.KindKey) && s.leave.call == never {
			return s
		}
	}
	return nil
}

func (p *player) join(m *model, room hub.Topic) (err error) {
	if p.in(hub.KindRoom, room.Name) != nil {
		return nil
	}
	at := m.call(func() {
		if node := p.random.IntN(modelNodes); p.random.IntN(2) == 0 { // another node's call, perhaps
			assert.NoError(m.t, m.nodes[node].To(p.member.Load()).Join(room.Name))
			err = p.await(room, true)
			return
		}
		err = p.member.Load().Join(room.Name)
	})
	if err != nil { // another node's call may have come first
		at.ret, p.unsure = never, true
	}
	p.spans = append(p.spans, &span{topic: room, join: at, leave: interval{never, never}})
	return err
}

func (p *player) leave(m *model, room hub.Topic) error {
	s := p.in(hub.KindRoom, room.Name)
	if s == nil {
		return nil
	}
	var err error
	s.leave = m.call(func() {
		if node := p.random.IntN(modelNodes); p.random.IntN(2) == 0 {
			assert.NoError(m.t, m.nodes[node].To(p.member.Load()).Leave(room.Name))
			err = p.await(room, false)
			return
		}
		p.member.Load().Leave(room.Name)
	})
	if err != nil { // the connection has ended, perhaps before
		s.leave.ret, p.unsure = never, true
		return err
	}
	assert.False(m.t, slices.Contains(m.nodes[p.node].In(room.Name), p.member.Load()), "it is in no list")
	return p.mark(room)
}

func (p *player) setKey(m *model, key hub.Topic) (err error) {
	before := p.in(hub.KindKey, "")
	if before != nil && before.topic == key {
		return nil
	}
	at := m.call(func() { err = p.member.Load().SetKey(key.Name) })
	if err != nil {
		return err
	}
	p.spans = append(p.spans, &span{topic: key, join: at, leave: interval{never, never}})
	if before == nil {
		return nil
	}
	before.leave = at
	return p.mark(before.topic)
}

func mark(topic hub.Topic) string { return fmt.Sprint(int(topic.Kind), " ", topic.Name) }

// listen is the client: it reads all messages and answers the close frame. If queues shall be full,
// some clients read slowly.
func (p *player) listen(m *model, client *wstest.Client) {
	random := m.newRandom(300 + p.name)
	for {
		if m.full && p.name%5 == 0 {
			pause(random)
		}
		_, text, err := client.ReadMessage()
		if err != nil {
			_ = client.Conn.Close()
			return
		}
		p.got = append(p.got, strings.TrimSpace(string(text)))
	}
}

func (p *player) talk(client *wstest.Client) {
	for client.Conn.WriteMessage(websocket.TextMessage, []byte("talk")) == nil {
		time.Sleep(time.Millisecond)
	}
}

// A lateBroker delivers the other nodes' messages with random delays, in order.
type lateBroker struct {
	hub.Broker
	model    *model
	node     int
	random   *rand.Rand
	incoming chan func()
	done     chan struct{}
}

func (b *lateBroker) Open(receive func(t hub.Topic, payload []byte)) {
	b.incoming, b.done = make(chan func(), 1<<16), make(chan struct{})
	go func() {
		defer close(b.done)
		for deliver := range b.incoming {
			pause(b.random)
			deliver()
		}
	}()
	b.Broker.Open(func(topic hub.Topic, p []byte) {
		payload := strings.Clone(string(p))
		b.incoming <- func() {
			at := b.model.call(func() { receive(topic, []byte(payload)) })
			b.model.received(b.node, topic, []byte(payload), at)
		}
	})
}

func (b *lateBroker) Close() error {
	err := b.Broker.Close()
	close(b.incoming)
	<-b.done
	return err
}
