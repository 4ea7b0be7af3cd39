package redisbroker_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSubscribedOnlyWhileThereAreMembers(t *testing.T) {
	s := startServer(t)
	admin := connect(t, s.addr())
	n := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	settles := func(want ...string) {
		t.Helper()
		require.NoError(t, n.AwaitSubscribed(t.Context()))
		require.ElementsMatch(t, want, admin.PubSubChannels(t.Context(), notProbes).Val())
		require.Equal(t, len(want), n.Stats().Subscriptions)
	}
	settles("websocket.hub:{all}")
	n.subscribe(t, room("x"), hub.Key("x"))
	settles("websocket.hub:{all}", "websocket.hub:{room:x}", "websocket.hub:{key:x}")
	require.NoError(t, n.Subscribe(room("x")))
	require.NoError(t, n.Unsubscribe(room("x")))
	settles("websocket.hub:{all}", "websocket.hub:{key:x}")
	require.NoError(t, n.Unsubscribe(room("never was")))
	for range 1000 { // a member that enters and leaves
		require.NoError(t, n.Subscribe(room("y")))
		require.NoError(t, n.Unsubscribe(room("y")))
	}
	settles("websocket.hub:{all}", "websocket.hub:{key:x}")
	require.NoError(t, n.Close())
	require.Eventually(t, func() bool { return len(admin.PubSubChannels(t.Context(), "*").Val()) == 0 }, patience, moment)
}

func TestRoomsCostNoGoroutine(t *testing.T) {
	s := startServer(t)
	n := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	n.subscribe(t, room("x"))
	before := runtime.NumGoroutine()
	var rooms []hub.Topic
	for i := range 10_000 {
		rooms = append(rooms, room(fmt.Sprint(i)))
	}
	n.subscribe(t, rooms...)
	require.Less(t, runtime.NumGoroutine(), before+10)
	admin := connect(t, s.addr())
	require.Len(t, admin.PubSubChannels(t.Context(), notProbes).Val(), 10_002)

	admin.ClientKillByFilter(t.Context(), "type", "pubsub")
	away(t, 1, n)
	require.NoError(t, n.AwaitSubscribed(t.Context()))
	require.Len(t, admin.PubSubChannels(t.Context(), notProbes).Val(), 10_002)
}

// A hub that receives more slowly than others publish loses messages, and that is told.
func TestIncomingIsFull(t *testing.T) {
	s := startServer(t)
	from := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	to := newNode(t, connect(t, s.addr()), redisbroker.Options{Incoming: 3000})
	to.subscribe(t, room("x"))
	receiving, on := make(chan struct{}, 10), make(chan struct{})
	to.setHook(func() {
		receiving <- struct{}{}
		<-on
	})
	message := func(name string) string { return name + strings.Repeat(".", 1000) }
	publish := func(name string) {
		t.Helper()
		require.NoError(t, from.Publish(room("x"), []byte(message(name))))
	}
	publish("first")
	<-receiving
	for _, name := range []string{"second", "lost", "lost"} {
		publish(name)
	}
	require.Eventually(t, func() bool { return to.Stats().Dropped == 2 }, patience, moment)
	require.Len(t, to.failures.all(), 1, "told once")
	require.ErrorIs(t, to.failures.all()[0], redisbroker.ErrIncomingFull)
	require.NoError(t, to.AwaitSubscribed(t.Context()), "the connection goes on")
	close(on)
	to.await(t, message("second"))
	publish("fourth")
	to.await(t, message("fourth"))
	assert.Equal(t, []string{message("first"), message("second"), message("fourth")}, to.all())
	assert.Zero(t, to.Stats().Outages)
}

