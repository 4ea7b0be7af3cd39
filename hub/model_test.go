package hub_test

import (
	"context"
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

// A message goes to exactly the members of the moment when it is sent, in the same order for all. A
// member that leaves, or whose connection ends, afterwards receives it first. On two nodes, the
// test publishes, joins, leaves and ends connections at random, and the model computes what each
// client must receive.
func TestModel(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		for seed := range uint64(3) {
			newModel(t, n, seed).run()
		}
	})
}

const (
	modelNodes      = 2
	modelPlayers    = 24 // half of them on each node
	modelSteps      = 30
	modelPublishers = 3 // on each node
	modelMessages   = 150
)

// A model records the calls of the hubs of two nodes, with their times, and what the clients
// receive.
type model struct {
	t     *testing.T
	seed  uint64
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

// A modelMessage is sent to a topic. On the other node, its time is that of the call of receive.
type modelMessage struct {
	topic  hub.Topic
	except *player
	at     [modelNodes]interval
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
	member *hub.Member
	dead   atomic.Bool // Serve must not receive any more messages
	rude   bool        // its end drops the queued messages

	spans []*span
	got   []string // what the client has received
}

type modelNode struct {
	*hub.Hub
	upgrader *websocket.Upgrader
	target   any
}

func newModel(t *testing.T, n testws.Network, seed uint64) *model {
	m := &model{t: t, seed: seed}
	var memory hub.Memory
	for i := range m.nodes {
		broker := &lateBroker{Broker: memory.Node(), model: m, node: i, random: m.newRandom(1000 + i)}
		node := &modelNode{Hub: hub.New(hub.Options{Queue: websocket.QueueLimit{Messages: -1, Bytes: -1}, Broker: broker})}
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
		clients.Go(func() { p.listen(client) })
		clients.Go(func() { p.talk(client) })
	}
	for i := range modelNodes * modelPublishers {
		random := m.newRandom(100 + i)
		publishers.Go(func() {
			for range modelMessages {
				m.send(i%modelNodes, anyTopic(random), nil)
				if random.IntN(4) == 0 { // the messages are sent in bursts
					pause(random)
				}
			}
		})
	}
	publishers.Wait()
	for i, node := range m.nodes { // in the recommended order
		m.send(i, hub.Topic{Kind: hub.Everyone}, nil)
		down := m.call(func() { assert.NoError(m.t, node.upgrader.Shutdown(m.t.Context())) })
		m.kicked(kick{node: i, all: true, at: down})
	}
	for _, node := range m.nodes {
		require.NoError(m.t, node.Shutdown(m.t.Context()))
		require.Equal(m.t, hub.Stats{}, node.Stats())
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
	return hub.Topic{Kind: hub.Room, Name: fmt.Sprint("room", random.IntN(3))}
}

func anyKey(random *rand.Rand) hub.Topic {
	return hub.Topic{Kind: hub.Key, Name: fmt.Sprint("key", random.IntN(8))}
}

func anyTopic(random *rand.Rand) hub.Topic {
	switch random.IntN(6) {
	case 0:
		return hub.Topic{Kind: hub.Everyone}
	case 1:
		return anyKey(random)
	default:
		return anyRoom(random)
	}
}

// send sends one message, on a node, to a topic.
func (m *model) send(node int, topic hub.Topic, except *player) {
	m.mu.Lock()
	message := &modelMessage{topic: topic, except: except}
	text := hub.Text(strconv.Itoa(len(m.messages)))
	m.messages = append(m.messages, message)
	m.mu.Unlock()
	var but []*hub.Member
	if except != nil {
		but = append(but, except.member)
	}
	at := m.call(func() {
		var err error
		switch h := m.nodes[node]; topic.Kind {
		case hub.Room:
			err = h.Broadcast(topic.Name, text, but...)
		case hub.Key:
			err = h.Send(topic.Name, text, but...)
		default:
			err = h.BroadcastAll(text, but...)
		}
		assert.NoError(m.t, err)
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	message.at[node] = at
}

// received records a message of the other node and its time.
func (m *model) received(node int, topic hub.Topic, payload []byte, at interval) {
	if payload[0] == websocket.CloseMessage {
		m.kicked(kick{node: node, key: topic.Name, at: at})
		return
	}
	id, err := strconv.Atoi(string(payload[1:]))
	assert.NoError(m.t, err)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages[id].at[node] = at
}

func (m *model) kicked(k kick) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kicks = append(m.kicks, k)
}

func (m *model) disconnect(node int, key string) {
	at := m.call(func() { assert.NoError(m.t, m.nodes[node].Disconnect(key, 4001, "kicked")) })
	m.kicked(kick{node: node, key: key, at: at})
}

// serve handles the player's connection, and ends it in one of many ways.
func (p *player) serve(m *model, conn *websocket.Conn) error {
	everyone := &span{topic: hub.Topic{Kind: hub.Everyone}, leave: interval{never, never}}
	var err error
	everyone.join = m.call(func() { p.member, err = m.nodes[p.node].Join(conn) })
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
	m.send(p.node, anyTopic(p.random), nil) // a last message
	key, rooms := "", []string(nil)
	now := m.clock.Add(1)
	for _, s := range p.spans {
		if s.leave.call == never {
			s.leave.call = now
			switch s.topic.Kind {
			case hub.Room:
				rooms = append(rooms, s.topic.Name)
			case hub.Key:
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
	assert.False(m.t, slices.Contains(m.nodes[p.node].Members(), p.member), "it is in no list")
	slices.Sort(rooms)
	assert.Equal(m.t, rooms, p.member.Rooms(), "to itself, it has what it had")
	assert.Equal(m.t, key, p.member.Key())
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
		m.send(p.node, anyTopic(p.random), []*player{nil, p}[p.random.IntN(2)])
		return nil
	}
}

// in returns the span of a topic that has not ended.
func (p *player) in(kind hub.Kind, name string) *span {
	for _, s := range p.spans {
		if s.topic.Kind == kind && (s.topic.Name == name || kind == hub.Key) && s.leave.call == never {
			return s
		}
	}
	return nil
}

func (p *player) join(m *model, room hub.Topic) (err error) {
	if p.in(hub.Room, room.Name) != nil {
		return nil
	}
	at := m.call(func() { err = p.member.Join(room.Name) })
	if err == nil {
		p.spans = append(p.spans, &span{topic: room, join: at, leave: interval{never, never}})
	}
	return err
}

func (p *player) leave(m *model, room hub.Topic) error {
	s := p.in(hub.Room, room.Name)
	if s == nil {
		return nil
	}
	s.leave = m.call(func() { p.member.Leave(room.Name) })
	assert.False(m.t, slices.Contains(m.nodes[p.node].In(room.Name), p.member), "it is in no list")
	return p.member.Send(hub.Text("left " + mark(room))) // a later Join begins another span
}

func (p *player) setKey(m *model, key hub.Topic) (err error) {
	before := p.in(hub.Key, "")
	if before != nil && before.topic == key {
		return nil
	}
	at := m.call(func() { err = p.member.SetKey(key.Name) })
	if err != nil {
		return err
	}
	p.spans = append(p.spans, &span{topic: key, join: at, leave: interval{never, never}})
	if before == nil {
		return nil
	}
	before.leave = at
	return p.member.Send(hub.Text("left " + mark(before.topic)))
}

func mark(topic hub.Topic) string { return fmt.Sprint(int(topic.Kind), " ", topic.Name) }

// listen is the client: it reads all messages and answers the close frame.
func (p *player) listen(client *wstest.Client) {
	for {
		_, text, err := client.ReadMessage()
		if err != nil {
			_ = client.Conn.Close()
			return
		}
		p.got = append(p.got, string(text))
	}
}

func (p *player) talk(client *wstest.Client) {
	for client.Conn.WriteMessage(websocket.TextMessage, []byte("talk")) == nil {
		time.Sleep(time.Millisecond)
	}
}

// A lateBroker delivers the other node's messages with random delays, in order.
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
