package natsbroker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withJetStream has a server keep streams in a folder.
func withJetStream(folder string) func(*server.Options) {
	return func(o *server.Options) {
		o.JetStream = true
		o.StoreDir = folder
	}
}

// startJetStream starts a server that keeps streams until the test ends.
func startJetStream(t *testing.T) *server.Server {
	t.Helper()
	return startServer(t, withJetStream(t.TempDir()))
}

func newJetStream(t *testing.T, nc *nats.Conn, options natsbroker.JetStreamOptions) *natsbroker.JetStreamBroker {
	t.Helper()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	b, err := natsbroker.NewJetStream(js, options)
	require.NoError(t, err)
	return b
}

// A keeper is a broker with history, and a record of the entries that it has received.
type keeper struct {
	*natsbroker.JetStreamBroker
	nc *nats.Conn

	mu      sync.Mutex
	entries []hub.Entry
	plain   []string
}

func newKeeper(t *testing.T, nc *nats.Conn, options natsbroker.JetStreamOptions) *keeper {
	t.Helper()
	k := &keeper{JetStreamBroker: newJetStream(t, nc, options), nc: nc}
	k.Open(func(_ hub.Topic, payload []byte) {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.plain = append(k.plain, string(payload))
	})
	k.OpenHistory(func(_ hub.Topic, e hub.Entry) {
		k.mu.Lock()
		defer k.mu.Unlock()
		e.Payload = append([]byte(nil), e.Payload...)
		k.entries = append(k.entries, e)
	})
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func (k *keeper) received() []hub.Entry {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]hub.Entry(nil), k.entries...)
}

func patient(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func (k *keeper) follow(t *testing.T, topic hub.Topic) {
	t.Helper()
	require.NoError(t, k.Subscribe(topic))
	require.NoError(t, k.AwaitSubscribed(patient(t)))
}

func (k *keeper) append(t *testing.T, topic hub.Topic, payload string, messages int) hub.Entry {
	t.Helper()
	e, err := k.Append(patient(t), topic, []byte(payload), hub.Keep{Messages: messages})
	require.NoError(t, err)
	return e
}

// read reads all that follows a position.
func (k *keeper) read(t *testing.T, topic hub.Topic, after hub.Position) (payloads []string, newest hub.Position) {
	t.Helper()
	entries, newest, err := k.Read(patient(t), topic, after, 10_000)
	require.NoError(t, err)
	for _, e := range entries {
		payloads = append(payloads, string(e.Payload))
	}
	return payloads, newest
}

func TestHistoryOfARoom(t *testing.T) {
	s := startJetStream(t)
	a := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	b := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	b.follow(t, room("x"))
	_, start := b.read(t, room("x"), hub.Position{})
	require.Zero(t, start.Offset)
	require.NotEmpty(t, start.Epoch)
	var want []hub.Entry
	for i := range 10 {
		from := []*keeper{a, b}[i%2]
		want = append(want, from.append(t, room("x"), fmt.Sprint(i), 5))
		a.append(t, room("another"), "no", 5)
	}
	require.Eventually(t, func() bool { return len(b.received()) == 10 }, patience, moment)
	assert.Equal(t, want, b.received())
	previous := uint64(0)
	for _, e := range want {
		assert.Equal(t, previous, e.Previous)
		assert.Equal(t, start.Epoch, e.Epoch)
		previous = e.Offset
	}
	for _, k := range []*keeper{a, b} {
		entries, newest, err := k.Read(t.Context(), room("x"), hub.Position{}, 100)
		require.NoError(t, err)
		assert.Equal(t, want[5:], entries)
		assert.Equal(t, want[9].Position, newest)
		for i := range want {
			entries, newest, err := k.Read(t.Context(), room("x"), want[i].Position, 3)
			assert.Equal(t, want[9].Position, newest)
			if i < 4 {
				require.ErrorIs(t, err, hub.ErrHistoryLost, i)
				continue
			}
			require.NoError(t, err, i)
			assert.Equal(t, append([]hub.Entry(nil), want[i+1:min(i+4, 10)]...), append([]hub.Entry(nil), entries...))
		}
		_, _, err = k.Read(t.Context(), room("x"), start, 3)
		require.ErrorIs(t, err, hub.ErrHistoryLost)
	}
}

// stream returns a stream whose name begins with a prefix.
func stream(t *testing.T, nc *nats.Conn, prefix string) jetstream.Stream {
	t.Helper()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	names := js.StreamNames(patient(t))
	for name := range names.Name() {
		if strings.HasPrefix(name, prefix) {
			s, err := js.Stream(patient(t), name)
			require.NoError(t, err)
			return s
		}
	}
	require.NoError(t, names.Err())
	t.Fatalf("there is no stream %s", prefix)
	return nil
}

// state returns what a stream has.
func state(t *testing.T, nc *nats.Conn, prefix string) jetstream.StreamState {
	t.Helper()
	info, err := stream(t, nc, prefix).Info(patient(t))
	require.NoError(t, err)
	return info.State
}

func TestKeepIsWithinTheOptions(t *testing.T) {
	s := startJetStream(t)
	k := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{Messages: 10, Age: time.Hour})
	for _, keep := range []hub.Keep{{}, {Messages: -1}, {Messages: 11}, {Messages: 1, Age: 2 * time.Hour}, {Messages: 1, Age: -1}} {
		_, err := k.Append(t.Context(), room("x"), nil, keep)
		require.ErrorIs(t, err, natsbroker.ErrKeep, "%v", keep)
	}
	_, err := k.Append(patient(t), room("x"), make([]byte, 1<<20), hub.Keep{Messages: 10})
	require.ErrorIs(t, err, nats.ErrMaxPayload)
	_, err = k.Append(patient(t), hub.Everyone(), nil, hub.Keep{Messages: 10})
	require.Error(t, err)
	_, err = k.Append(patient(t), room("x"), nil, hub.Keep{Messages: 10})
	require.NoError(t, err)
}

