package redisbroker

import (
	"context"
	"sync"

	"github.com/redis/go-redis/v9"
)

// sharding is whether channels are spread over the servers of a cluster, once it is known.
type sharding struct {
	mu      sync.Mutex
	known   bool
	sharded bool
}

// sharded reports whether channels are spread over the servers of a cluster: they are if the cluster can do it
// and Options.Unsharded does not forbid it. The first call that reaches Redis finds out.
func (b *Broker) sharded(ctx context.Context) (bool, error) {
	if b.cluster == nil || b.options.Unsharded {
		return false, nil
	}
	b.sharding.mu.Lock()
	defer b.sharding.mu.Unlock()
	if b.sharding.known {
		return b.sharding.sharded, nil
	}
	node, err := b.anyServer(ctx)
	if err != nil {
		return false, err
	}
	info, err := node.Do(ctx, "command", "info", "spublish").Slice()
	if err != nil {
		return false, err
	}
	b.sharding.known, b.sharding.sharded = true, len(info) == 1 && info[0] != nil
	return b.sharding.sharded, nil
}

// anyServer returns a client for one server of the cluster, the same for all nodes.
func (b *Broker) anyServer(ctx context.Context) (*redis.Client, error) {
	return b.cluster.MasterForKey(ctx, b.options.Prefix+":{all}")
}

// A publisher sends pipelines.
type publisher interface{ Pipeline() redis.Pipeliner }

// publisher returns the command that publishes, and the client for it. A cluster without shards passes
// each message on to all of its servers: to keep the order, all messages go to the same one.
func (b *Broker) publisher(ctx context.Context) (command string, client publisher, err error) {
	sharded, err := b.sharded(ctx)
	switch {
	case err != nil:
		return "", nil, err
	case sharded:
		return "spublish", b.cluster, nil
	case b.cluster != nil:
		node, err := b.anyServer(ctx)
		return "publish", node, err
	default:
		return "publish", b.client, nil
	}
}
