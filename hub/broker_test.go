package hub_test

import (
	"encoding/binary"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMemory(t *testing.T) {
	brokertest.Test(t, func(*testing.T) brokertest.Network {
		var network hub.Memory
		return func(*testing.T) hub.Broker { return network.Node() }
	})
}

// Three connected hubs send like one hub, and count their own members.
func TestSeveralHubs(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		var broker hub.Memory
		var hubs []*hub.Hub
		var clients []*wstest.Client
		var members []*hub.Member
		r := newRig(t, n, websocket.Options{})
		for range 3 {
			h := hub.New(hub.Options{Broker: broker.Node()})
			client, member := r.join(h, "lobby")
			hubs, clients, members = append(hubs, h), append(clients, client), append(members, member)
		}
		require.NoError(t, members[0].SetKey("ann"))
		require.NoError(t, members[2].SetKey("ann"))
		require.NoError(t, members[1].Join("chess"))

		require.NoError(t, hubs[0].To(hub.Room("lobby")).Except(members[0], members[1]).Send(hub.Text("to the lobby")))
		require.NoError(t, hubs[0].To(hub.Room("chess")).Send(hub.Text("to the board")))
		require.NoError(t, hubs[1].To(hub.Key("ann")).Send(hub.Text("to ann")))
		require.NoError(t, hubs[2].To(hub.Everyone()).Send(hub.Binary([]byte("to all"))))
		expect(t, clients[0], "to ann")
		expect(t, clients[1], "to the board")
		expect(t, clients[2], "to the lobby", "to ann")
		for _, client := range clients {
			client.ExpectBinary([]byte("to all"))
		}
		nothing(t, hubs[1], clients...)
		assert.Equal(t, hub.Stats{Members: 1, Rooms: 1, Keys: 1}, hubs[0].Stats())
		assert.Equal(t, []string{"chess", "lobby"}, hubs[1].Rooms())
		assert.Len(t, hubs[2].In("lobby"), 1)

		members[1].Leave("lobby")
		require.NoError(t, hubs[0].To(hub.Room("lobby")).Send(hub.Text("to the rest")))
		expect(t, clients[0], "to the rest")
		expect(t, clients[2], "to the rest")
		nothing(t, hubs[2], clients...)

		require.NoError(t, hubs[1].To(hub.Key("ann")).Disconnect(4000, "signed out"))
		clients[0].ExpectClose(4000, "signed out")
		clients[2].ExpectClose(4000, "signed out")
		eventually(t, func() bool { return hubs[0].Stats() == hub.Stats{} && hubs[2].Stats() == hub.Stats{} })

		again, _ := r.join(hubs[0], "lobby")
		go testws.Drain(clients[1])
		require.NoError(t, hubs[1].Shutdown(t.Context()))
		require.NoError(t, hubs[1].To(hub.Everyone()).Send(hub.Text("too late")))
		require.NoError(t, hubs[2].To(hub.Room("lobby")).Send(hub.Text("still here")))
		expect(t, again, "still here")
	})
}

// Messages and close frames survive the encoding for other nodes.
func TestMessagesBetweenHubs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broker hub.Memory
		r, here, there := newRig(t, testws.Memory, websocket.Options{}), hub.New(hub.Options{Broker: broker.Node()}), hub.New(hub.Options{Broker: broker.Node()})
		client, member := r.join(there, "")
		require.NoError(t, member.SetKey("\xff"))
		require.NoError(t, here.To(hub.Room("")).Send(hub.Text("")))
		require.NoError(t, here.To(hub.Room("")).Send(hub.Binary(nil)))
		require.NoError(t, here.To(hub.Key("\xff")).Send(hub.JSON([]string{"é"})))
		require.NoError(t, here.To(hub.Key("\xff")).Send(hub.Binary([]byte{0xff, 0})))
		expect(t, client, "")
		client.ExpectBinary([]byte{})
		expect(t, client, `["é"]`)
		client.ExpectBinary([]byte{0xff, 0})
		require.NoError(t, here.To(hub.Key("\xff")).Disconnect(websocket.CloseNoStatusReceived, ""))
		client.ExpectClose(websocket.CloseNoStatusReceived, "")
	})
}

