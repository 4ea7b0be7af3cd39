package natsbroker_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
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

// hear returns a list of what the error handler of a connection is told.
func hear(t *testing.T, url string) (*nats.Conn, *errorList) {
	t.Helper()
	told := new(errorList)
	return connect(t, url, nats.ErrorHandler(told.handle)), told
}

// The history and its epoch outlive a restart of the server, and calls wait for it.
func TestHistoryOutlivesTheServer(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := startServer(t, withJetStream(folder))
	nc, told := hear(t, s.ClientURL())
	a := newKeeper(t, nc, natsbroker.JetStreamOptions{})
	b := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	b.follow(t, room("x"))
	first := a.append(t, room("x"), "before", 10)
	_, err := a.RenewNode(patient(t), "a", time.Minute)
	require.NoError(t, err)
	require.NoError(t, a.PutPresence(patient(t), room("x"), "a", 1, []hub.PresenceEntry{{Key: "ann", Value: []byte("1")}}))

	stopServer(s)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, _, err = b.Read(ctx, room("x"), first.Position, 10)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	appended := make(chan hub.Entry)
	go func() {
		e, err := a.Append(context.Background(), room("x"), []byte("meanwhile"), hub.Keep{Messages: 10})
		assert.NoError(t, err)
		appended <- e
	}()
	time.Sleep(50 * time.Millisecond)
	again(t, s, withJetStream(folder))
	second := <-appended
	require.Equal(t, first.Epoch, second.Epoch)
	require.Equal(t, first.Offset, second.Previous)
	payloads, newest := b.read(t, room("x"), first.Position)
	assert.Equal(t, []string{"meanwhile"}, payloads, "once")
	assert.Equal(t, second.Position, newest)
	assert.False(t, told.has(natsbroker.ErrHistoryBegan))

	lease, err := a.RenewNode(patient(t), "a", time.Minute)
	require.NoError(t, err)
	assert.False(t, lease.New)
	list, err := b.ListPresence(patient(t), room("x"))
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, []hub.PresenceEntry{{Key: "ann", Value: []byte("1")}}, list[0].Entries)

	require.Eventually(t, b.nc.IsConnected, patience, moment)
	third := a.append(t, room("x"), "after", 10)
	require.Eventually(t, func() bool { all := b.received(); return len(all) > 0 && all[len(all)-1].Offset == third.Offset }, patience, moment)
}

// A server that has lost everything has history begin anew, and nodes put their people again.
func TestServerLosesEverything(t *testing.T) {
	s := startJetStream(t)
	nc, told := hear(t, s.ClientURL())
	a := newKeeper(t, nc, natsbroker.JetStreamOptions{})
	b := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	b.follow(t, room("x"))
	for i := range 5 {
		a.append(t, room("x"), fmt.Sprint(i), 10)
	}
	_, newest := b.read(t, room("x"), hub.Position{})
	_, err := a.RenewNode(patient(t), "a", time.Minute)
	require.NoError(t, err)

	stopServer(s)
	again(t, s, withJetStream(t.TempDir()))
	e := a.append(t, room("x"), "anew", 10)
	require.NotEqual(t, newest.Epoch, e.Epoch)
	require.Zero(t, e.Previous)
	require.Eventually(t, func() bool { return told.has(natsbroker.ErrHistoryBegan) }, patience, moment)
	_, _, err = b.Read(patient(t), room("x"), newest, 10)
	require.ErrorIs(t, err, hub.ErrHistoryLost)
	payloads, _ := b.read(t, room("x"), hub.Position{})
	assert.Equal(t, []string{"anew"}, payloads)

	require.ErrorIs(t, a.PutPresence(patient(t), room("x"), "a", 1, nil), natsbroker.ErrNoLease)
	lease, err := a.RenewNode(patient(t), "a", time.Minute)
	require.NoError(t, err)
	assert.True(t, lease.New)
}

