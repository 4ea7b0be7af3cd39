package hub_test

import (
	"errors"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBroadcast(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		r, h := newRig(t, n, websocket.Options{}), hub.New(hub.Options{})
		a, inA := r.join(h, "a")
		b, inB := r.join(h, "b")
		both, inBoth := r.join(h, "a", "b")
		none, _ := r.join(h)
		other, _ := r.connect() // not a member

		require.NoError(t, h.To(hub.Room("a")).Send(hub.Text("to a")))
		require.NoError(t, h.To(hub.Room("b")).Send(hub.Text("to b")))
		require.NoError(t, h.To(hub.Room("c")).Send(hub.Text("to nobody")))
		require.NoError(t, h.To(hub.Everyone()).Send(hub.Binary([]byte("to all"))))
		require.NoError(t, h.To(hub.Room("a")).Except(inA, inB).Send(hub.Text("to both alone")))
		require.NoError(t, h.To(hub.Everyone()).Except(inBoth, inBoth, nil).Send(hub.Text("but to both")))
		require.NoError(t, inA.Send(hub.Text("to one")))

		expect(t, a, "to a")
		a.ExpectBinary([]byte("to all"))
		expect(t, a, "but to both", "to one")
		expect(t, b, "to b")
		b.ExpectBinary([]byte("to all"))
		expect(t, b, "but to both")
		expect(t, both, "to a", "to b")
		both.ExpectBinary([]byte("to all"))
		expect(t, both, "to both alone")
		none.ExpectBinary([]byte("to all"))
		expect(t, none, "but to both")
		nothing(t, h, a, b, both, none)
		other.Close(websocket.CloseNormalClosure, "")
	})
}

func TestKeys(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		r, h := newRig(t, n, websocket.Options{}), hub.New(hub.Options{})
		phone, onPhone := r.join(h, "ann") // a room may have the same name as a key
		laptop, onLaptop := r.join(h)
		other, _ := r.join(h, "ann")
		assert.Empty(t, onPhone.Key())
		require.NoError(t, onPhone.SetKey("ann"))
		require.NoError(t, onLaptop.SetKey("bob"))
		require.NoError(t, onLaptop.SetKey("ann"))
		require.NoError(t, onLaptop.SetKey("ann"))
		assert.Equal(t, "ann", onLaptop.Key())
		assert.Equal(t, []string{"ann"}, h.Keys())
		assert.Equal(t, []*hub.Member{onPhone, onLaptop}, h.WithKey("ann"))
		assert.Empty(t, h.WithKey("bob"))

		require.NoError(t, h.To(hub.Key("ann")).Send(hub.Text("hello")))
		require.NoError(t, h.To(hub.Key("bob")).Send(hub.Text("to nobody")))
		require.NoError(t, h.To(hub.Key("")).Send(hub.Text("to nobody")))
		require.NoError(t, h.To(hub.Key("ann")).Except(onPhone).Send(hub.Text("elsewhere")))
		expect(t, phone, "hello")
		expect(t, laptop, "hello", "elsewhere")
		nothing(t, h, phone, laptop, other)

		require.NoError(t, onPhone.SetKey(""))
		require.NoError(t, onLaptop.SetKey(""))
		assert.Empty(t, onPhone.Key())
		assert.Empty(t, h.Keys())
		require.NoError(t, h.To(hub.Key("ann")).Send(hub.Text("to nobody")))
		nothing(t, h, phone, laptop, other)
	})
}

func TestRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := newRig(t, testws.Memory, websocket.Options{}), hub.New(hub.Options{})
		_, a := r.join(h, "lobby", "lobby", "chess")
		_, b := r.join(h, "lobby", "")
		assert.Equal(t, []string{"chess", "lobby"}, a.Rooms())
		assert.Equal(t, []string{"", "lobby"}, b.Rooms())
		assert.Equal(t, []string{"", "chess", "lobby"}, h.Rooms())
		assert.Equal(t, []*hub.Member{a, b}, h.In("lobby"))
		assert.Equal(t, []*hub.Member{a, b}, h.Members())
		assert.Equal(t, 2, h.CountIn("lobby"))
		assert.Equal(t, 1, h.CountIn(""))
		assert.Equal(t, 0, h.CountIn("nowhere"))
		assert.Empty(t, h.In("nowhere"))
		require.NoError(t, a.SetKey("ann"))
		assert.Equal(t, hub.Stats{Members: 2, Rooms: 3, Keys: 1}, h.Stats())

		a.Leave("nowhere", "", "chess")
		assert.Equal(t, []string{"lobby"}, a.Rooms())
		assert.Equal(t, "ann", a.Key())
		assert.Equal(t, []string{"", "lobby"}, h.Rooms())
		a.Leave("lobby", "lobby")
		require.NoError(t, a.Join("lobby")) // it is now the last one in order
		assert.Equal(t, []*hub.Member{b, a}, h.In("lobby"))
		assert.Equal(t, hub.Stats{Members: 2, Rooms: 2, Keys: 1}, h.Stats())
	})
}

