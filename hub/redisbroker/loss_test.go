package redisbroker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var keepAll = hub.Keep{Messages: 1000}

// historian is a node that records entries, too.
type historian struct {
	*node
	mu      sync.Mutex
	entries []hub.Entry
}

func newHistorian(t *testing.T, client redis.UniversalClient, options redisbroker.Options) *historian {
	t.Helper()
	n := &historian{node: newNode(t, client, options)}
	n.OpenHistory(func(_ hub.Topic, e hub.Entry) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.entries = append(n.entries, e)
	})
	return n
}

func (n *historian) append(t *testing.T, topic hub.Topic, payload string) hub.Entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	e, err := n.Append(ctx, topic, []byte(payload), keepAll)
	require.NoError(t, err)
	return e
}

func (n *historian) read(t *testing.T, topic hub.Topic, after hub.Position) ([]hub.Entry, hub.Position, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return n.Read(ctx, topic, after, 1000)
}

func (n *historian) awaitEntry(t *testing.T, want hub.Entry) {
	t.Helper()
	require.Eventually(t, func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, e := range n.entries {
			if e.Position == want.Position && e.Previous == want.Previous {
				return true
			}
		}
		return false
	}, patience, moment)
}

func (n *historian) isLost(t *testing.T, topic hub.Topic, after hub.Position) {
	t.Helper()
	_, _, err := n.read(t, topic, after)
	require.ErrorIs(t, err, hub.ErrHistoryLost, "%v", after)
}

// If Redis has lost everything, the history begins anew.
func TestEverythingIsLost(t *testing.T) {
	t.Parallel()
	rows := map[string]func(t *testing.T, s *server){
		"FLUSHALL":                    func(t *testing.T, s *server) { require.NoError(t, connect(t, s.addr()).FlushAll(t.Context()).Err()) },
		"restart without persistence": func(_ *testing.T, s *server) { s.restart() },
		"eviction of one key": func(t *testing.T, s *server) {
			require.NoError(t, connect(t, s.addr()).Del(t.Context(), "websocket.hub:{room:x}:history").Err())
		},
	}
	for name, lose := range rows {
		for _, readFirst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, read before the next entry: %t", name, readFirst), func(t *testing.T) {
				s := startServer(t)
				n := newHistorian(t, connect(t, s.addr()), redisbroker.Options{})
				n.subscribe(t, room("x"))
				e := n.append(t, room("x"), "before")
				lose(t, s)
				if readFirst {
					n.isLost(t, room("x"), e.Position)
				}
				next := n.append(t, room("x"), "after")
				assert.NotEqual(t, e.Epoch, next.Epoch)
				assert.Zero(t, next.Previous)
				n.isLost(t, room("x"), e.Position)
				entries, newest, err := n.read(t, room("x"), hub.Position{})
				require.NoError(t, err)
				assert.Equal(t, []hub.Entry{next}, entries)
				assert.Equal(t, next.Position, newest)
				require.NoError(t, n.AwaitSubscribed(t.Context()))
				n.awaitEntry(t, n.append(t, room("x"), "live"))
			})
		}
	}
}

// If the entries alone are gone, what follows their positions is lost.
func TestEntriesAreEvicted(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	n := newHistorian(t, connect(t, s.addr()), redisbroker.Options{})
	n.subscribe(t, room("x"))
	one, two := n.append(t, room("x"), "one"), n.append(t, room("x"), "two")
	require.NoError(t, connect(t, s.addr()).Del(t.Context(), "websocket.hub:{room:x}:entries").Err())
	n.isLost(t, room("x"), one.Position)
	entries, newest, err := n.read(t, room("x"), two.Position)
	require.NoError(t, err)
	assert.Empty(t, entries)
	assert.Equal(t, two.Position, newest)
	three := n.append(t, room("x"), "three")
	assert.Equal(t, two.Offset, three.Previous)
	n.isLost(t, room("x"), one.Position)
}

