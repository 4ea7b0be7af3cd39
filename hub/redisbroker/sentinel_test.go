package redisbroker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startSentinel starts a Sentinel for a server.
func startSentinel(t *testing.T, master *server) *server {
	t.Helper()
	config := filepath.Join(t.TempDir(), "sentinel.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
sentinel monitor ours 127.0.0.1 %d 1
sentinel down-after-milliseconds ours 500
sentinel failover-timeout ours 3000
`, master.port), 0o600))
	sentinel := &server{t: t, port: freePort(t), dir: t.TempDir(), arguments: []string{"--sentinel"}, config: config}
	require.True(t, sentinel.start(findRedis(t)))
	t.Cleanup(sentinel.kill)
	return sentinel
}

// connectBySentinel returns a client until the test ends. Sentinel tells it where the server is.
func connectBySentinel(t *testing.T, sentinel *server, set ...func(*redis.FailoverOptions)) *redis.Client {
	t.Helper()
	options := &redis.FailoverOptions{
		MasterName: "ours", SentinelAddrs: []string{sentinel.addr()},
		ReadTimeout: 2 * time.Second, DialTimeout: time.Second, DialerRetries: 1, MaxRetries: -1,
	}
	for _, f := range set {
		f(options)
	}
	client := redis.NewFailoverClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// Sentinel has a replica take the place of a server that has died.
func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	master := startServer(t)
	replica := startServer(t, "--replicaof", fmt.Sprintf("127.0.0.1 %d", master.port))
	require.Eventually(t, func() bool { return replica.is("master_link_status:up") }, patience, moment)
	sentinel := startSentinel(t, master)
	from, to := newHistorian(t, connectBySentinel(t, sentinel), redisbroker.Options{}), newHistorian(t, connectBySentinel(t, sentinel), redisbroker.Options{})
	to.subscribe(t, room("x"))
	from.reaches(t, room("x"), to.node, "before")
	e := from.append(t, room("x"), "kept")
	to.awaitEntry(t, e)
	require.Eventually(t, func() bool { // the replica has it
		return connect(t, replica.addr()).XLen(t.Context(), "websocket.hub:{room:x}:entries").Val() == 1
	}, patience, moment)

	master.kill()
	away(t, 1, from.node, to.node)
	next := from.append(t, room("x"), "after") // waits for the failover
	assert.Equal(t, e.Epoch, next.Epoch)
	assert.Equal(t, e.Offset, next.Previous)
	require.NoError(t, to.AwaitSubscribed(t.Context()))
	from.reaches(t, room("x"), to.node, "after")
	to.awaitEntry(t, from.append(t, room("x"), "live"))
	entries, _, err := to.read(t, room("x"), e.Position)
	require.NoError(t, err)
	assert.Len(t, entries, 2)
	isBack(t, 1, from.node, to.node)
}
