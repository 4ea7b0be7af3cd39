package hub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// keepTen keeps ten messages of all rooms but those whose name begins with "no".
func keepTen() *hub.HistoryOptions {
	return &hub.HistoryOptions{Rooms: func(room string) hub.Keep {
		if strings.HasPrefix(room, "no") {
			return hub.Keep{}
		}
		return hub.Keep{Messages: 10}
	}}
}

// stamped puts the offset before the text.
func stamped() *hub.HistoryOptions {
	options := keepTen()
	options.Stamp = func(m hub.Message, at hub.Position) hub.Message {
		return hub.Text(fmt.Sprint(at.Offset, ":", string(m.Data())))
	}
	return options
}

func say(t *testing.T, h *hub.Hub, room string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		require.NoError(t, h.To(hub.Room(room)).Send(hub.Text(text)))
	}
}

// position returns the position of the newest message.
func position(t *testing.T, h *hub.Hub, room string) hub.Position {
	t.Helper()
	_, newest, err := h.History(t.Context(), room, hub.Position{}, 0)
	require.NoError(t, err)
	return newest
}

func TestResume(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		var network hub.Memory
		for name, brokers := range map[string]func() hub.Broker{
			"one node":  func() hub.Broker { return nil },
			"two nodes": network.Node,
		} {
			here := hub.New(hub.Options{History: keepTen(), Broker: brokers()})
			there := here
			if name == "two nodes" {
				there = hub.New(hub.Options{History: keepTen(), Broker: brokers()})
			}
			r := newRig(t, n, websocket.Options{})
			client, member := r.join(here, "lobby")
			say(t, here, "lobby", "1", "2")
			at := position(t, here, "lobby")
			say(t, there, "lobby", "3", "4")
			expect(t, client, "1", "2", "3", "4")

			late, lateMember := r.join(there)
			got, err := lateMember.JoinSince(t.Context(), "lobby", at)
			require.NoError(t, err)
			assert.Equal(t, position(t, here, "lobby"), got)
			say(t, here, "lobby", "5")
			expect(t, late, "3", "4", "5")
			expect(t, client, "5")

			member.Leave("lobby")
			_, err = member.JoinSince(t.Context(), "lobby", hub.Position{})
			require.NoError(t, err)
			expect(t, client, "1", "2", "3", "4", "5")

			_, err = member.JoinSince(t.Context(), "lobby", hub.Position{})
			require.ErrorContains(t, err, "in the room already")
			nothing(t, here, client)
			if there != here {
				require.NoError(t, there.Shutdown(t.Context()))
			}
			require.NoError(t, here.Shutdown(t.Context()))
		}
	})
}

// A member without a position gets what is live, and nothing twice.
func TestJoinWithHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{History: stamped()})
		r := newRig(t, testws.Memory, websocket.Options{})
		say(t, h, "lobby", "before")
		client, member := r.join(h)
		require.NoError(t, member.JoinContext(t.Context(), "lobby", "no history"))
		other, _ := r.join(h, "lobby")
		say(t, h, "lobby", "a", "b")
		say(t, h, "no history", "c")
		expect(t, client, "2:a", "3:b", "c")
		expect(t, other, "2:a", "3:b")
		nothing(t, h, client, other)
	})
}

// A Send that follows a Join on the same node reaches the member, also with a broker that takes long to
// subscribe.
func TestSendAwaitsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network hub.Memory
		b := newFaultyBroker(&network)
		b.delay(time.Second)
		h := hub.New(hub.Options{History: keepTen(), Broker: b})
		r := newRig(t, testws.Memory, websocket.Options{})
		client, _ := r.join(h, "lobby")
		begun := time.Now()
		say(t, h, "lobby", "hello")
		expect(t, client, "hello")
		assert.Equal(t, 2*time.Second, time.Since(begun), "the newest position, and Append")
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