// However a connection ends, its member leaves.
func TestMembersLeaveByThemselves(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		for name, end := range map[string]func(client *wstest.Client, m *hub.Member){
			"the client says goodbye": func(client *wstest.Client, _ *hub.Member) { client.Close(websocket.CloseNormalClosure, "") },
			"the client vanishes":     func(client *wstest.Client, _ *hub.Member) { _ = client.Conn.Close() },
			"the server closes":       func(client *wstest.Client, m *hub.Member) { go testws.Drain(client); _ = m.Conn().CloseNormal() },
			"the server cuts":         func(_ *wstest.Client, m *hub.Member) { _ = m.Conn().CloseNow() },
		} {
			t.Log(name)
			r, h := newRig(t, n, websocket.Options{}), hub.New(hub.Options{})
			client, member := r.join(h, "lobby")
			require.NoError(t, member.SetKey("ann"))
			end(client, member)
			eventually(t, func() bool { return h.Stats() == hub.Stats{} })
			assert.Equal(t, []string{"lobby"}, member.Rooms(), "to itself, it has what it had")
			assert.Equal(t, "ann", member.Key())
			err := member.Send(hub.Text("too late"))
			require.Error(t, err)
			require.NotErrorIs(t, err, websocket.ErrQueueFull)
			require.Error(t, member.SendContext(t.Context(), hub.Text("too late")))
			require.Error(t, member.Join("lobby"))
			require.Error(t, member.SetKey("ann"))
			require.NoError(t, member.SetKey(""))
			member.Leave("lobby")
			assert.Empty(t, member.Rooms())
			assert.Empty(t, member.Key())
			_, err = h.Join(member.Conn(), "lobby")
			require.Error(t, err)
			assert.Equal(t, hub.Stats{}, h.Stats())
		}
	})
}

func TestMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := newRig(t, testws.Memory, websocket.Options{}), hub.New(hub.Options{})
		client, member := r.join(h, "lobby")
		data := []byte("data")
		binary := hub.Binary(data)
		copy(data, "text")
		encoded, err := websocket.EncodeMessage(websocket.TextMessage, []byte("encoded"))
		require.NoError(t, err)
		for _, m := range []hub.Message{hub.Text(""), hub.JSON(map[string]int{"a": 1}), hub.Encoded(encoded), binary, binary} {
			require.NoError(t, h.To(hub.Room("lobby")).Send(m))
		}
		expect(t, client, "", `{"a":1}`, "encoded")
		client.ExpectBinary([]byte("data"))
		client.ExpectBinary([]byte("data"))

		for name, m := range map[string]hub.Message{
			"empty":              {},
			"nil":                hub.Encoded(nil),
			"text not UTF-8":     hub.Text("\xff"),
			"no JSON":            hub.JSON(math.Inf(1)),
			"a function is none": hub.JSON(func() {}),
		} {
			require.Error(t, h.To(hub.Room("lobby")).Send(m), name)
			require.Error(t, h.To(hub.Room("nobody")).Send(m), name)
			require.Error(t, h.To(hub.Everyone()).Send(m), name)
			require.Error(t, h.To(hub.Key("nobody")).Send(m), name)
			require.Error(t, member.Send(m), name)
			require.Error(t, member.SendContext(t.Context(), m), name)
		}
		nothing(t, h, client)
	})
}

// A message is encoded once for all its recipients.
func TestJSONIsEncodedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := newRig(t, testws.Memory, websocket.Options{}), hub.New(hub.Options{})
		var clients []*wstest.Client
		for range 3 {
			client, _ := r.join(h, "lobby")
			clients = append(clients, client)
		}
		c := new(counter)
		require.NoError(t, h.To(hub.Room("lobby")).Send(hub.JSON(c)))
		for _, client := range clients {
			expect(t, client, "42")
		}
		assert.Equal(t, 1, c.n)
	})
}

type counter struct{ n int }

func (c *counter) MarshalJSON() ([]byte, error) {
	c.n++
	return []byte("42"), nil
}

func TestValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := newRig(t, testws.Memory, websocket.Options{}), hub.New(hub.Options{})
		_, member := r.join(h)
		type name struct{}
		assert.Nil(t, member.Get(name{}))
		member.Set(name{}, nil)
		member.Set(name{}, "Ann")
		member.Set("name", 1)
		assert.Equal(t, "Ann", member.Get(name{}))
		assert.Equal(t, 1, member.Get("name"))
		member.Set(name{}, "Bob")
		assert.Equal(t, "Bob", member.Get(name{}))
		member.Set(name{}, nil)
		assert.Nil(t, member.Get(name{}))
	})
}

// A member whose joins or leaves overlap is in a room once, and has one key.
func TestJoinsAtOnce(t *testing.T) {
	r, h := newRig(t, testws.TCP, websocket.Options{}), hub.New(hub.Options{})
	client, member := r.join(h)
	for range 300 {
		var joining sync.WaitGroup
		for _, key := range []string{"ann", "bob", "cid", "dan"} {
			joining.Go(func() { assert.NoError(t, member.Join("lobby")) })
			joining.Go(func() { assert.NoError(t, member.SetKey(key)) })
		}
		joining.Wait()
		require.Equal(t, []string{"lobby"}, member.Rooms())
		require.Equal(t, 1, h.CountIn("lobby"))
		require.Equal(t, []string{member.Key()}, h.Keys())
		require.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text("once")))
		expect(t, client, "once")
		member.Leave("lobby")
		require.Zero(t, h.Stats().Rooms)
	}
	nothing(t, h, client)
}

// Once Leave has returned, no more messages of the room are queued for the member. The messages
// that were queued before arrive ahead of later ones.
func TestNothingAfterLeave(t *testing.T) {
	r, h := newRig(t, testws.TCP, websocket.Options{}), hub.New(hub.Options{WhenFull: hub.DropNewest})
	client, member := r.join(h)
	stop := make(chan struct{})
	var publishing sync.WaitGroup
	for range 3 {
		publishing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					assert.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text("in")))
				}
			}
		})
	}
	go func() {
		defer close(stop)
		for range 500 {
			assert.NoError(t, member.Join("lobby"))
			for range 3 {
				assert.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text("in")))
			}
			member.Leave("lobby")
			assert.NoError(t, member.SendContext(t.Context(), hub.Text("out")))
			assert.NoError(t, member.SendContext(t.Context(), hub.Text("joining")))
		}
	}()
	for outs, out := 0, false; outs < 500; {
		_, p, err := client.ReadMessage()
		require.NoError(t, err)
		switch string(p) {
		case "out":
			out = true
			outs++
		case "joining":
			out = false
		case "in":
			require.False(t, out, "a message of the room came after Leave")
		}
	}
	publishing.Wait()
}

// The messages of one goroutine to a room arrive in order, also while other goroutines send.
func TestOrder(t *testing.T) {
	const publishers, each = 4, 300
	r, h := newRig(t, testws.TCP, websocket.Options{}), hub.New(hub.Options{Queue: websocket.QueueLimit{Messages: 1 << 20}})
	var clients []*wstest.Client
	for range 5 {
		client, _ := r.join(h, "lobby")
		clients = append(clients, client)
	}
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			for _, text := range numbers(string(rune('a'+p)), each) {
				assert.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text(text)))
			}
		})
	}
	for _, client := range clients {
		var got [publishers][]string
		for range publishers * each {
			_, p, err := client.ReadMessage()
			require.NoError(t, err)
			got[p[0]-'a'] = append(got[p[0]-'a'], string(p))
		}
		for p := range publishers {
			require.Equal(t, numbers(string(rune('a'+p)), each), got[p])
		}
	}
	publishing.Wait()
	nothing(t, h, clients...)
}

// Join may be called before Serve.
func TestJoinBeforeServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{})
		endpoint := websocket.NewEndpoint(websocket.Options{})
		client := wstest.Dial(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := endpoint.Accept(w, r, websocket.Handshake{Refuse: func(status int, _ error) { w.WriteHeader(status) }})
			if !assert.NoError(t, err) {
				return
			}
			_, err = h.Join(conn, "lobby")
			assert.NoError(t, err)
			assert.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text("hello")))
			endpoint.Run(conn, func() error { return nil }, nil)
		}), "/", nil)
		expect(t, client, "hello")
		client.ExpectClose(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
		synctest.Wait()
		assert.Equal(t, hub.Stats{}, h.Stats())
	})
}

