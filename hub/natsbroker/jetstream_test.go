package natsbroker_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

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