func TestLostPositions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{History: keepTen()})
		r := newRig(t, testws.Memory, websocket.Options{})
		client, member := r.join(h)
		say(t, h, "lobby", "first")
		first := position(t, h, "lobby")
		say(t, h, "lobby", numbers("", 11)...)
		for name, at := range map[string]hub.Position{
			"too old":           first,
			"of the future":     {Epoch: first.Epoch, Offset: 100},
			"of another epoch":  {Epoch: "other", Offset: first.Offset},
			"before everything": {Epoch: first.Epoch},
		} {
			got, err := member.JoinSince(t.Context(), "lobby", at)
			require.ErrorIs(t, err, hub.ErrHistoryLost, name)
			assert.Zero(t, got)
			assert.Empty(t, member.Rooms())
			_, _, err = h.History(t.Context(), "lobby", at, 1)
			require.ErrorIs(t, err, hub.ErrHistoryLost, name)
		}
		assert.Empty(t, h.Rooms())
		_, err := member.JoinSince(t.Context(), "lobby", hub.Position{})
		require.NoError(t, err)
		expect(t, client, numbers("", 11)[1:]...)
		nothing(t, h, client)
	})
}

func TestNoHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, testws.Memory, websocket.Options{})
		without := hub.New(hub.Options{})
		_, member := r.join(without)
		_, err := member.JoinSince(t.Context(), "lobby", hub.Position{})
		require.ErrorIs(t, err, hub.ErrNoHistory)
		_, _, err = without.History(t.Context(), "lobby", hub.Position{}, 1)
		require.ErrorIs(t, err, hub.ErrNoHistory)

		h := hub.New(hub.Options{History: keepTen(), Broker: new(recorder)})
		client, member := r.join(h, "no history")
		_, err = member.JoinSince(t.Context(), "no history", hub.Position{})
		require.ErrorIs(t, err, hub.ErrNoHistory)
		for _, err := range []error{
			member.Join("lobby"),
			member.JoinContext(t.Context(), "lobby"),
			h.To(member).Join("lobby"),
			h.To(hub.Room("lobby")).Send(hub.Text("hello")),
		} {
			require.ErrorIs(t, err, hub.ErrNoHistory)
			require.ErrorContains(t, err, "no HistoryBroker")
		}
		assert.Equal(t, []string{"no history"}, member.Rooms())
		say(t, h, "no history", "hello")
		expect(t, client, "hello")
	})
}

// A panic of Rooms is an error of the call, one of Stamp leaves the message as it is.
func TestHistoryPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silenceSlog(t)
		options := &hub.HistoryOptions{
			Rooms: func(room string) hub.Keep {
				if room == "panic" {
					panic("rooms")
				}
				return hub.Keep{Messages: 10}
			},
			Stamp: func(m hub.Message, _ hub.Position) hub.Message {
				switch string(m.Data()) {
				case "panic":
					panic("stamp")
				case "zero":
					return hub.Message{}
				case "long":
					return hub.Binary(make([]byte, 4<<20))
				}
				return hub.Text("stamped")
			},
		}
		h := hub.New(hub.Options{History: options})
		r := newRig(t, testws.Memory, websocket.Options{})
		client, member := r.join(h, "lobby")
		var panicked *websocket.PanicError
		require.ErrorAs(t, member.Join("panic"), &panicked)
		require.ErrorAs(t, h.To(hub.Room("panic")).Send(hub.Text("")), &panicked)
		assert.Equal(t, []string{"lobby"}, member.Rooms())
		say(t, h, "lobby", "panic", "zero", "long", "good")
		expect(t, client, "panic", "zero", "long", "stamped")
	})
}

func TestSeveralTargetsWithHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{History: stamped()})
		client, member := newRig(t, testws.Memory, websocket.Options{}).join(h, "lobby", "no history")
		lobby := hub.Room("lobby")
		for _, targets := range [][]hub.Target{
			{lobby, hub.Key("ada")}, {hub.Everyone(), lobby}, {lobby, member}, {hub.Room("no history"), lobby}, {lobby, hub.Room("other")},
		} {
			require.ErrorContains(t, h.To(targets...).Send(hub.Text("hello")), "no other target")
		}
		require.NoError(t, h.To(lobby, lobby).Send(hub.Text("once")))
		require.NoError(t, h.To(hub.Room("no history"), member).Send(hub.Text("not kept")))
		expect(t, client, "1:once", "not kept")
		messages, _, err := h.History(t.Context(), "lobby", hub.Position{}, 10)
		require.NoError(t, err)
		assert.Len(t, messages, 1)
	})
}

