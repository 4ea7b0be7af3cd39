package hub_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A hall is members of two connected hubs, by name. Each is in the rooms that its name consists of,
// and has its name as a key.
type hall struct {
	t       *testing.T
	hubs    [2]*hub.Hub
	names   []string
	clients map[string]*wstest.Client
	members map[string]*hub.Member
}

func newHall(t *testing.T, n testws.Network, here, there []string) *hall {
	var network hub.Memory
	h := &hall{t: t, clients: make(map[string]*wstest.Client), members: make(map[string]*hub.Member)}
	r := newRig(t, n, websocket.Options{})
	for i, names := range [][]string{here, there} {
		h.hubs[i] = hub.New(hub.Options{Broker: network.Node()})
		for _, name := range names {
			var rooms []string
			for _, room := range name {
				rooms = append(rooms, string(room))
			}
			h.names = append(h.names, name)
			h.clients[name], h.members[name] = r.join(h.hubs[i], rooms...)
			require.NoError(t, h.members[name].SetKey(name))
		}
	}
	return h
}

// expect expects that exactly the given members receive a text, once.
func (h *hall) expect(text string, names ...string) {
	h.t.Helper()
	for _, name := range names {
		require.Contains(h.t, h.names, name)
		expect(h.t, h.clients[name], text)
	}
	for _, name := range h.names {
		require.NoError(h.t, h.members[name].Send(hub.Text("nothing before")))
		expect(h.t, h.clients[name], "nothing before")
	}
}

// An audience is a union without others, on all nodes, and each member is in it once.
func TestAudiences(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		h := newHall(t, n, []string{"a", "b", "ab", "bc"}, []string{"A", "abc", "ca", "bd"})
		a, b, c := hub.Room("a"), hub.Room("b"), hub.Room("c")
		far, near := h.members["ca"], h.members["ab"]
		for i, test := range []struct {
			audience hub.Audience
			want     []string
		}{
			{h.hubs[0].To(a), []string{"a", "ab", "abc", "ca"}},
			{h.hubs[0].To(a, b), []string{"a", "b", "ab", "bc", "abc", "ca", "bd"}},
			{h.hubs[0].To(a, a, hub.Key("ab")), []string{"a", "ab", "abc", "ca"}},
			{h.hubs[0].To(a, c, hub.Key("A"), far, near), []string{"a", "ab", "bc", "abc", "ca", "A"}},
			{h.hubs[0].To(a).Except(b), []string{"a", "ca"}},
			{h.hubs[0].To(a).Except(near, far), []string{"a", "abc"}},
			{h.hubs[0].To(a).Except(near).Except(hub.ID(far.ID()), hub.ID(near.ID())), []string{"a", "abc"}},
			{h.hubs[0].To(a).Except(hub.Key("ab"), hub.Key("ca"), hub.Key("nobody")), []string{"a", "abc"}},
			{h.hubs[0].To(a, b, c).Except(a, hub.Key("bd")), []string{"b", "bc"}},
			{h.hubs[0].To(a).Except(a), nil},
			{h.hubs[0].To(a, far, near).Except(hub.Everyone()), nil},
			{h.hubs[0].To(hub.Everyone()).Except(a, b), []string{"A"}},
			{h.hubs[0].To(hub.Everyone(), a, near), h.names},
			{h.hubs[0].To(far, near, far, hub.ID(near.ID())), []string{"ab", "ca"}},
			{h.hubs[1].To(hub.ID(far.ID()), hub.ID(near.ID())), []string{"ab", "ca"}},
			{h.hubs[1].To(far, near).Except(near), []string{"ca"}},
			{h.hubs[1].To(far, near).Except(b), []string{"ca"}},
			{h.hubs[1].To(near).Except(c), []string{"ab"}},
			{h.hubs[1].To(), nil},
			{h.hubs[1].To(nil, (*hub.Member)(nil), hub.ID(""), hub.ID("x"), hub.ID("x.1"), hub.Room("x")), nil},
			{h.hubs[1].To(a).Except(), []string{"a", "ab", "abc", "ca"}},
		} {
			text := fmt.Sprint("message ", i)
			t.Log(text)
			require.NoError(t, test.audience.Send(hub.Text(text)))
			h.expect(text, test.want...)
		}
	})
}

// An audience is a value: what is made of it does not change it.
func TestAudienceIsAValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, testws.Memory, []string{"a", "ab", "ac", "ad"}, nil)
		base := h.hubs[0].To(hub.Room("a")).Except(hub.Room("x"), hub.Room("y"), hub.Room("z"))
		withoutB, withoutC := base.Except(hub.Room("b")), base.Except(hub.Room("c"))
		for _, test := range []struct {
			audience hub.Audience
			want     []string
		}{{base, h.names}, {withoutB, []string{"a", "ac", "ad"}}, {withoutC, []string{"a", "ab", "ad"}}} {
			require.NoError(t, test.audience.Send(hub.Text("hello")))
			h.expect("hello", test.want...)
		}
	})
}