func TestInvalidJetStreamOptions(t *testing.T) {
	nc := connect(t, startJetStream(t).ClientURL())
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	for _, options := range []natsbroker.JetStreamOptions{
		{Replicas: 6}, {Replicas: -1}, {Age: time.Millisecond}, {Streams: "a.b"}, {Streams: "a b"}, {Streams: "a\x00"},
		{Options: natsbroker.Options{Prefix: "a..b"}},
	} {
		_, err := natsbroker.NewJetStream(js, options)
		require.Error(t, err, "%+v", options)
	}
	_, err = natsbroker.NewJetStream(nil, natsbroker.JetStreamOptions{})
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}

// Brokers of an application don't touch a stream of another one.
func TestForeignStream(t *testing.T) {
	s := startJetStream(t)
	nc := connect(t, s.ClientURL())
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "theirs", Subjects: []string{"websocket.hub.history.>"}})
	require.NoError(t, err)
	k := newKeeper(t, nc, natsbroker.JetStreamOptions{})
	_, err = k.Append(patient(t), room("x"), nil, hub.Keep{Messages: 1})
	require.ErrorContains(t, err, "theirs")
	_, err = js.Stream(t.Context(), "theirs")
	require.NoError(t, err)
}

func TestServerWithoutJetStream(t *testing.T) {
	k := newKeeper(t, connect(t, startServer(t).ClientURL()), natsbroker.JetStreamOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := k.Append(ctx, room("x"), nil, hub.Keep{Messages: 1})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, err, natsbroker.ErrNoJetStream)
}

// A room that is quiet keeps its position as long as somebody asks now and then. A room that nobody asks
// about is forgotten, and its old positions are lost.
func TestQuietRooms(t *testing.T) {
	t.Parallel()
	s := startJetStream(t)
	k := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{Age: time.Second})
	_, empty := k.read(t, room("empty"), hub.Position{})
	asked := k.append(t, room("asked"), "1", 10)
	forgotten := k.append(t, room("forgotten"), "1", 10)
	for begun := time.Now(); time.Since(begun) < 5*time.Second; time.Sleep(200 * time.Millisecond) {
		_, newest := k.read(t, room("asked"), asked.Position)
		require.Equal(t, asked.Position, newest)
		_, newest = k.read(t, room("empty"), empty)
		require.Equal(t, empty, newest)
	}
	payloads, _ := k.read(t, room("asked"), hub.Position{})
	assert.Empty(t, payloads)
	next := k.append(t, room("asked"), "2", 10)
	assert.Equal(t, asked.Offset, next.Previous)
	payloads, _ = k.read(t, room("asked"), asked.Position)
	assert.Equal(t, []string{"2"}, payloads)
	k.append(t, room("empty"), "2", 10)
	payloads, _ = k.read(t, room("empty"), empty)
	assert.Equal(t, []string{"2"}, payloads)
	k.append(t, room("forgotten"), "2", 10)
	for _, p := range []hub.Position{forgotten.Position, {Epoch: forgotten.Epoch}} {
		_, _, err := k.Read(patient(t), room("forgotten"), p, 10)
		require.ErrorIs(t, err, hub.ErrHistoryLost)
	}
	assert.Less(t, state(t, k.nc, "websocket_hub_history").Msgs, uint64(20))
}

