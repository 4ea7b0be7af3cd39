package natsbroker_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSubscribedOnlyWhileThereAreMembers(t *testing.T) {
	s := startServer(t)
	n := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	settles := func(want int) {
		t.Helper()
		require.Eventually(t, func() bool { return n.nc.NumSubscriptions() == want }, patience, moment)
	}
	settles(1) // the subscription to Everyone
	n.subscribe(t, room("x"))
	n.subscribe(t, hub.Key("x"))
	settles(3)
	require.NoError(t, n.Subscribe(room("x")))
	require.NoError(t, n.Unsubscribe(room("x")))
	settles(2)
	require.NoError(t, n.Unsubscribe(room("never was")))
	for range 1000 { // a member that enters and leaves
		require.NoError(t, n.Subscribe(room("y")))
		require.NoError(t, n.Unsubscribe(room("y")))
	}
	settles(2)
	require.NoError(t, n.nc.FlushTimeout(patience))
	require.Equal(t, uint32(2), clientSubscriptions(t, s))
	require.NoError(t, n.Close())
	require.Zero(t, n.nc.NumSubscriptions())
	require.NoError(t, n.nc.FlushTimeout(patience))
	require.Zero(t, clientSubscriptions(t, s))
}

func TestRoomsCostNoGoroutine(t *testing.T) {
	s := startServer(t)
	n := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	n.subscribe(t, room("x"))
	before := runtime.NumGoroutine()
	for i := range 10_000 {
		require.NoError(t, n.Subscribe(room(fmt.Sprint(i))))
	}
	require.Eventually(t, func() bool { return n.nc.NumSubscriptions() == 10_002 }, patience, moment)
	require.Less(t, runtime.NumGoroutine(), before+100)
}

func TestMaxPayload(t *testing.T) {
	s := startServer(t, func(o *server.Options) { o.MaxPayload = 1000 })
	from := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	to := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	to.subscribe(t, room("x"))
	from.reaches(t, room("x"), to, "hello")
	err := from.Publish(room("x"), make([]byte, 993))
	require.ErrorIs(t, err, nats.ErrMaxPayload)
	require.ErrorContains(t, err, "1001")
	require.Equal(t, websocket.CloseMessageTooBig, websocket.CloseStatus(err), "so ends a Serve that returns it")
	most := strings.Repeat("x", 992)
	require.NoError(t, from.Publish(room("x"), []byte(most)))
	to.await(t, most)
}

// A hub that receives more slowly than others publish loses messages, and nats.go reports it.
func TestIncomingIsFull(t *testing.T) {
	s := startServer(t)
	told := new(errorList)
	from := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	to := newNode(t, connect(t, s.ClientURL(), nats.ErrorHandler(told.handle)), natsbroker.Options{Incoming: 2})
	to.subscribe(t, room("x"))
	receiving, on := make(chan struct{}, 10), make(chan struct{})
	to.hook = func() {
		receiving <- struct{}{}
		<-on
	}
	publish := func(payload string) {
		t.Helper()
		require.NoError(t, from.Publish(room("x"), []byte(payload)))
	}
	publish("first")
	<-receiving
	for _, payload := range []string{"second", "third", "lost"} {
		publish(payload)
	}
	require.Eventually(t, func() bool { return told.has(nats.ErrSlowConsumer) }, patience, moment)
	close(on)
	to.await(t, "third")
	publish("fourth")
	to.await(t, "fourth")
	assert.Equal(t, []string{"first", "second", "third", "fourth"}, to.all())
}

func TestCloseWaitsForReceive(t *testing.T) {
	s := startServer(t)
	from := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	to := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	to.subscribe(t, room("x"))
	receiving, on := make(chan struct{}), make(chan struct{})
	to.hook = func() {
		receiving <- struct{}{}
		<-on
	}
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
	require.ErrorIs(t, to.Publish(room("x"), nil), natsbroker.ErrClosed)
	require.ErrorIs(t, to.Subscribe(room("x")), natsbroker.ErrClosed)
}

func TestWhatWasPublishedLastArrives(t *testing.T) {
	s := startServer(t)
	to := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	to.subscribe(t, room("x"))
	nc := connect(t, s.ClientURL())
	for i := range 200 { // nodes that publish before they end
		from := newNode(t, nc, natsbroker.Options{})
		for range i % 4 {
			require.NoError(t, from.Publish(room("x"), []byte("bye")))
		}
		require.NoError(t, from.Publish(room("x"), []byte("the end")))
		require.NoError(t, from.Close())
	}
	nc.Close()
	require.Eventually(t, func() bool { return to.count("the end") == 200 }, patience, moment)
	assert.Equal(t, 300, to.count("bye"))
}

// NATS servers accept no protocol line over 4 KiB.
func TestLongNames(t *testing.T) {
	s := startServer(t)
	from := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	to := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	long := strings.Repeat("long", 10_000)
	to.subscribe(t, room(long))
	from.reaches(t, room(long), to, "hello")
	require.NoError(t, from.Publish(room(long+"er"), []byte("of another room")))
	from.reaches(t, room(long), to, "hello again")
	assert.Zero(t, to.count("of another room"))
}

func TestNeverOpened(t *testing.T) {
	b, err := natsbroker.New(connect(t, startServer(t).ClientURL()), natsbroker.Options{})
	require.NoError(t, err)
	require.NoError(t, b.Close())
}

func TestPrefix(t *testing.T) {
	s := startServer(t)
	for _, prefix := range []string{".", "a.", ".a", "a..b", "a.*", ">", "a b", "a\nb", "a\x00"} {
		_, err := natsbroker.New(connect(t, s.ClientURL()), natsbroker.Options{Prefix: prefix})
		require.Error(t, err, "%q", prefix)
	}
	one := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{Prefix: "one.app"})
	same := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{Prefix: "one.app"})
	other := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{Prefix: "other.app"})
	for _, n := range []*node{same, other} {
		n.subscribe(t, room("x"))
	}
	one.reaches(t, room("x"), same, "hello")
	third := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{Prefix: "other.app"})
	third.reaches(t, room("x"), other, "hello from mine")
	assert.Zero(t, other.count("hello"))
}

// Foreign messages to the subjects are delivered or ignored, and do no harm.
func TestForeignMessages(t *testing.T) {
	s := startServer(t)
	foreign := connect(t, s.ClientURL())
	n := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	n.subscribe(t, room("x"))
	for _, payload := range []string{"", "short", "12345678", "12345678the end"} {
		require.NoError(t, foreign.Publish("websocket.hub.room.eA", []byte(payload)))
	}
	n.await(t, "the end")
	assert.Equal(t, []string{"", "the end"}, n.all())
}
