package redisbroker_test

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// prompt is shorter than any wait for the network, and long enough for a busy machine.
const prompt = 2 * time.Second

func TestServerRestarts(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	one := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	two := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	two.subscribe(t, room("before"), room("left meanwhile"))
	one.reaches(t, room("before"), two, "before")

	s.kill()
	away(t, 1, one, two)
	require.NoError(t, two.Subscribe(room("joined meanwhile")))
	require.NoError(t, two.Unsubscribe(room("left meanwhile")))
	require.NoError(t, one.Publish(room("before"), []byte("during the outage")))

	s.restart()
	isBack(t, 1, one, two)
	require.NoError(t, two.AwaitSubscribed(t.Context()))
	one.reaches(t, room("before"), two, "in a room of before")
	one.reaches(t, room("joined meanwhile"), two, "in one of meanwhile")
	one.reaches(t, hub.Everyone(), two, "to everyone")
	channels := connect(t, s.addr()).PubSubChannels(t.Context(), notProbes).Val()
	assert.ElementsMatch(t, []string{"websocket.hub:{all}", "websocket.hub:{room:before}", "websocket.hub:{room:joined%20meanwhile}"}, channels)
	for _, n := range []*node{one, two} {
		told := n.outages.all()
		assert.Len(t, told, 2)
		require.Error(t, told[0])
		require.NoError(t, told[1])
		assert.Equal(t, uint64(1), n.Stats().Outages)
	}
}

func TestConnectionIsKilled(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	admin := connect(t, s.addr())
	dials := 0
	client := connect(t, s.addr(), func(o *redis.Options) {
		o.OnConnect = func(context.Context, *redis.Conn) error {
			dials++ // one goroutine subscribes; nothing is published
			return nil
		}
	})
	to := newNode(t, client, redisbroker.Options{PingInterval: time.Hour})
	from := newNode(t, admin, redisbroker.Options{})
	to.subscribe(t, room("x"))
	from.reaches(t, room("x"), to, "hello")
	for i := range 3 {
		require.Equal(t, int64(2), admin.ClientKillByFilter(t.Context(), "type", "pubsub").Val())
		away(t, i+1, to, from)
		isBack(t, i+1, to, from)
		require.NoError(t, to.AwaitSubscribed(t.Context()))
		require.NoError(t, from.AwaitSubscribed(t.Context()))
		from.reaches(t, room("x"), to, fmt.Sprint("back again ", i))
	}
	require.NoError(t, to.Close())
	assert.Equal(t, 4, dials, "one connection after the other")
}

// What a node publishes reaches another server than the one that it is subscribed at: a server was replaced, and
// still has the connection.
func TestSubscribedAtAnotherServer(t *testing.T) {
	t.Parallel()
	former, current := startServer(t), startServer(t)
	var address atomic.Value
	address.Store(former.addr())
	client := connect(t, former.addr(), func(o *redis.Options) {
		o.Dialer = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address.Load().(string)) //nolint:errcheck // it is one
		}
	})
	to := newNode(t, client, redisbroker.Options{PingInterval: 100 * time.Millisecond})
	to.subscribe(t, room("x"))
	time.Sleep(500 * time.Millisecond) // real time, as it is the network's: all is well
	require.Empty(t, to.outages.all())

	address.Store(current.addr())
	require.NotZero(t, connect(t, former.addr()).ClientKillByFilter(t.Context(), "type", "normal", "skipme", "yes").Val())
	away(t, 1, to)
	isBack(t, 1, to)
	from := newNode(t, connect(t, current.addr()), redisbroker.Options{})
	from.reaches(t, room("x"), to, "hello")
	require.Empty(t, connect(t, former.addr()).PubSubChannels(t.Context(), "*").Val())
	time.Sleep(500 * time.Millisecond) // likewise
	require.Len(t, to.outages.all(), 2)
}

