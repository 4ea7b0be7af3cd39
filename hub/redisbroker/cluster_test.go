package redisbroker_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/brokertest"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// slots is the number of hash slots of a cluster.
const slots = 16384

// startCluster starts a cluster of three servers. With replicas, each has one: server i+3 is that of server i.
func startCluster(t *testing.T, replicas bool) []*server {
	t.Helper()
	var servers []*server
	ports := make(map[*server]string)
	count := 3
	if replicas {
		count = 6
	}
	for range count {
		bus := strconv.Itoa(freePort(t))
		s := startServer(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000",
			"--cluster-config-file", "nodes.conf", "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0")
		servers, ports[s] = append(servers, s), bus
	}
	first := connect(t, servers[0].addr())
	for i, s := range servers {
		c := connect(t, s.addr())
		if i < 3 {
			require.NoError(t, c.ClusterAddSlotsRange(t.Context(), i*slots/3, (i+1)*slots/3-1).Err())
			require.NoError(t, c.Do(t.Context(), "cluster", "set-config-epoch", i+1).Err())
		}
		if i > 0 {
			require.NoError(t, c.Do(t.Context(), "cluster", "meet", "127.0.0.1", servers[0].port, ports[servers[0]]).Err())
		}
	}
	require.Eventually(t, func() bool {
		nodes, err := first.ClusterNodes(t.Context()).Result()
		return err == nil && strings.Count(nodes, "connected\n")+strings.Count(nodes, "connected ") >= count
	}, patience, moment)
	for i := 3; i < count; i++ {
		master := connect(t, servers[i-3].addr()).Do(t.Context(), "cluster", "myid").Val()
		c := connect(t, servers[i].addr())
		require.Eventually(t, func() bool { return c.Do(t.Context(), "cluster", "replicate", master).Err() == nil }, patience, moment)
	}
	for i, s := range servers {
		c := connect(t, s.addr())
		require.Eventually(t, func() bool {
			info, err := c.ClusterInfo(t.Context()).Result()
			synced := i < 3 || strings.Contains(c.Info(t.Context(), "replication").Val(), "master_link_status:up")
			return err == nil && synced && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:"+strconv.Itoa(count))
		}, patience, moment)
	}
	return servers
}

// connectCluster returns a client for a cluster until the test ends.
func connectCluster(t *testing.T, servers []*server, set ...func(*redis.ClusterOptions)) *redis.ClusterClient {
	t.Helper()
	options := &redis.ClusterOptions{
		ReadTimeout: 2 * time.Second, DialTimeout: time.Second, MaxRetries: -1, PoolSize: 10,
		ClusterStateReloadInterval: time.Second,
	}
	for _, s := range servers {
		options.Addrs = append(options.Addrs, s.addr())
	}
	for _, f := range set {
		f(options)
	}
	client := redis.NewClusterClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestBrokerInCluster(t *testing.T) {
	t.Parallel()
	servers := startCluster(t, false)
	for _, row := range []struct {
		name      string
		unsharded bool
	}{
		{"channels spread over the servers", false},
		{"each message on all servers", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			networks := 0
			brokertest.Test(t, func(*testing.T) brokertest.Network {
				networks++
				options := redisbroker.Options{Prefix: "net" + strconv.Itoa(networks), Unsharded: row.unsharded}
				return func(t *testing.T) hub.Broker { return newBroker(t, connectCluster(t, servers), options) }
			})
		})
	}
	require.Positive(t, shardChannels(t, servers), "the first half has used shards")
}

// shardChannels returns how many commands to subscribe to channels with shards the servers have got.
func shardChannels(t *testing.T, servers []*server) (n int) {
	t.Helper()
	for _, s := range servers {
		info := connect(t, s.addr()).Info(context.Background(), "commandstats").Val()
		n += strings.Count(info, "cmdstat_ssubscribe")
	}
	return n
}

// A slot moves to another server while nodes are subscribed to its channels.
func TestSlotMoves(t *testing.T) {
	t.Parallel()
	servers := startCluster(t, false)
	from := newNode(t, connectCluster(t, servers), redisbroker.Options{})
	to := newNode(t, connectCluster(t, servers), redisbroker.Options{})
	to.subscribe(t, room("x"), room("y"))
	from.reaches(t, room("x"), to, "before")

	client := connectCluster(t, servers)
	slot := client.ClusterKeySlot(t.Context(), "websocket.hub:{room:x}").Val()
	ids := make(map[*server]string)
	source := 0
	for i, s := range servers {
		id, err := connect(t, s.addr()).Do(t.Context(), "cluster", "myid").Text()
		require.NoError(t, err)
		ids[s] = id
		if int(slot) >= i*slots/3 && int(slot) < (i+1)*slots/3 {
			source = i
		}
	}
	target := servers[(source+1)%3]
	setSlot := func(s *server, arguments ...any) {
		t.Helper()
		require.NoError(t, connect(t, s.addr()).Do(t.Context(), append([]any{"cluster", "setslot", slot}, arguments...)...).Err())
	}
	setSlot(target, "importing", ids[servers[source]])
	setSlot(servers[source], "migrating", ids[target])
	setSlot(target, "node", ids[target])
	setSlot(servers[source], "node", ids[target])
	setSlot(servers[(source+2)%3], "node", ids[target])

	from.reaches(t, room("x"), to, "after")
	require.NoError(t, to.AwaitSubscribed(t.Context()))
	require.NoError(t, from.Publish(room("x"), []byte("the next one")))
	to.await(t, "the next one")
	require.Contains(t, connect(t, target.addr()).PubSubShardChannels(t.Context(), "*").Val(), "websocket.hub:{room:x}")
	from.reaches(t, room("y"), to, "of the other room")
	require.NoError(t, to.Unsubscribe(room("x")))
	require.NoError(t, to.AwaitSubscribed(t.Context()))
	require.Empty(t, connect(t, target.addr()).PubSubShardChannels(t.Context(), "*{room:x}").Val())
}

// A server of the cluster dies, and its replica takes its place.
func TestServerOfClusterDies(t *testing.T) {
	t.Parallel()
	servers := startCluster(t, true)
	from := newNode(t, connectCluster(t, servers), redisbroker.Options{})
	to := newNode(t, connectCluster(t, servers), redisbroker.Options{})
	var rooms []hub.Topic
	for i := range 30 {
		rooms = append(rooms, room(strconv.Itoa(i)))
	}
	to.subscribe(t, rooms...)
	servers[0].kill()
	away(t, 1, to)
	for _, r := range rooms {
		from.reaches(t, r, to, "in "+r.Name)
	}
	require.NoError(t, to.AwaitSubscribed(t.Context()))
	isBack(t, 1, to)
	for _, r := range rooms {
		require.NoError(t, from.Publish(r, []byte("again in "+r.Name)))
	}
	for _, r := range rooms {
		to.await(t, "again in "+r.Name)
	}
}