// recorder is a broker that records the calls of its methods.
type recorder struct {
	mu      sync.Mutex
	calls   []string
	receive func(hub.Topic, []byte)

	published []publication
}

type publication struct {
	topic   hub.Topic
	payload string
}

func (b *recorder) record(call string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, call)
	return nil
}

func (b *recorder) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	calls := b.calls
	b.calls = nil
	return calls
}

func (b *recorder) Open(receive func(hub.Topic, []byte)) {
	b.receive = receive
	_ = b.record("open")
}

func (b *recorder) Publish(t hub.Topic, payload []byte) error {
	b.published = append(b.published, publication{t, string(payload)})
	return b.record("publish " + t.Name)
}

func (b *recorder) Subscribe(t hub.Topic) error   { return b.record("subscribe " + name(t)) }
func (b *recorder) Unsubscribe(t hub.Topic) error { return b.record("unsubscribe " + name(t)) }

// name is that of a topic, but a node has another one each time.
func name(t hub.Topic) string {
	if t.Kind == hub.KindNode {
		return "node"
	}
	return t.Name
}
func (b *recorder) Close() error { return b.record("close") }

// A hub subscribes to exactly the rooms and keys of its members, and to its node while it has any.
func TestSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := new(recorder)
		h := hub.New(hub.Options{Broker: broker})
		r := newRig(t, testws.Memory, websocket.Options{})
		_, a := r.join(h, "lobby", "lobby")
		client, b := r.join(h, "lobby")
		assert.Equal(t, []string{"open", "subscribe node", "subscribe lobby"}, broker.take())
		require.NoError(t, a.SetKey("ann"))
		require.NoError(t, b.SetKey("ann"))
		require.NoError(t, a.SetKey("bob"))
		assert.Equal(t, []string{"subscribe ann", "subscribe bob"}, broker.take())
		a.Leave("lobby", "nowhere")
		require.NoError(t, a.SetKey("ann"))
		assert.Equal(t, []string{"unsubscribe bob"}, broker.take())
		require.NoError(t, h.To(hub.Room("nowhere")).Send(hub.Text("hello")))
		require.NoError(t, a.Send(hub.Text("hello")))
		assert.Equal(t, []string{"publish nowhere"}, broker.take())
		client.Close(websocket.CloseNormalClosure, "")
		synctest.Wait()
		assert.Equal(t, []string{"unsubscribe lobby"}, broker.take())
		_ = a.Conn().CloseNow()
		synctest.Wait()
		assert.Equal(t, []string{"unsubscribe node", "unsubscribe ann"}, broker.take())
		require.NoError(t, h.Shutdown(t.Context()))
		require.NoError(t, h.Shutdown(t.Context()))
		require.NoError(t, h.To(hub.Room("nowhere")).Send(hub.Text("too late")))
		assert.Equal(t, []string{"close"}, broker.take())
	})
}