// A node that does not know yet that another one has begun the history anew appends to it, once.
func TestAppendToAnotherStream(t *testing.T) {
	t.Parallel()
	s := startJetStream(t)
	a := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	b := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	first := a.append(t, room("x"), "first", 10)

	stopServer(s)
	again(t, s, withJetStream(t.TempDir()))
	e := b.append(t, room("x"), "anew", 10)
	require.NotEqual(t, first.Epoch, e.Epoch)
	require.Eventually(t, a.nc.IsConnected, patience, moment)
	mine := a.append(t, room("x"), "mine", 10)
	require.Equal(t, e.Epoch, mine.Epoch)
	require.Equal(t, e.Offset, mine.Previous)
	payloads, newest := b.read(t, room("x"), hub.Position{})
	assert.Equal(t, []string{"anew", "mine"}, payloads)
	assert.Equal(t, mine.Position, newest)
}

// A backup is an older state of the server: offsets would be used twice.
func TestServerLosesTheLastEntries(t *testing.T) {
	folder, backup := t.TempDir(), t.TempDir()
	s := startServer(t, withJetStream(folder))
	nc, told := hear(t, s.ClientURL())
	a := newKeeper(t, nc, natsbroker.JetStreamOptions{})
	b := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	for i := range 3 {
		a.append(t, room("x"), fmt.Sprint(i), 10)
	}
	stopServer(s)
	require.NoError(t, os.CopyFS(filepath.Join(backup, "store"), os.DirFS(folder)))
	s = again(t, s, withJetStream(folder))
	for i := range 3 {
		a.append(t, room("x"), fmt.Sprint("lost ", i), 10)
	}
	_, newest := b.read(t, room("x"), hub.Position{})
	stopServer(s)
	again(t, s, withJetStream(filepath.Join(backup, "store")))

	for _, k := range []*keeper{a, b} { // the first one has seen the loss, the other one a new stream
		e := k.append(t, room("x"), "anew", 10)
		require.NotEqual(t, newest.Epoch, e.Epoch)
		_, _, err := k.Read(patient(t), room("x"), newest, 10)
		require.ErrorIs(t, err, hub.ErrHistoryLost)
	}
	require.Eventually(t, func() bool { return told.has(natsbroker.ErrHistoryBegan) }, patience, moment)
}

// A cluster is three servers that keep streams, each in its own folder.
type cluster struct {
	servers []*server.Server
	routes  string
	ports   []int    // for routes
	folders []string // of the last start
	clients []int    // the ports for clients, likewise
}

func startThree(t *testing.T) *cluster {
	t.Helper()
	c := new(cluster)
	for range 3 {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, listener.Close())
		c.ports = append(c.ports, listener.Addr().(*net.TCPAddr).Port) //nolint:errcheck // it is
		c.routes += fmt.Sprintf("nats://%s,", listener.Addr())
	}
	c.routes = strings.TrimSuffix(c.routes, ",")
	c.folders, c.clients = make([]string, 3), []int{server.RANDOM_PORT, server.RANDOM_PORT, server.RANDOM_PORT}
	for i := range 3 {
		c.servers = append(c.servers, c.start(t, i))
	}
	for _, s := range c.servers {
		require.True(t, s.ReadyForConnections(patience))
	}
	require.Eventually(t, func() bool {
		for _, s := range c.servers {
			if s.JetStreamIsLeader() {
				return len(s.JetStreamClusterPeers()) == 3
			}
		}
		return false
	}, patience, moment)
	return c
}

// start starts a server of the cluster, with nothing on its disk, and does not wait.
func (c *cluster) start(t *testing.T, i int) *server.Server {
	t.Helper()
	c.folders[i] = t.TempDir()
	return c.again(t, i)
}

