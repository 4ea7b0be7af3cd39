package natsbroker_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// prompt is shorter than any wait for the network, and long enough for a busy machine.
const prompt = 2 * time.Second

func TestServerRestarts(t *testing.T) {
	s := startServer(t)
	one := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	two := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	two.subscribe(t, room("before"))
	two.subscribe(t, room("left meanwhile"))
	one.reaches(t, room("before"), two, "before")

	stopServer(s)
	require.Eventually(t, func() bool { return one.nc.IsReconnecting() && two.nc.IsReconnecting() }, patience, moment)
	require.NoError(t, two.Subscribe(room("joined meanwhile")))
	require.NoError(t, two.Unsubscribe(room("left meanwhile")))
	require.Eventually(t, func() bool { return two.nc.NumSubscriptions() == 3 }, patience, moment)

	s = again(t, s)
	one.reaches(t, room("before"), two, "in a room of before")
	one.reaches(t, room("joined meanwhile"), two, "in one of meanwhile")
	one.reaches(t, hub.Everyone(), two, "to everyone")
	require.Equal(t, uint32(1+3), clientSubscriptions(t, s))
}

// The messages that a node publishes during an outage arrive afterwards, in order and once: first
// those in the buffer of nats.go, then those in the queue of the Broker.
func TestPublishWhileCutOff(t *testing.T) {
	rows := []struct {
		name   string
		buffer int // the buffer of nats.go, in bytes
	}{
		{"nats.go keeps everything", 1 << 20},
		{"nats.go keeps some", 1 << 10},
		{"nats.go keeps nothing", -1},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			one, two := startCluster(t)
			network := startProxy(t, one.Addr().String())
			told := new(errorList)
			from := newNode(t, connect(t, network.url(), nats.ReconnectBufSize(row.buffer), nats.ErrorHandler(told.handle)), natsbroker.Options{})
			to := newNode(t, connect(t, two.ClientURL()), natsbroker.Options{})
			for _, n := range []*node{from, to} {
				n.subscribe(t, room("x"))
			}
			from.reaches(t, room("x"), to, "hello")
			to.reaches(t, room("x"), from, "hello, too")

			network.cut()
			require.Eventually(t, from.nc.IsReconnecting, patience, moment)
			var want []string
			for i := range 200 {
				want = append(want, fmt.Sprint("message ", i))
				require.NoError(t, from.Publish(room("x"), []byte(want[i])))
			}
			require.NoError(t, to.Publish(room("x"), []byte("lost")))
			network.back()

			to.await(t, want[len(want)-1])
			received := to.all()
			assert.Equal(t, want, received[len(received)-len(want):])
			to.reaches(t, room("x"), from, "back again")
			assert.Zero(t, from.count("lost"))
			assert.Zero(t, from.count(want[0]), "an echo")
			assert.False(t, told.has(nats.ErrReconnectBufExceeded))
		})
	}
}

// The order in which the nodes reconnect decides which messages of the outage they receive.
func TestWhoIsBackFirst(t *testing.T) {
	for _, senderFirst := range []bool{false, true} {
		t.Run(fmt.Sprintf("the sender: %t", senderFirst), func(t *testing.T) {
			s := startServer(t)
			networks := [2]*proxy{startProxy(t, s.Addr().String()), startProxy(t, s.Addr().String())}
			from := newNode(t, connect(t, networks[0].url()), natsbroker.Options{})
			to := newNode(t, connect(t, networks[1].url()), natsbroker.Options{})
			always := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
			to.subscribe(t, room("x"))
			always.subscribe(t, room("x"))
			from.reaches(t, room("x"), to, "hello")
			for _, network := range networks {
				network.cut()
			}
			require.Eventually(t, func() bool { return from.nc.IsReconnecting() && to.nc.IsReconnecting() }, patience, moment)
			for i := range 10 {
				require.NoError(t, from.Publish(room("x"), []byte(fmt.Sprint("message ", i))))
			}
			if senderFirst {
				networks[0].back()
				always.await(t, "message 9")
				networks[1].back()
			} else {
				networks[1].back()
				always.reaches(t, room("x"), to, "back")
				networks[0].back()
			}
			from.reaches(t, room("x"), to, "both are back")
			for i := range 10 {
				message := fmt.Sprint("message ", i)
				assert.Equal(t, 1, always.count(message), message)
				assert.Equal(t, !senderFirst, to.count(message) == 1, message)
			}
		})
	}
}

func TestOutgoingIsFull(t *testing.T) {
	s := startServer(t)
	network := startProxy(t, s.Addr().String())
	from := newNode(t, connect(t, network.url(), nats.ReconnectBufSize(-1)), natsbroker.Options{Outgoing: 1000})
	to := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	to.subscribe(t, room("x"))
	from.reaches(t, room("x"), to, "hello")
	network.cut()
	require.Eventually(t, from.nc.IsReconnecting, patience, moment)
	for range 10 {
		require.NoError(t, from.Publish(room("x"), make([]byte, 50)))
	}
	require.ErrorIs(t, from.Publish(room("x"), make([]byte, 500)), natsbroker.ErrOutgoingFull)
	require.NoError(t, from.Publish(room("x"), []byte("the last one")), "there is some room")
	network.back()
	to.await(t, "the last one")
	for i := range 30 {
		from.reaches(t, room("x"), to, fmt.Sprint("there is room again: ", i))
	}
}

