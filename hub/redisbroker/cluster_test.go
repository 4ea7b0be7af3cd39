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
func connectCluster(t *testing.T, servers []*server) *redis.ClusterClient {
	t.Helper()
	options := &redis.ClusterOptions{
		ReadTimeout: 2 * time.Second, DialTimeout: time.Second, MaxRetries: -1, PoolSize: 10,
		ClusterStateReloadInterval: time.Second,
	}
	for _, s := range servers {
		options.Addrs = append(options.Addrs, s.addr())
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
			brokertest.Test(t, func(t *testing.T) brokertest.Network {
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