// Whom Except leaves out is decided when the message is delivered: live, or later.
func TestExceptWithHistory(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		var network hub.Memory
		here := hub.New(hub.Options{History: keepTen(), Broker: network.Node()})
		there := hub.New(hub.Options{History: keepTen(), Broker: network.Node()})
		r := newRig(t, n, websocket.Options{})
		room := "lobby"
		ann, annMember := r.join(here, room)
		require.NoError(t, annMember.SetKey("ann"))
		bob, bobMember := r.join(there, room, "no news")
		require.NoError(t, bobMember.JoinContext(t.Context(), room))
		at := position(t, here, room)
		to := here.To(hub.Room(room))
		require.NoError(t, to.Except(annMember).Send(hub.Text("not ann")))
		require.NoError(t, to.Except(hub.ID(bobMember.ID())).Send(hub.Text("not bob")))
		require.NoError(t, to.Except(hub.Key("ann")).Send(hub.Text("not the key")))
		require.NoError(t, to.Except(hub.Room("no news")).Send(hub.Text("not the room")))
		require.NoError(t, to.Except(hub.Room(room)).Send(hub.Text("not itself")))
		require.NoError(t, to.Except(hub.Everyone()).Send(hub.Text("nobody")))
		require.NoError(t, to.Except(hub.Key("nobody"), hub.ID("nobody.1")).Send(hub.Text("all")))
		expect(t, ann, "not bob", "not the room", "all")
		expect(t, bob, "not ann", "not the key", "all")
		newest := position(t, here, room)
		assert.Equal(t, at.Offset+7, newest.Offset)

		require.NoError(t, bobMember.SetKey("ann"))
		bobMember.Leave(room, "no news")
		got, err := bobMember.JoinSince(t.Context(), room, at)
		require.NoError(t, err)
		assert.Equal(t, newest, got)
		expect(t, bob, "not ann", "not the room", "all")
		cid, cidMember := r.join(there)
		_, err = cidMember.JoinSince(t.Context(), room, at)
		require.NoError(t, err)
		expect(t, cid, "not ann", "not bob", "not the key", "not the room", "all")

		messages, _, err := there.History(t.Context(), room, at, 4)
		require.NoError(t, err)
		require.Len(t, messages, 4)
		assert.Equal(t, []hub.Topic{hub.ID(annMember.ID())}, messages[0].Except)
		assert.Equal(t, []hub.Topic{hub.Key("ann")}, messages[2].Except)
		assert.Equal(t, "not the room", string(messages[3].Data))
		assert.Equal(t, websocket.TextMessage, messages[3].Type)
		nothing(t, here, ann, bob, cid)
		require.NoError(t, here.Shutdown(t.Context()))
		require.NoError(t, there.Shutdown(t.Context()))
	})
}

// A history that is longer than the member's queue waits for the member, as long as its context allows.
func TestLongHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := hub.Options{Queue: websocket.QueueLimit{Bytes: 64 << 10}, History: &hub.HistoryOptions{
			Rooms: func(string) hub.Keep { return hub.Keep{Messages: 200} },
		}}
		h := hub.New(options)
		r := newRig(t, testws.Memory, websocket.Options{WriteTimeout: time.Hour, PingInterval: -1})
		long := strings.Repeat("x", 10_000)
		for i := range 200 {
			say(t, h, "lobby", fmt.Sprint(i, long))
		}
		client, member := r.joinSlow(h)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errors.New("enough"))
		defer cancel()
		begun := time.Now()
		_, err := member.JoinSince(ctx, "lobby", hub.Position{})
		require.ErrorContains(t, err, "enough")
		assert.Equal(t, time.Minute, time.Since(begun))
		assert.Empty(t, member.Rooms())
		require.NoError(t, member.Conn().CloseNow())
		_ = client

		client, member = r.joinSlow(h)
		joined := make(chan error)
		go func() {
			_, err := member.JoinSince(t.Context(), "lobby", hub.Position{})
			joined <- err
		}()
		synctest.Wait()
		say(t, h, "lobby", "the last")
		for i := range 200 {
			client.ExpectText(fmt.Sprint(i, long))
		}
		require.NoError(t, <-joined)
		expect(t, client, "the last")
		assert.Zero(t, h.Stats().Disconnected)
		require.NoError(t, member.Conn().CloseNow())
	})
}