// The hub ignores malformed payloads.
func TestReceiveIgnores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := new(recorder)
		h := hub.New(hub.Options{Broker: broker})
		r := newRig(t, testws.Memory, websocket.Options{})
		client, member := r.join(h, "x")
		require.NoError(t, member.SetKey("x"))
		for _, kind := range []hub.Kind{hub.KindRoom, hub.KindKey, hub.KindEveryone, hub.KindNode, -1, 5} {
			for name, payload := range map[string]string{
				"nothing":                   "",
				"a version alone":           "\x01",
				"another version":           "\x02\x01\x00hello",
				"no fields":                 "\x01\x01",
				"a field that is not there": "\x01\x01\x01",
				"half a field":              "\x01\x01\x01\x01\x05\x01x",
				"a length without end":      "\x01\x01\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
				"a huge length":             "\x01\x01\x01\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
				"an audience of no kind":    "\x01\x01\x01\x01\x00hello",
				"a field of the future":     "\x01\x01\x01\x7f\x00hello",
				"an operation to come":      "\x01\x7f\x00hello",
				"a continuation":            "\x01\x00\x00hello",
				"a ping":                    "\x01\x09\x00hello",
				"text not UTF-8":            "\x01\x01\x00\xff",
				"too long":                  "\x01\x02\x00" + string(make([]byte, 2<<20)),
				"half a close code":         "\x01\x08\x00\x03",
				"a code not to be sent":     "\x01\x08\x00\x03\xee",
				"a room with a body":        "\x01\x10\x01\x03\x01zhello",
				"to another room":           "\x01\x01\x01\x01\x02\x01yhello",
				"to another member":         "\x01\x01\x01\x01\x04\x04n.1hello",
				"to what is no member":      "\x01\x01\x01\x01\x03\x04xxhello",
				"half a claim":              "\x01\x12\x02\x01\x02\x02x\x04\x01n\xff\xff\xff\xff\xff\xff\xff",
				"a claim of nobody":         "\x01\x12\x01\x01\x02\x02x\xff\xff\xff\xff\xff\xff\xff\xff\x0f\xa0",
				"a claim of nothing":        "\x01\x12\x01\x04\x01n\xff\xff\xff\xff\xff\xff\xff\xff\x0f\xa0",
				"an unknown policy":         "\x01\x01\x01\x06\x01\x03hello",
				"no policy":                 "\x01\x01\x01\x06\x00hello",
				"to everyone but everyone":  "\x01\x01\x02\x01\x01\x00\x02\x01\x00hello",
			} {
				t.Log(name)
				broker.receive(hub.Topic{Kind: kind, Name: "x"}, []byte(payload))
			}
			broker.receive(hub.Topic{Kind: kind, Name: "x"}, []byte("\x01\x01\x01\x01\x02\x03xhello")) // to a node
		}
		broker.receive(hub.Room("y"), []byte("\x01\x01\x00hello"))
		broker.receive(hub.Topic{Kind: 5, Name: "x"}, []byte("\x01\x01\x00of no kind"))
		assert.Equal(t, []string{"x"}, h.Rooms())
		broker.receive(hub.Room("x"), []byte("\x01\x01\x01\xff\x02??of tomorrow, but read today"))
		expect(t, client, "of tomorrow, but read today")
		nothing(t, h, client)
	})
}