// The messages that a node publishes during an outage arrive afterwards, in order and once.
func TestPublishWhileCutOff(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	network := startProxy(t, s.addr())
	from := newNode(t, connect(t, network.addr()), redisbroker.Options{})
	to := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	from.subscribe(t, room("x"))
	to.subscribe(t, room("x"))
	from.reaches(t, room("x"), to, "hello")
	to.reaches(t, room("x"), from, "hello, too")

	network.cut()
	away(t, 1, from)
	require.NoError(t, to.Publish(room("x"), []byte("lost")))
	require.NoError(t, from.Publish(room("x"), []byte("sent into the void"))) // this network takes it
	require.Eventually(t, func() bool { return from.Stats().Lost == 1 }, patience, moment)
	var want []string
	for i := range 3000 {
		want = append(want, fmt.Sprint("message ", i))
		require.NoError(t, from.Publish(room("x"), []byte(want[i])))
	}
	network.back()

	to.await(t, want[len(want)-1])
	received := to.all()
	assert.Equal(t, want, received[len(received)-len(want):])
	isBack(t, 1, from)
	to.reaches(t, room("x"), from, "back again")
	assert.Zero(t, from.count("lost"))
	assert.Zero(t, from.count(want[0]), "an echo")
}

func TestOutgoingIsFull(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	network := startProxy(t, s.addr())
	from := newNode(t, connect(t, network.addr()), redisbroker.Options{Outgoing: 1000})
	to := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	to.subscribe(t, room("x"))
	from.reaches(t, room("x"), to, "hello")
	network.cut()
	away(t, 1, from)
	for range 10 {
		require.NoError(t, from.Publish(room("x"), make([]byte, 50)))
	}
	require.ErrorIs(t, from.Publish(room("x"), make([]byte, 500)), redisbroker.ErrOutgoingFull)
	require.NoError(t, from.Publish(room("x"), []byte("the last one")), "there is some room")
	network.back()
	to.await(t, "the last one")
	for i := range 30 {
		from.reaches(t, room("x"), to, fmt.Sprint("there is room again: ", i))
	}
	assert.Eventually(t, func() bool { return from.Stats().Queued == 0 }, patience, moment)
}

// While the network accepts no data and reports no error, no method of the hub's waits for it.
func TestNobodyWaitsForTheNetwork(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	network := startProxy(t, s.addr())
	from := newNode(t, connect(t, network.addr(), func(o *redis.Options) { o.ReadTimeout = 500 * time.Millisecond }), redisbroker.Options{})
	to := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	to.subscribe(t, room("x"))
	from.reaches(t, room("x"), to, "hello")

	network.freeze()
	var err error
	begun := time.Now()
	for err == nil && time.Since(begun) < patience {
		call := time.Now()
		err = from.Publish(room("x"), make([]byte, 100_000))
		assert.Less(t, time.Since(call), prompt, "Publish")
	}
	require.ErrorIs(t, err, redisbroker.ErrOutgoingFull)
	for i := range 1000 {
		require.NoError(t, from.Subscribe(room(fmt.Sprint(i))))
		require.NoError(t, from.Unsubscribe(room(fmt.Sprint(i))))
	}
	assert.Less(t, time.Since(begun), patience)
	away(t, 1, from)

	network.thaw()
	isBack(t, 1, from)
	from.reaches(t, room("x"), to, "back again")
	var lost *redisbroker.LostError
	require.ErrorAs(t, from.failures.all()[0], &lost, "what was on its way may be lost, and is not sent again")
	assert.Equal(t, from.Stats().Lost, uint64(lost.Messages)) //nolint:gosec // it is positive
}

func TestCloseDoesNotWaitForTheNetworkForLong(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	n := newNode(t, connect(t, s.addr(), func(o *redis.Options) { o.ReadTimeout, o.WriteTimeout = patience, patience }), redisbroker.Options{PingInterval: patience})
	n.subscribe(t, room("x"))
	defer s.pause()()
	for isTaken := true; isTaken; {
		isTaken = n.Publish(room("x"), make([]byte, 100_000)) == nil
	}
	begun := time.Now()
	require.ErrorIs(t, n.Close(), redisbroker.ErrNotTaken)
	assert.InDelta(t, 7, time.Since(begun).Seconds(), 3, "5, and what a busy machine adds; the client would wait for 20")
}