// again starts a server with what is on its disk, and does not wait.
func (c *cluster) again(t *testing.T, i int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: c.clients[i], NoLog: true, NoSigs: true,
		ServerName: fmt.Sprint("server-", i), JetStream: true, StoreDir: c.folders[i], Routes: server.RoutesFromStr(c.routes),
		Cluster: server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: c.ports[i], NoAdvertise: true},
	})
	require.NoError(t, err)
	go s.Start()
	t.Cleanup(func() { stopServer(s) })
	return s
}

// The server that leads the streams is killed while nodes append.
func TestLeaderIsKilled(t *testing.T) {
	t.Parallel()
	servers := startThree(t).servers
	options := natsbroker.JetStreamOptions{Replicas: 3}
	var keepers []*keeper
	urls := servers[0].ClientURL() + "," + servers[1].ClientURL() + "," + servers[2].ClientURL()
	for range 3 {
		k := newKeeper(t, connect(t, urls), options)
		k.follow(t, room("x"))
		keepers = append(keepers, k)
	}
	start := keepers[0].append(t, room("x"), "the first", 1000)
	_, err := keepers[0].RenewNode(patient(t), "a", time.Minute)
	require.NoError(t, err)
	require.NoError(t, keepers[0].PutPresence(patient(t), room("x"), "a", 1, []hub.PresenceEntry{{Key: "ann", Value: []byte("1")}}))

	var mu sync.Mutex
	var appended []hub.Entry
	var appending sync.WaitGroup
	for i, k := range keepers {
		appending.Go(func() {
			for j := range 60 {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				e, err := k.Append(ctx, room("x"), fmt.Append(nil, i, " ", j), hub.Keep{Messages: 1000})
				cancel()
				if assert.NoError(t, err) {
					mu.Lock()
					appended = append(appended, e)
					mu.Unlock()
				}
				time.Sleep(moment)
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	killed := streamLeader(t, keepers[0].nc, "websocket_hub_history_"+start.Epoch)
	for _, s := range servers {
		if s.Name() == killed {
			stopServer(s)
		}
	}
	appending.Wait()
	byOffset := make(map[uint64]string)
	for _, e := range appended {
		byOffset[e.Offset] = string(e.Payload)
	}
	require.Len(t, byOffset, 180, "no offset is used twice")
	for _, k := range keepers {
		entries, _, err := k.Read(patient(t), room("x"), start.Position, 1000)
		require.NoError(t, err)
		require.Len(t, entries, 180)
		previous := start.Offset
		for _, e := range entries {
			assert.Equal(t, byOffset[e.Offset], string(e.Payload))
			assert.Equal(t, previous, e.Previous)
			previous = e.Offset
		}
	}
	for _, e := range appended {
		i := 0
		_, err := fmt.Sscan(string(e.Payload), &i)
		require.NoError(t, err)
		entries, _, err := keepers[(i+1)%3].Read(patient(t), room("x"), hub.Position{Epoch: e.Epoch, Offset: e.Previous}, 1)
		require.NoError(t, err)
		require.Equal(t, e.Offset, entries[0].Offset, "nothing is between an entry and what its Append called the previous one")
	}
	for _, k := range keepers {
		list, err := k.ListPresence(patient(t), room("x"))
		require.NoError(t, err)
		require.Len(t, list, 1)
	}
	lease, err := keepers[0].RenewNode(patient(t), "a", time.Minute)
	require.NoError(t, err)
	assert.False(t, lease.New)
}

func streamLeader(t *testing.T, nc *nats.Conn, name string) string {
	t.Helper()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	stream, err := js.Stream(patient(t), name)
	require.NoError(t, err)
	return stream.CachedInfo().Cluster.Leader
}

// A stream with one replica is on one server of a cluster. If that loses its disk, the others know that
// the stream should be there, and it is made again, empty, under the same name.
func TestServerOfAClusterLosesItsDisk(t *testing.T) {
	t.Parallel()
	c := startThree(t)
	servers := c.servers
	probe := newKeeper(t, connect(t, servers[0].ClientURL()), natsbroker.JetStreamOptions{})
	first := probe.append(t, room("x"), "the first", 10)
	last := first
	for i := range 5 {
		last = probe.append(t, room("x"), fmt.Sprint(i), 10)
	}
	leader := streamLeader(t, probe.nc, "websocket_hub_history_"+first.Epoch)
	lost, others := -1, []*server.Server(nil)
	for i, s := range servers {
		if s.Name() == leader {
			lost = i
		} else {
			others = append(others, s)
		}
	}
	nc, told := hear(t, others[0].ClientURL())
	k := newKeeper(t, nc, natsbroker.JetStreamOptions{})
	_, newest := k.read(t, room("x"), hub.Position{})
	require.Equal(t, last.Position, newest)

	stopServer(servers[lost])
	c.start(t, lost)
	e, err := k.Append(patient(t), room("x"), []byte("anew"), hub.Keep{Messages: 10})
	require.NoError(t, err)
	require.NotEqual(t, first.Epoch, e.Epoch)
	require.Eventually(t, func() bool { return told.has(natsbroker.ErrHistoryBegan) }, patience, moment)
	_, _, err = k.Read(patient(t), room("x"), newest, 10)
	require.ErrorIs(t, err, hub.ErrHistoryLost)
}

// A node that was cut off sees by Previous that it has missed entries, and reads them.
func TestEntriesWhileCutOff(t *testing.T) {
	s := startJetStream(t)
	network := startProxy(t, s.Addr().String())
	a := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	b := newKeeper(t, connect(t, network.url()), natsbroker.JetStreamOptions{})
	b.follow(t, room("x"))
	first := a.append(t, room("x"), "first", 10)
	require.Eventually(t, func() bool { return len(b.received()) == 1 }, patience, moment)

	network.cut()
	require.Eventually(t, b.nc.IsReconnecting, patience, moment)
	missed := a.append(t, room("x"), "missed", 10)
	network.back()
	require.NoError(t, b.AwaitSubscribed(patient(t)))
	live := a.append(t, room("x"), "live", 10)
	require.Eventually(t, func() bool { return len(b.received()) == 2 }, patience, moment)
	assert.Equal(t, missed.Offset, b.received()[1].Previous)
	entries, _, err := b.Read(patient(t), room("x"), first.Position, 10)
	require.NoError(t, err)
	assert.Equal(t, []hub.Entry{missed, live}, entries)
}

// While the network accepts no data and reports no error, nats.go holds its lock.
func TestCallsEndWithTheirContext(t *testing.T) {
	s := startJetStream(t)
	network := startProxy(t, s.Addr().String())
	k := newKeeper(t, connect(t, network.url(), nats.FlusherTimeout(2*time.Second)), natsbroker.JetStreamOptions{})
	e := k.append(t, room("x"), "first", 10)
	network.freeze()
	begun := time.Now()
	for k.Publish(room("x"), make([]byte, 100_000)) == nil {
		require.Less(t, time.Since(begun), patience)
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		call := time.Now()
		_, err := k.Append(ctx, room("x"), []byte("never"), hub.Keep{Messages: 10})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, _, err = k.Read(ctx, room("x"), e.Position, 10)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = k.RenewNode(ctx, "a", time.Minute)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Less(t, time.Since(call), prompt)
		cancel()
	}
	waiting := make(chan error)
	go func() {
		_, err := k.Append(context.Background(), room("x"), []byte("never"), hub.Keep{Messages: 10})
		waiting <- err
	}()
	time.Sleep(moment)
	closed := make(chan error)
	go func() { closed <- k.Close() }()
	require.ErrorIs(t, <-waiting, natsbroker.ErrClosed)
	network.cut()
	network.thaw()
	select {
	case <-closed: //nolint:errcheck // with whatever error
	case <-time.After(patience):
		assert.Fail(t, "Close waits")
	}
}