// The format of what hubs publish is fixed: other programs read it and write it.
func TestEnvelopes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := new(recorder)
		h := hub.New(hub.Options{Broker: broker})
		_, member := newRig(t, testws.Memory, websocket.Options{}).join(h)
		lobby, ada, away := hub.Room("lobby"), hub.Key("ada"), hub.ID("elsewhere.1z")
		hello := hub.Text("hello")
		for _, test := range []struct {
			call  func() error
			topic hub.Topic
			want  string // empty: nothing is published
		}{
			{func() error { return h.To(lobby).Send(hello) }, lobby, "\x01\x01\x00hello"},
			{func() error { return h.To(lobby, lobby).Except(member, nil).Send(hello) }, lobby, "\x01\x01\x00hello"},
			{func() error { return h.To(ada).Send(hub.Binary([]byte{0, 1})) }, ada, "\x01\x02\x00\x00\x01"},
			{func() error { return h.To(ada).Send(hello.Latest("eur").WhenFull(hub.DropOldest)) }, ada, "\x01\x01\x02\x05\x03eur\x06\x01\x02hello"},
			{func() error { return h.To(ada).Send(hello.WhenFull(hub.Disconnect)) }, ada, "\x01\x01\x01\x06\x01\x00hello"},
			{func() error { return h.To(ada).Disconnect(4001, "bye") }, ada, "\x01\x08\x00\x0f\xa1bye"},
			{func() error { return h.To(ada).Join("a", "") }, ada, "\x01\x10\x02\x03\x01a\x03\x00"},
			{func() error { return h.To(hub.Everyone()).Leave("a") }, hub.Everyone(), "\x01\x11\x01\x03\x01a"},
			{func() error { return h.To(lobby).Except(ada, away).Send(hello) }, lobby,
				"\x01\x01\x02\x02\x04\x02ada\x02\x0d\x04elsewhere.1zhello"},
			{func() error { return h.To(lobby, ada).Send(hello) }, hub.Everyone(), "\x01\x01\x02\x01\x06\x01lobby\x01\x04\x02adahello"},
			{func() error { return h.To(away, lobby, member).Send(hello) }, hub.Everyone(),
				"\x01\x01\x02\x01\x06\x01lobby\x01\x0d\x04elsewhere.1zhello"},
			{func() error { return h.To(away).Send(hello) }, hub.Topic{Kind: hub.KindNode, Name: "elsewhere"},
				"\x01\x01\x01\x01\x0d\x04elsewhere.1zhello"},
			{func() error { return h.To(member).Send(hello) }, hub.Topic{}, ""},
			{func() error { return h.To(hub.ID(member.ID())).Send(hello) }, hub.Topic{}, ""},
			{func() error { return h.To(hub.ID("no ID")).Send(hello) }, hub.Topic{}, ""},
			{func() error { return h.To(hub.Topic{Kind: 9}, hub.Topic{Kind: hub.KindNode, Name: "n"}).Send(hello) }, hub.Topic{}, ""},
			{func() error { return h.To().Send(hello) }, hub.Topic{}, ""},
			{func() error { return h.To(lobby).Join() }, hub.Topic{}, ""},
			{func() error { return h.To(lobby).Leave() }, hub.Topic{}, ""},
		} {
			broker.published = nil
			require.NoError(t, test.call())
			if test.want == "" {
				assert.Empty(t, broker.published)
				continue
			}
			assert.Equal(t, []publication{{test.topic, test.want}}, broker.published)
		}
		broker.published = nil
		begun := uint64(time.Now().UnixNano()) //nolint:gosec // it is after 1970
		require.NoError(t, member.TakeKey(t.Context(), "ada", 4001, "bye"))
		claim := "\x01\x12\x02\x01\x04\x02ada\x04" + string(rune(len(member.ID()))) + member.ID() +
			string(binary.BigEndian.AppendUint64(nil, begun)) + "\x0f\xa1bye"
		assert.Equal(t, []publication{{hub.Everyone(), claim}}, broker.published)
		many := h.To(lobby)
		for _, room := range numbers("room ", 255) {
			many = many.Except(hub.Room(room))
		}
		require.NoError(t, many.Send(hello))
		require.ErrorContains(t, many.Except(hub.Room("another")).Send(hello), "at most 255")
	})
}

// Concurrent joins, leaves and broadcasts on two nodes do not deadlock, and both hubs are empty at
// the end.
func TestHubsAtOnce(t *testing.T) {
	var broker hub.Memory
	r := newRig(t, testws.TCP, websocket.Options{})
	var running sync.WaitGroup
	var hubs []*hub.Hub
	for range 3 {
		h := hub.New(hub.Options{Broker: broker.Node()})
		hubs = append(hubs, h)
		for range 3 {
			client, member := r.join(h)
			go testws.Drain(client)
			running.Go(func() {
				for range 300 {
					assert.NoError(t, member.Join("a", "b"))
					assert.NoError(t, h.To(hub.Room("a")).Except(member).Send(hub.Text("hello")))
					assert.NoError(t, member.SetKey("ann"))
					assert.NoError(t, h.To(hub.Key("ann")).Send(hub.Text("hello")))
					member.Leave("b", "a")
					assert.NoError(t, member.SetKey(""))
				}
			})
		}
	}
	running.Wait()
	for _, h := range hubs {
		assert.Equal(t, hub.Stats{Members: 3, Disconnected: h.Stats().Disconnected, Dropped: h.Stats().Dropped}, h.Stats())
		require.NoError(t, h.Shutdown(t.Context()))
	}
}