func TestDisconnect(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		r, h := newRig(t, n, websocket.Options{}), hub.New(hub.Options{})
		phone, a := r.join(h)
		laptop, b := r.join(h)
		other, _ := r.join(h)
		require.NoError(t, a.SetKey("ann"))
		require.NoError(t, b.SetKey("ann"))
		require.NoError(t, h.To(hub.Key("ann")).Send(hub.Text("goodbye")))
		require.NoError(t, h.To(hub.Key("ann")).Disconnect(4000, "signed out"))
		require.NoError(t, h.To(hub.Key("nobody")).Disconnect(4000, "signed out"))
		for _, client := range []*wstest.Client{phone, laptop} {
			expect(t, client, "goodbye")
			client.ExpectClose(4000, "signed out")
		}
		eventually(t, func() bool { return h.Stats() == hub.Stats{Members: 1} })
		nothing(t, h, other)

		for _, code := range []int{-1, 0, 999, 1004, 1006, 1015, 2999, 5000, 1<<16 + 1000, math.MaxInt} {
			require.Error(t, h.To(hub.Key("nobody")).Disconnect(code, ""), code)
		}
		for reason, cut := range map[string]string{
			strings.Repeat("é", 100): strings.Repeat("é", 61),
			"\xff":                   "\uFFFD",
		} {
			client, member := r.join(h)
			require.NoError(t, member.SetKey("ann"))
			require.NoError(t, h.To(hub.Key("ann")).Disconnect(4000, reason))
			client.ExpectClose(4000, cut)
		}
		client, member := r.join(h)
		require.NoError(t, member.SetKey("ann"))
		require.NoError(t, h.To(hub.Key("ann")).Disconnect(websocket.CloseNoStatusReceived, "not sent"))
		client.ExpectClose(websocket.CloseNoStatusReceived, "")
	})
}

// Disconnect sends the close frame after all earlier messages, also if another goroutine runs the
// pass that delivers them.
func TestDisconnectComesLast(t *testing.T) {
	r, h := newRig(t, testws.TCP, websocket.Options{}), hub.New(hub.Options{WhenFull: hub.DropNewest})
	_, crowd := r.join(h)
	for range 20 {
		client, member := r.join(h)
		require.NoError(t, member.SetKey("ann"))
		stop := noise(t, func() error { return h.To(hub.Key("ann")).Except(member, crowd).Send(hub.Text("noise")) })
		require.NoError(t, h.To(hub.Key("ann")).Send(hub.Text("goodbye")))
		require.NoError(t, h.To(hub.Key("ann")).Disconnect(4000, ""))
		expect(t, client, "goodbye")
		client.ExpectClose(4000, "")
		stop()
	}
}

var errBroker = errors.New("broker is down")

// brokerFunc is a broker without other nodes.
type brokerFunc func(t hub.Topic) error

func (brokerFunc) Open(func(hub.Topic, []byte))    {}
func (brokerFunc) Publish(hub.Topic, []byte) error { return errBroker }
func (b brokerFunc) Subscribe(t hub.Topic) error   { return b(t) }
func (brokerFunc) Unsubscribe(hub.Topic) error     { return errBroker }
func (brokerFunc) Close() error                    { return errBroker }

// An error of the broker undoes the Join that caused it, and nothing else.
func TestBrokerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{Broker: brokerFunc(func(t hub.Topic) error {
			if t.Name == "bad" {
				return errBroker
			}
			return nil
		})})
		r := newRig(t, testws.Memory, websocket.Options{})
		client, member := r.join(h, "a", "b")
		require.NoError(t, member.SetKey("ann"))
		require.ErrorIs(t, member.Join("a", "c", "a", "bad", "d"), errBroker)
		assert.Equal(t, []string{"a", "b"}, member.Rooms())
		require.ErrorIs(t, member.SetKey("bad"), errBroker)
		assert.Equal(t, "ann", member.Key())
		assert.Equal(t, []string{"a", "b"}, h.Rooms())
		assert.Equal(t, []string{"ann"}, h.Keys())

		_, conn := r.connect()
		_, err := h.Join(conn, "a", "bad")
		require.ErrorIs(t, err, errBroker)
		assert.Equal(t, []*hub.Member{member}, h.Members())
		assert.Equal(t, []*hub.Member{member}, h.In("a"))
		_, err = h.Join(conn, "a") // a second attempt is allowed
		require.NoError(t, err)

		require.ErrorIs(t, h.To(hub.Room("a")).Send(hub.Text("here at least")), errBroker)
		expect(t, client, "here at least")
		require.ErrorIs(t, h.To(hub.Key("ann")).Disconnect(4000, ""), errBroker)
		client.ExpectClose(4000, "")
		go testws.Drain(client)
		require.ErrorIs(t, h.Shutdown(t.Context()), errBroker)
		require.ErrorIs(t, h.Shutdown(t.Context()), errBroker)
		require.NoError(t, h.To(hub.Room("a")).Send(hub.Text("too late")))
	})
}