// Rooms are changed, and connections closed, of exactly the members of an audience.
func TestOperationsOnAudiences(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		h := newHall(t, n, []string{"a", "ab"}, []string{"ac", "b"})
		rooms := func(want map[string]string) {
			t.Helper()
			for name, names := range want {
				var rooms []string
				for _, room := range names {
					rooms = append(rooms, string(room))
				}
				assert.Equal(t, rooms, h.members[name].Rooms(), name)
			}
		}
		a := hub.Room("a")
		require.NoError(t, h.hubs[0].To(a).Except(h.members["ab"], hub.Key("nobody")).Join("v", "w"))
		rooms(map[string]string{"a": "avw", "ab": "ab", "ac": "acvw", "b": "b"})
		require.NoError(t, h.hubs[1].To(a).Join("a", "v"))
		rooms(map[string]string{"a": "avw", "ab": "abv", "ac": "acvw", "b": "b"})
		require.NoError(t, h.hubs[1].To(hub.Room("v"), h.members["b"]).Except(hub.Room("c")).Leave("v", "b", "x"))
		rooms(map[string]string{"a": "aw", "ab": "a", "ac": "acvw", "b": ""})
		require.NoError(t, h.hubs[0].To(hub.Room("w")).Send(hub.Text("to w")))
		h.expect("to w", "a", "ac")

		invalid := h.hubs[0].To(a).Disconnect(websocket.CloseAbnormalClosure, "")
		require.ErrorContains(t, invalid, "1006")
		require.NoError(t, h.hubs[0].To(a).Except(h.members["a"]).Disconnect(4001, "out"))
		h.clients["ab"].ExpectClose(4001, "out")
		h.clients["ac"].ExpectClose(4001, "out")
		require.NoError(t, h.hubs[0].To(hub.Everyone()).Send(hub.Text("who is here?")))
		expect(t, h.clients["a"], "who is here?")
		expect(t, h.clients["b"], "who is here?")
		require.NoError(t, h.hubs[0].To(h.members["ab"], h.members["ac"]).Join("gone")) // their connections end
		assert.Zero(t, h.hubs[0].CountIn("gone")+h.hubs[1].CountIn("gone"))
	})
}

// An error of the broker's is that of Join, and the member is not in the room.
func TestAudienceJoinFails(t *testing.T) {
	h := hub.New(hub.Options{Broker: &panickyBroker{method: "Subscribe"}})
	_, member := newRig(t, testws.TCP, websocket.Options{}).join(h)
	var panicked *websocket.PanicError
	require.ErrorAs(t, h.To(hub.Everyone()).Join("lobby"), &panicked)
	assert.Empty(t, member.Rooms())
	require.NoError(t, h.To(hub.Everyone()).Leave("lobby"))
}

// A hub finds its members by their connections and by their IDs, which no two have.
func TestFindMembers(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		r, one, two := newRig(t, n, websocket.Options{}), hub.New(hub.Options{}), hub.New(hub.Options{})
		client, first := r.join(one)
		require.Same(t, first, one.Of(first.Conn()))
		require.NoError(t, one.To(hub.ID(first.ID())).Send(hub.Text("by its ID")))
		expect(t, client, "by its ID")
		later, second := r.join(one) // the index is there now
		require.Same(t, second, one.Of(second.Conn()))
		require.NoError(t, one.To(hub.ID(second.ID())).Send(hub.Text("by its ID")))
		expect(t, later, "by its ID")
		_, third := r.join(two)
		assert.Nil(t, one.Of(third.Conn()))
		ids := []string{first.ID(), second.ID(), third.ID()}
		assert.Len(t, slices.Compact(slices.Sorted(slices.Values(ids))), 3, "%q", ids)

		require.NoError(t, one.To(hub.Everyone()).Disconnect(4000, ""))
		assert.Nil(t, one.Of(first.Conn()))
		assert.Nil(t, one.Of(second.Conn()))
		require.NoError(t, one.To(hub.ID(first.ID())).Send(hub.Text("nobody hears it")))
	})
}

// Sending to one room takes no memory but that of the room's log and pass.
func TestAudiencesTakeNoMemory(t *testing.T) {
	h := hub.New(hub.Options{})
	_, member := newRig(t, testws.TCP, websocket.Options{}).join(h)
	message := hub.Text("hello")
	name := "nobody's"
	for what, send := range map[string]func() error{
		"a room":            func() error { return h.To(hub.Room(name)).Send(message) },
		"a key, except one": func() error { return h.To(hub.Key(name)).Except(member).Send(message) },
	} {
		assert.Zero(t, testing.AllocsPerRun(100, func() { _ = send() }), what)
	}
}

// What a node does with an audience from another node takes memory in proportion to its targets.
func TestManyTargetsTakeLittleMemory(t *testing.T) {
	var network hub.Memory
	one, two := hub.New(hub.Options{Broker: network.Node()}), hub.New(hub.Options{Broker: network.Node()})
	bytes := func(targets int) (perSend uint64) {
		var rooms []hub.Target
		for i := range targets {
			rooms = append(rooms, hub.Room(fmt.Sprint("room ", i)))
		}
		audience, text := one.To(rooms...), hub.Text("hello")
		const sends = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range sends {
			require.NoError(t, audience.Send(text))
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / sends
	}
	few, many := bytes(20), bytes(200)
	assert.Less(t, many, 15*few, "%d bytes for 20 targets", few)
	require.NoError(t, errors.Join(one.Shutdown(t.Context()), two.Shutdown(t.Context())))
}
