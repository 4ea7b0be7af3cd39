package redisbroker_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// A soakCluster is a cluster of three servers with replicas, any of which may lead.
type soakCluster struct {
	t       *testing.T
	servers []*server
	client  *redis.ClusterClient
}

// masterOf returns the number of the server that has a channel.
func (c *soakCluster) masterOf(channel string) (found int) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		c.client.ReloadState(c.t.Context())
		master, err := c.client.MasterForKey(c.t.Context(), channel)
		if err != nil {
			return false
		}
		for i, s := range c.servers {
			if s.addr() == master.Options().Addr {
				found = i
				return !s.hasEnded() && s.is("role:master")
			}
		}
		return false
	}, patience, moment)
	return found
}

// replicaOf returns the replica of a server.
func (c *soakCluster) replicaOf(master int) *server {
	c.t.Helper()
	for _, s := range c.servers {
		if s.is("role:slave") && s.is("master_port:"+strconv.Itoa(c.servers[master].port)+"\r") {
			return s
		}
	}
	require.FailNow(c.t, "the server has no replica")
	return nil
}

// await waits until the cluster has so many masters, and replicas that have all data of theirs.
func (c *soakCluster) await(masters, replicas int) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		leading, following, ok := 0, 0, 0
		for _, s := range c.servers {
			switch {
			case s.hasEnded():
				continue
			case s.is("role:master"):
				leading++
			case s.is("master_link_status:up"):
				following++
			}
			if strings.Contains(c.do(s, "cluster", "info").String(), "cluster_state:ok") {
				ok++
			}
		}
		return leading == masters && following == replicas && ok == masters+replicas
	}, patience, 10*moment)
}

func (c *soakCluster) do(s *server, arguments ...any) *redis.Cmd {
	client := newClient(s.addr())
	defer client.Close() //nolint:errcheck // it has only to be closed
	return client.Do(c.t.Context(), arguments...)
}

// move moves the slot of a channel, with its keys, to the next server that leads.
func (c *soakCluster) move(channel string) {
	c.t.Helper()
	source := c.masterOf(channel)
	target := (source + 1) % len(c.servers)
	for !c.servers[target].is("role:master") {
		target = (target + 1) % len(c.servers)
	}
	from, to := c.servers[source], c.servers[target]
	slot := c.client.ClusterKeySlot(c.t.Context(), channel).Val()
	id := func(s *server) string { return c.do(s, "cluster", "myid").Val().(string) } //nolint:errcheck,forcetypeassert // a test
	until := func(s *server, arguments ...any) {                                      // it is down for a moment where others use the machine
		require.Eventually(c.t, func() bool { return c.do(s, arguments...).Err() == nil }, patience, moment)
	}
	set := func(s *server, state string, of *server) { until(s, "cluster", "setslot", slot, state, id(of)) }
	set(to, "importing", from)
	set(from, "migrating", to)
	for {
		keys, err := c.do(from, "cluster", "getkeysinslot", slot, 100).StringSlice()
		require.NoError(c.t, err)
		if len(keys) == 0 {
			break
		}
		arguments := []any{"migrate", "127.0.0.1", strconv.Itoa(to.port), "", 0, 5000, "keys"}
		for _, key := range keys {
			arguments = append(arguments, key)
		}
		until(from, arguments...)
	}
	for _, s := range []*server{to, from} {
		set(s, "node", to)
	}
	for _, s := range c.servers {
		if s != to && s != from && s.is("role:master") {
			set(s, "node", to)
		}
	}
	require.Eventually(c.t, func() bool { return c.masterOf(channel) == target }, patience, moment)
}