// What a room does not keep is removed now and then, so that storage stays bounded.
func TestStorageOfSmallRooms(t *testing.T) {
	s := startJetStream(t)
	k := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	_, empty := k.read(t, room("x"), hub.Position{})
	for range 400 {
		k.append(t, room("x"), "hello", 4)
	}
	assert.Less(t, state(t, k.nc, "websocket_hub_history").Msgs, uint64(200))
	entries, newest, err := k.Read(patient(t), room("x"), hub.Position{}, 100)
	require.NoError(t, err)
	require.Len(t, entries, 4)
	require.NoError(t, connect(t, s.ClientURL()).Publish("websocket.hub.history.entry.room.eA", []byte("12345678from elsewhere")))
	require.Eventually(t, func() bool { _, now := k.read(t, room("x"), newest); return now != newest }, patience, moment)
	_, _, err = k.Read(patient(t), room("x"), empty, 100)
	require.ErrorIs(t, err, hub.ErrHistoryLost, "another program's entry says nothing of what is kept")
}

// A deployment makes a limit larger.
func TestLimitsGrow(t *testing.T) {
	s := startJetStream(t)
	small := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{Messages: 3})
	_, empty := small.read(t, room("x"), hub.Position{})
	for range 10 {
		small.append(t, room("x"), "hello", 3)
	}
	large := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{Messages: 100, Age: 48 * time.Hour})
	_, newest := large.read(t, room("x"), hub.Position{})
	require.NoError(t, connect(t, s.ClientURL()).Publish("websocket.hub.history.entry.room.eA", []byte("12345678from elsewhere")))
	require.Eventually(t, func() bool { _, now := large.read(t, room("x"), newest); return now != newest }, patience, moment)
	_, _, err := large.Read(patient(t), room("x"), empty, 100)
	require.ErrorIs(t, err, hub.ErrHistoryLost)
	for range 10 {
		large.append(t, room("x"), "hello", 100)
	}
	payloads, _ := large.read(t, room("x"), hub.Position{})
	assert.Len(t, payloads, 4+1+10, "with one that only showed up to where entries were dropped")
	for _, k := range []*keeper{small, large} {
		_, _, err := k.Read(patient(t), room("x"), empty, 100)
		require.ErrorIs(t, err, hub.ErrHistoryLost)
	}
	config := stream(t, large.nc, "websocket_hub_history").CachedInfo().Config
	assert.Equal(t, int64(101), config.MaxMsgsPerSubject)
	assert.Equal(t, 96*time.Hour, config.MaxAge)
}

// When the stream is full, rooms lose their oldest entries, and know it; the epoch stays.
func TestFullStream(t *testing.T) {
	s := startJetStream(t)
	k := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{Bytes: 64 << 10})
	_, empty := k.read(t, room("x"), hub.Position{})
	first := k.append(t, room("x"), "first", 1000)
	for range 200 {
		k.append(t, room("y"), strings.Repeat("long", 256), 1000)
	}
	last := k.append(t, room("x"), "last", 1000)
	require.Equal(t, first.Epoch, last.Epoch)
	for _, p := range []hub.Position{first.Position, empty} {
		_, _, err := k.Read(patient(t), room("x"), p, 10)
		require.ErrorIs(t, err, hub.ErrHistoryLost)
	}
}

// A node without a stream of its own, or whose hub keeps no history, gets entries as messages.
func TestEntriesAsMessages(t *testing.T) {
	s := startJetStream(t)
	k := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	core := newNode(t, connect(t, s.ClientURL()), natsbroker.Options{})
	core.subscribe(t, room("x"))
	k.append(t, room("x"), "hello", 10)
	core.await(t, "hello")
}