// If Redis has lost the newest entries, whoever knows one of them is told, and nobody else.
func TestNewestEntriesAreLost(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--appendonly", "no")
	admin := connect(t, s.addr())
	n := newHistorian(t, connect(t, s.addr()), redisbroker.Options{})
	n.subscribe(t, room("x"), room("y"))
	saved := []hub.Entry{n.append(t, room("x"), "one"), n.append(t, room("x"), "two")}
	_, begun, err := n.read(t, room("y"), hub.Position{})
	require.NoError(t, err)
	require.NoError(t, admin.Save(t.Context()).Err())
	lost := []hub.Entry{n.append(t, room("x"), "three"), n.append(t, room("x"), "four"), n.append(t, room("y"), "one")}

	s.restart()
	n.isLost(t, room("x"), lost[0].Position)
	n.isLost(t, room("y"), lost[2].Position)
	entries, newest, err := n.read(t, room("x"), saved[0].Position)
	require.NoError(t, err)
	assert.Equal(t, saved[1:], entries)
	assert.Equal(t, saved[1].Position, newest)

	for i := range 5 { // more than were lost
		saved = append(saved, n.append(t, room("x"), fmt.Sprint("new ", i)))
	}
	assert.Equal(t, saved[1].Offset, saved[2].Previous)
	assert.Equal(t, saved[0].Epoch, saved[2].Epoch)
	assert.Equal(t, saved[2].Offset+1, saved[3].Offset, "only once")
	n.isLost(t, room("x"), lost[0].Position)
	n.isLost(t, room("x"), lost[1].Position)
	for i, e := range saved {
		entries, newest, err := n.read(t, room("x"), e.Position)
		require.NoError(t, err)
		assert.Len(t, entries, len(saved)-1-i)
		assert.Equal(t, saved[6].Position, newest)
	}
	first := n.append(t, room("y"), "another one")
	assert.Zero(t, first.Previous)
	assert.NotEqual(t, lost[2].Position, first.Position)
	n.isLost(t, room("y"), lost[2].Position)
	entries, _, err = n.read(t, room("y"), begun)
	require.NoError(t, err)
	assert.Equal(t, []hub.Entry{first}, entries)
}

// If Redis has lost the newest entries, and then also all that were added after that, the offsets of both are given to no
// others.
func TestNewestEntriesAreLostTwice(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--appendonly", "no")
	n := newHistorian(t, connect(t, s.addr()), redisbroker.Options{})
	for range 2 { // the second time, what is saved is of a later line of data
		saved := n.append(t, room("x"), "saved")
		require.NoError(t, connect(t, s.addr()).Save(t.Context()).Err())
		lost := []hub.Entry{n.append(t, room("x"), "lost")}
		for range 3 {
			s.restart()
			for _, e := range lost {
				n.isLost(t, room("x"), e.Position)
			}
			e := n.append(t, room("x"), "lost, too")
			assert.Equal(t, saved.Offset, e.Previous)
			for _, other := range lost {
				assert.Less(t, other.Offset, e.Offset)
				n.isLost(t, room("x"), other.Position)
			}
			lost = append(lost, e)
		}
	}
}

// A replica that has not got the newest entries takes the place of its server.
func TestFailoverLosesEntries(t *testing.T) {
	t.Parallel()
	servers := startCluster(t, true)
	client := connectCluster(t, servers)
	n := newHistorian(t, client, redisbroker.Options{})
	n.subscribe(t, room("x"))
	kept := n.append(t, room("x"), "kept")
	master, err := client.MasterForKey(t.Context(), "{room:x}")
	require.NoError(t, err)
	i := 0
	for servers[i].addr() != master.Options().Addr {
		i++
	}
	replica := connect(t, servers[i+3].addr())
	require.Eventually(t, func() bool {
		return replica.DBSize(t.Context()).Val() == connect(t, servers[i].addr()).DBSize(t.Context()).Val()
	}, patience, moment)

	resume := servers[i+3].pause()
	require.Equal(t, int64(1), connect(t, servers[i].addr()).ClientKillByFilter(t.Context(), "type", "replica").Val())
	lost := n.append(t, room("x"), "lost")
	n.awaitEntry(t, lost)
	servers[i].kill()
	resume()
	next := n.append(t, room("x"), "after the failover") // waits for it
	assert.Equal(t, kept.Offset, next.Previous)
	assert.Equal(t, kept.Epoch, next.Epoch)
	assert.Greater(t, next.Offset, lost.Offset)
	n.isLost(t, room("x"), lost.Position)
	entries, _, err := n.read(t, room("x"), kept.Position)
	require.NoError(t, err)
	assert.Equal(t, []hub.Entry{next}, entries)
	require.NoError(t, n.AwaitSubscribed(t.Context()))
	n.awaitEntry(t, n.append(t, room("x"), "live"))
	assert.NotZero(t, n.Stats().Outages)
}