// A server that is stopped keeps its connections and is noticed all the same.
func TestServerIsPaused(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	from := newNode(t, connect(t, s.addr(), func(o *redis.Options) { o.ReadTimeout = 500 * time.Millisecond }), redisbroker.Options{PingInterval: 100 * time.Millisecond})
	to := newNode(t, connect(t, s.addr()), redisbroker.Options{PingInterval: 100 * time.Millisecond})
	to.subscribe(t, room("x"))
	from.reaches(t, room("x"), to, "hello")
	resume := s.pause()
	away(t, 1, from, to)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, to.AwaitSubscribed(ctx), context.DeadlineExceeded)
	resume()
	isBack(t, 1, from, to)
	from.reaches(t, room("x"), to, "back again")
}

func TestClientIsClosed(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	client := connect(t, s.addr())
	n := newNode(t, client, redisbroker.Options{})
	n.subscribe(t, room("x"))
	require.NoError(t, client.Close())
	require.Eventually(t, func() bool { return n.Publish(room("x"), nil) != nil }, patience, moment)
	require.ErrorIs(t, n.Publish(room("x"), nil), redis.ErrClosed)
	require.ErrorIs(t, n.Subscribe(room("y")), redis.ErrClosed)
	require.ErrorIs(t, n.AwaitSubscribed(t.Context()), redis.ErrClosed)
	require.NoError(t, n.Close())
}

func TestServerIsNotThereYet(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	s.kill()
	n := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	from := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	require.NoError(t, n.Subscribe(room("x")))
	require.NoError(t, from.Publish(room("y"), []byte("early")))
	awaited := make(chan error)
	go func() { awaited <- n.AwaitSubscribed(t.Context()) }()
	away(t, 1, n, from)
	s.restart()
	require.NoError(t, <-awaited)
	require.NoError(t, from.Publish(room("x"), []byte("hello")))
	n.await(t, "hello")
}

// AwaitSubscribed waits for the connection, for as long as the caller does.
func TestAwaitSubscribedWhileCutOff(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	network := startProxy(t, s.addr())
	to := newNode(t, connect(t, network.addr()), redisbroker.Options{})
	from := newNode(t, connect(t, s.addr()), redisbroker.Options{})
	require.NoError(t, to.AwaitSubscribed(t.Context()))

	network.cut()
	require.NoError(t, to.Subscribe(room("x")))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, to.AwaitSubscribed(ctx), context.DeadlineExceeded)
	awaited := make(chan error)
	go func() { awaited <- to.AwaitSubscribed(t.Context()) }()
	network.back()
	require.NoError(t, <-awaited)
	require.NoError(t, from.Publish(room("x"), []byte("the first")))
	to.await(t, "the first")

	network.cut()
	away(t, 2, to)
	go func() { awaited <- to.AwaitSubscribed(context.Background()) }()
	time.Sleep(moment)
	begun := time.Now()
	_ = to.Close() // what was published last may be lost
	require.ErrorIs(t, <-awaited, redisbroker.ErrClosed)
	assert.Less(t, time.Since(begun), patience)
	require.ErrorIs(t, to.AwaitSubscribed(t.Context()), redisbroker.ErrClosed)
}

// A subscription that the user of the client may not have is told, and tried again.
func TestSubscriptionIsForbidden(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	admin := connect(t, s.addr())
	require.NoError(t, admin.Do(t.Context(), "acl", "setuser", "app", "on", ">secret", "~*", "+@all", "resetchannels", "&websocket.hub:{all}", "&websocket.hub:{probe:*").Err())
	client := connect(t, s.addr(), func(o *redis.Options) { o.Username, o.Password = "app", "secret" })
	n := newNode(t, client, redisbroker.Options{})
	require.NoError(t, n.AwaitSubscribed(t.Context()))
	require.NoError(t, n.Subscribe(room("x")))
	err := n.AwaitSubscribed(t.Context())
	require.ErrorContains(t, err, "NOPERM")
	require.ErrorContains(t, err, "{room:x}")
	away(t, 1, n)
	require.NoError(t, n.Publish(room("x"), []byte("forbidden")))
	require.Eventually(t, func() bool { return n.Stats().Lost == 1 }, patience, moment)
	require.ErrorContains(t, n.failures.all()[0], "NOPERM")

	require.NoError(t, admin.Do(t.Context(), "acl", "setuser", "app", "&*").Err())
	isBack(t, 1, n)
	from := newNode(t, admin, redisbroker.Options{})
	from.reaches(t, room("x"), n, "allowed")
}