// Leave ends a resumption that waits, and nothing of the room is sent afterwards.
func TestLeaveDuringResumption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := keepTen()
		h := hub.New(hub.Options{Queue: websocket.QueueLimit{Bytes: 64 << 10}, History: options})
		r := newRig(t, testws.Memory, websocket.Options{WriteTimeout: time.Hour, PingInterval: -1})
		long := strings.Repeat("x", 30_000)
		for i := range 10 {
			say(t, h, "lobby", fmt.Sprint(i, long))
		}
		client, member := r.joinSlow(h)
		joined := make(chan error)
		go func() {
			_, err := member.JoinSince(t.Context(), "lobby", hub.Position{})
			joined <- err
		}()
		synctest.Wait()
		assert.Equal(t, []string{"lobby"}, member.Rooms())
		require.NoError(t, h.To(member).Leave("lobby"))
		assert.Empty(t, member.Rooms())
		require.ErrorContains(t, <-joined, "left the room")
		require.NoError(t, h.To(member).Send(hub.Text("after Leave")))
		say(t, h, "lobby", "not for it")
		var got []string
		for last := ""; last != "after Leave"; {
			_, p, err := client.ReadMessage()
			require.NoError(t, err)
			last = string(p)
			got = append(got, last)
		}
		assert.Less(t, len(got), 10)
		for i, text := range got[:len(got)-1] {
			assert.Equal(t, fmt.Sprint(i, long), text)
		}

		go func() {
			_, err := member.JoinSince(t.Context(), "lobby", hub.Position{})
			joined <- err
		}()
		synctest.Wait()
		disconnected := make(chan error)
		go func() { disconnected <- h.To(member).Disconnect(4000, "bye") }()
		require.Error(t, <-joined)
		require.NoError(t, <-disconnected)
		require.NoError(t, member.Conn().CloseNow())
	})
}

// A member that resumes gets at once what is not of the history.
func TestOtherMessagesDuringResumption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network hub.Memory
		h := hub.New(hub.Options{Queue: websocket.QueueLimit{Bytes: 64 << 10}, History: keepTen(), Broker: network.Node()})
		r := newRig(t, testws.Memory, websocket.Options{WriteTimeout: time.Hour, PingInterval: -1})
		long := strings.Repeat("x", 30_000)
		for i := range 10 {
			say(t, h, "lobby", fmt.Sprint(i, long))
		}
		client, member := r.joinSlow(h)
		joined := make(chan error)
		go func() {
			_, err := member.JoinSince(t.Context(), "lobby", hub.Position{})
			joined <- err
		}()
		synctest.Wait()
		program := network.Node()
		program.Open(func(hub.Topic, []byte) {})
		require.NoError(t, program.Publish(hub.Room("lobby"), []byte("\x01\x01\x00of a program")))
		say(t, h, "lobby", "the last")
		require.NoError(t, program.Publish(hub.Room("lobby"), []byte("\x01\x01\x00again")))
		var got []string
		for len(got) < 13 {
			_, p, err := client.ReadMessage()
			require.NoError(t, err)
			got = append(got, string(p))
		}
		require.NoError(t, <-joined)
		var kept, others []string
		for i, text := range got {
			if strings.HasPrefix(text, "of") || text == "again" {
				others = append(others, text)
				assert.Less(t, i, 12)
			} else {
				kept = append(kept, strings.TrimRight(text, "x"))
			}
		}
		assert.Equal(t, append(numbers("", 10), "the last"), kept)
		assert.Equal(t, []string{"of a program", "again"}, others)
		require.NoError(t, h.Shutdown(t.Context()))
	})
}