// A room keeps its epoch as long as a hub is subscribed to it. Nothing is left of others.
func TestEpochs(t *testing.T) {
	t.Parallel()
	const idle = 400 * time.Millisecond
	s := startServer(t)
	admin := connect(t, s.addr())
	b := newBroker(t, connect(t, s.addr()), redisbroker.Options{})
	b.SetIdle(idle)
	b.Open(func(hub.Topic, []byte) {})
	defer b.Close() //nolint:errcheck // it has only to be closed
	require.NoError(t, b.Subscribe(room("quiet")))
	require.NoError(t, b.Subscribe(room("empty")))
	keep := hub.Keep{Messages: 10, Age: idle}
	e, err := b.Append(t.Context(), room("quiet"), []byte("hello"), keep)
	require.NoError(t, err)
	_, begun, err := b.Read(t.Context(), room("empty"), hub.Position{}, 0)
	require.NoError(t, err)
	_, err = b.Append(t.Context(), room("unused"), []byte("hello"), keep)
	require.NoError(t, err)

	require.Eventually(t, func() bool {
		return strings.Join(admin.Keys(t.Context(), "*unused*").Val(), " ") == ""
	}, patience, moment)
	time.Sleep(3 * idle) // real time, as it is Redis' own
	_, newest, err := b.Read(t.Context(), room("quiet"), e.Position, 10)
	require.NoError(t, err)
	assert.Equal(t, e.Position, newest)
	_, newest, err = b.Read(t.Context(), room("empty"), begun, 10)
	require.NoError(t, err)
	assert.Equal(t, begun, newest)

	require.NoError(t, b.Unsubscribe(room("quiet")))
	require.NoError(t, b.Unsubscribe(room("empty")))
	require.Eventually(t, func() bool { return admin.DBSize(t.Context()).Val() == 0 }, patience, moment)
}

func TestHistoryDuringOutage(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	n := newHistorian(t, connect(t, s.addr(), func(o *redis.Options) { o.ReadTimeout = patience }), redisbroker.Options{})
	e := n.append(t, room("x"), "before")
	short := func() (context.Context, context.CancelFunc) {
		return context.WithTimeout(t.Context(), 100*time.Millisecond)
	}

	resume := s.pause() // it may or may not run what it is sent now
	ctx, cancel := short()
	defer cancel()
	begun := time.Now()
	_, err := n.Append(ctx, room("x"), []byte("perhaps"), keepAll)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, _, err = n.Read(ctx, room("x"), e.Position, 1)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, time.Since(begun), prompt)
	resume()
	require.Eventually(t, func() bool {
		entries, _, err := n.read(t, room("x"), e.Position)
		return assert.NoError(t, err) && len(entries) == 1
	}, patience, moment, "Redis has got it once")

	s.kill()
	ctx, cancel = short()
	defer cancel()
	_, err = n.Append(ctx, room("x"), []byte("never"), keepAll)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "refused")
	appended := make(chan error)
	go func() {
		_, err := n.Append(t.Context(), room("x"), []byte("late"), keepAll)
		appended <- err
	}()
	s.restart()
	require.NoError(t, <-appended)

	s.kill()
	go func() {
		_, err := n.Append(t.Context(), room("x"), []byte("too late"), keepAll)
		appended <- err
	}()
	require.NoError(t, n.Close())
	require.ErrorIs(t, <-appended, redisbroker.ErrClosed)
}

// Keys that another program has changed make calls fail at once.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	admin := connect(t, s.addr())
	n := newHistorian(t, connect(t, s.addr()), redisbroker.Options{})
	require.NoError(t, admin.HSet(t.Context(), "websocket.hub:{room:x}:history", "epoch", "e", "last", "0").Err())
	require.NoError(t, admin.XAdd(t.Context(), &redis.XAddArgs{Stream: "websocket.hub:{room:x}:entries", ID: "1-1", Values: []string{"p", "?", "d", ""}}).Err())
	_, _, err := n.read(t, room("x"), hub.Position{})
	require.ErrorContains(t, err, "unexpected answer")
	require.NoError(t, admin.Set(t.Context(), "websocket.hub:{room:y}:history", "", 0).Err())
	_, _, err = n.read(t, room("y"), hub.Position{})
	require.ErrorContains(t, err, "WRONGTYPE")
	_, err = n.Append(t.Context(), room("y"), nil, keepAll)
	require.ErrorContains(t, err, "WRONGTYPE")
}