func TestCloseWaitsForReceive(t *testing.T) {
	s := startServer(t)
	from := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	to := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	to.subscribe(t, room("x"))
	receiving, on := make(chan struct{}), make(chan struct{})
	to.setHook(func() {
		receiving <- struct{}{}
		<-on
	})
	require.NoError(t, from.Publish(room("x"), []byte("hello")))
	<-receiving
	closed := make(chan error)
	go func() { closed <- to.Close() }()
	select {
	case err := <-closed:
		t.Error("receive is still being called", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(on)
	require.NoError(t, <-closed)
	assert.Equal(t, []string{"hello"}, to.all())
	require.NoError(t, to.Close(), "again")
	require.ErrorIs(t, to.Publish(room("x"), nil), redisbroker.ErrClosed)
	require.ErrorIs(t, to.Subscribe(room("x")), redisbroker.ErrClosed)
}

func TestWhatWasPublishedLastArrives(t *testing.T) {
	s := startServer(t)
	to := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	to.subscribe(t, room("x"))
	client := connect(t, s.addr())
	for i := range 200 { // nodes that publish before they end
		from := newNode(t, client, redisbroker.Options{})
		for range i % 4 {
			require.NoError(t, from.Publish(room("x"), []byte("bye")))
		}
		require.NoError(t, from.Publish(room("x"), []byte("the end")))
		require.NoError(t, from.Close())
	}
	require.Eventually(t, func() bool { return to.count("the end") == 200 }, patience, moment)
	assert.Equal(t, 300, to.count("bye"))
}

// Long names are hashed.
func TestLongNames(t *testing.T) {
	s := startServer(t)
	from := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	to := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	long := strings.Repeat("long", 10_000)
	to.subscribe(t, room(long))
	for _, channel := range connect(t, s.addr()).PubSubChannels(t.Context(), "*").Val() {
		assert.Less(t, len(channel), 100)
	}
	from.reaches(t, room(long), to, "hello")
	require.NoError(t, from.Publish(room(long+"er"), []byte("of another room")))
	from.reaches(t, room(long), to, "hello again")
	assert.Zero(t, to.count("of another room"))
}

func TestNeverOpened(t *testing.T) {
	require.NoError(t, newBroker(t, connect(t, startServer(t).addr()), redisbroker.Options{}).Close())
}

func TestClients(t *testing.T) {
	ring := redis.NewRing(&redis.RingOptions{})
	defer ring.Close() //nolint:errcheck // it has only to be closed
	for _, client := range []redis.UniversalClient{nil, (*redis.Client)(nil), (*redis.ClusterClient)(nil), ring} {
		_, err := redisbroker.New(client, redisbroker.Options{})
		require.ErrorContains(t, err, "must be a *redis.Client", "%T", client)
	}
}

func TestClientsThatReadFromReplicas(t *testing.T) {
	for _, options := range []*redis.ClusterOptions{{ReadOnly: true}, {RouteByLatency: true}, {RouteRandomly: true}} {
		client := redis.NewClusterClient(options)
		_, err := redisbroker.New(client, redisbroker.Options{})
		require.ErrorContains(t, err, "replicas")
		require.NoError(t, client.Close())
	}
}

func TestPrefix(t *testing.T) {
	s := startServer(t)
	for _, prefix := range []string{"a b", "a\nb", "a\x00", "{a}", "a}", "a*", "[a]", "a?", `a"`, `\`, "ä"} {
		_, err := redisbroker.New(connect(t, s.addr()), redisbroker.Options{Prefix: prefix})
		require.Error(t, err, "%q", prefix)
	}
	one := newNode(t, connect(t, s.addr()), redisbroker.Options{Prefix: "one.app"})
	same := newNode(t, connect(t, s.addr()), redisbroker.Options{Prefix: "one.app"})
	other := newNode(t, connect(t, s.addr()), redisbroker.Options{Prefix: "other.app"})
	for _, n := range []*node{same, other} {
		n.subscribe(t, room("x"))
	}
	one.reaches(t, room("x"), same, "hello")
	third := newNode(t, connect(t, s.addr()), redisbroker.Options{Prefix: "other.app"})
	third.reaches(t, room("x"), other, "hello from mine")
	assert.Zero(t, other.count("hello"))
}

// Foreign messages to the channels are delivered or ignored, and do no harm.
func TestForeignMessages(t *testing.T) {
	s := startServer(t)
	foreign := connect(t, s.addr())
	n := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	n.OpenHistory(func(hub.Topic, hub.Entry) { t.Error("there is no history") })
	n.subscribe(t, room("x"))
	mark := strings.Repeat("\xff", 8)
	for _, payload := range []string{
		"", "short", "12345678", mark, mark + "e", mark + "e 1", mark + "e 1 0", mark + "e 0 0 x", mark + "e 1 1 x", mark + "e 1 -1 x",
		mark + " 1 0 x", mark + "e 99999999999999999999 0 x", "12345678the end",
	} {
		require.NoError(t, foreign.Publish(t.Context(), "websocket.hub:{room:x}", payload).Err())
	}
	n.await(t, "the end")
	assert.Equal(t, []string{"", "the end"}, n.all())
}

// A panic of receive goes to OnError. Panics of the callbacks are ignored. In all cases, later
// messages are received.
func TestPanicsOfOthers(t *testing.T) {
	s := startServer(t)
	from := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	var told atomic.Pointer[websocket.PanicError]
	b := newBroker(t, connect(t, s.addr()), redisbroker.Options{
		OnOutage: func(error) { panic("of OnOutage") },
		OnError: func(err error) {
			var panicked *websocket.PanicError
			if errors.As(err, &panicked) && panicked.Value == "of the hub" {
				told.Store(panicked)
			}
			panic("of OnError")
		},
	})
	to := &node{Broker: b}
	b.Open(to.receive)
	defer b.Close() //nolint:errcheck // it is closed below
	to.subscribe(t, room("x"))
	connect(t, s.addr()).ClientKillByFilter(t.Context(), "type", "pubsub")
	require.Eventually(t, func() bool { return to.Stats().Outages == 1 }, patience, moment)
	from.reaches(t, room("x"), to, "hello")
	var panics atomic.Int32
	to.setHook(func() {
		if panics.Add(1) == 1 {
			panic("of the hub")
		}
	})
	require.NoError(t, from.Publish(room("x"), []byte("first")))
	require.NoError(t, from.Publish(room("x"), []byte("second")))
	to.await(t, "second")
	require.Equal(t, "of the hub", told.Load().Value)
	require.NoError(t, b.Close())
}

// The permissions that README.md names are enough.
func TestPermissions(t *testing.T) {
	s := startServer(t)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	match := regexp.MustCompile("`(\\+@connection [^`]*)`").FindSubmatch(readme)
	require.NotNil(t, match)
	rules := []any{"acl", "setuser", "app", "on", ">secret", "resetkeys", "~websocket.hub:*", "resetchannels", "&websocket.hub:*", "-@all"}
	for rule := range strings.FieldsSeq(string(match[1])) {
		rules = append(rules, rule)
	}
	require.NoError(t, connect(t, s.addr()).Do(t.Context(), rules...).Err())
	app := func() *redis.Client {
		return connect(t, s.addr(), func(o *redis.Options) { o.Username, o.Password = "app", "secret" })
	}
	from, to := newHistorian(t, app(), redisbroker.Options{}), newHistorian(t, app(), redisbroker.Options{})
	to.subscribe(t, room("x"))
	from.reaches(t, room("x"), to.node, "hello")
	e := from.append(t, room("x"), "kept")
	to.awaitEntry(t, e)
	entries, _, err := to.read(t, room("x"), hub.Position{})
	require.NoError(t, err)
	assert.Equal(t, []hub.Entry{e}, entries)
	n := newResident(t, app(), "a")
	n.renew()
	n.put(room("x"), 1, "ann")
	assert.Equal(t, []string{"a ann"}, n.list(room("x")))
	require.NoError(t, n.RemoveNode(t.Context(), "a"))
	assert.Empty(t, n.list(room("x")))
	assert.Empty(t, append(from.failures.all(), to.failures.all()...))
}