// While the network accepts no data and reports no error, nats.go holds its lock.
func TestNobodyWaitsForTheNetwork(t *testing.T) {
	s := startServer(t)
	network := startProxy(t, s.Addr().String())
	from := newNode(t, connect(t, network.url(), nats.FlusherTimeout(2*time.Second)), natsbroker.Options{})
	to := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	to.subscribe(t, room("x"))
	from.reaches(t, room("x"), to, "hello")

	network.freeze()
	var err error
	begun := time.Now()
	for err == nil && time.Since(begun) < patience { // the buffers of the sockets hold some MiB
		call := time.Now()
		err = from.Publish(room("x"), make([]byte, 100_000))
		assert.Less(t, time.Since(call), prompt, "Publish")
	}
	require.ErrorIs(t, err, natsbroker.ErrOutgoingFull)
	for i := range 1000 {
		require.NoError(t, from.Subscribe(room(fmt.Sprint(i))))
		require.NoError(t, from.Unsubscribe(room(fmt.Sprint(i))))
	}
	assert.Less(t, time.Since(begun), patience)

	network.cut()
	network.thaw()
	network.back()
	from.reaches(t, room("x"), to, "back again")
}

func TestCloseDoesNotWaitForTheNetworkForLong(t *testing.T) {
	s := startServer(t)
	network := startProxy(t, s.Addr().String())
	n := newNode(t, connect(t, network.url(), nats.FlusherTimeout(patience)), natsbroker.Options{})
	n.subscribe(t, room("x"))
	network.freeze()
	published := uint64(0)
	begun := time.Now()
	for n.Publish(room("x"), make([]byte, 100_000)) == nil {
		published++
		require.Less(t, time.Since(begun), patience)
	}
	begun = time.Now()
	require.ErrorIs(t, n.Close(), natsbroker.ErrNotTaken)
	assert.InDelta(t, 7, time.Since(begun).Seconds(), 3, "5, and what a busy machine adds; the client would wait for 20")

	network.thaw()
	require.Eventually(t, func() bool { return n.nc.NumSubscriptions() == 0 }, patience, moment)
	assert.Less(t, n.nc.Stats().OutMsgs, published, "what was left is not published any more")
}

func TestConnectionEndsForGood(t *testing.T) {
	s := startServer(t)
	n := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	n.subscribe(t, room("x"))
	n.nc.Close()
	require.Eventually(t, func() bool { return n.Publish(room("x"), nil) != nil }, patience, moment)
	require.ErrorIs(t, n.Publish(room("x"), nil), nats.ErrConnectionClosed)
	require.ErrorIs(t, n.Subscribe(room("y")), nats.ErrConnectionClosed)
	require.NoError(t, n.Close())

	_, err := natsbroker.New(n.nc, natsbroker.Options{})
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}

func TestServerIsNotThereYet(t *testing.T) {
	s := startServer(t)
	stopServer(s)
	nc := connect(t, s.ClientURL(), nats.RetryOnFailedConnect(true))
	n := newNode(t, nc, natsbroker.Options{})
	require.NoError(t, n.Subscribe(room("x")))

	s = again(t, s)
	other := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	other.reaches(t, room("x"), n, "hello")
	require.ErrorIs(t, n.Publish(room("x"), make([]byte, 2<<20)), nats.ErrMaxPayload)
}

// AwaitSubscribed waits for the connection, for as long as the caller does.
func TestAwaitSubscribedWhileCutOff(t *testing.T) {
	s := startServer(t)
	network := startProxy(t, s.Addr().String())
	to := newNode(t, connect(t, network.url()), natsbroker.Options{})
	from := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	require.NoError(t, to.AwaitSubscribed(t.Context()))

	network.cut()
	require.Eventually(t, to.nc.IsReconnecting, patience, moment)
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
	require.Eventually(t, to.nc.IsReconnecting, patience, moment)
	go func() { awaited <- to.AwaitSubscribed(context.Background()) }()
	time.Sleep(moment)
	begun := time.Now()
	_ = to.Close() // what was published last may be lost
	require.ErrorIs(t, <-awaited, natsbroker.ErrClosed)
	assert.Less(t, time.Since(begun), patience)
	require.ErrorIs(t, to.AwaitSubscribed(t.Context()), natsbroker.ErrClosed)

	require.NoError(t, from.Subscribe(room("y")))
	from.nc.Close()
	require.ErrorIs(t, from.AwaitSubscribed(t.Context()), nats.ErrConnectionClosed)
}

// A connection that is draining accepts no subscription: AwaitSubscribed says so.
func TestAwaitSubscribedTellsOfFailures(t *testing.T) {
	s := startServer(t)
	network := startProxy(t, s.Addr().String())
	told := new(errorList)
	n := newNode(t, connect(t, network.url(), nats.ErrorHandler(told.handle)), natsbroker.Options{})
	require.NoError(t, n.AwaitSubscribed(t.Context()))
	network.freeze() // or the connection would be closed at once
	require.NoError(t, n.nc.Drain())
	require.NoError(t, n.Subscribe(room("x")))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 2 {
		require.ErrorIs(t, n.AwaitSubscribed(ctx), nats.ErrConnectionDraining)
	}
	assert.True(t, told.has(nats.ErrConnectionDraining))
	require.NoError(t, n.Unsubscribe(room("x")))
	network.thaw()
	require.Eventually(t, n.nc.IsClosed, patience, moment)
	require.Error(t, n.AwaitSubscribed(ctx))
}
