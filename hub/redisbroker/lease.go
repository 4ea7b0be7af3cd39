package redisbroker

import (
	"context"
	_ "embed" // scripts
	"errors"
	"strconv"
	"time"

	"github.com/goyave-contrib/websocket/hub"
)

var (
	//go:embed presence.lua
	presenceSource string
	//go:embed lease.lua
	leaseSource string

	leaseScript = newScript(presenceSource, leaseSource)
)

// ErrNoLease is the error of PutPresence for a node that has not renewed its lease in time.
var ErrNoLease = errors.New("redisbroker: the node has no lease")

var _ hub.PresenceBroker = (*Broker)(nil)

// leases returns the key of all leases: see lease.lua.
func (b *Broker) leases() []string { return []string{b.options.Prefix + ":{nodes}"} }

// lives are the nodes that have a lease, and their lives.
type lives struct {
	isNew bool
	nodes map[string]string
}

func (b *Broker) lease(ctx context.Context, arguments ...any) (l lives, err error) {
	reply, err := leaseScript.run(ctx, b.client, b.leases(), arguments...)
	if err != nil {
		return l, err
	}
	if len(reply) != 2 {
		return l, unexpected(reply)
	}
	l.isNew = reply[0] == int64(1)
	list, _ := reply[1].([]any)
	l.nodes = make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		node, ok := list[i].(string)
		life, alsoOK := list[i+1].(string)
		if !ok || !alsoOK {
			return l, unexpected(list)
		}
		l.nodes[node] = life
	}
	return l, nil
}

// RenewNode says that a node lives: see [hub.PresenceBroker]. The hub calls it. The error is the cause of
// ctx, [ErrClosed], or of Redis, as of the other methods for presence. While Redis is away, they wait.
//
// The lease is a new one, too, if Redis may have lost what the node has put.
func (b *Broker) RenewNode(ctx context.Context, node string, ttl time.Duration) (hub.Lease, error) {
	least, renew := b.presence.lifeOf(node)
	l, err := call(ctx, b, true, func(ctx context.Context) (lives, error) {
		return b.lease(ctx, node, max(ttl.Milliseconds(), 1), least, renew)
	})
	if err != nil {
		return hub.Lease{}, err
	}
	life, err := strconv.ParseUint(l.nodes[node], 10, 64)
	if err != nil {
		return hub.Lease{}, unexpected(l.nodes)
	}
	b.checkLines()
	lease := hub.Lease{New: b.presence.renewed(node, life)}
	for node := range l.nodes {
		lease.Nodes = append(lease.Nodes, node)
	}
	return lease, nil
}

// RemoveNode drops a node: see [hub.PresenceBroker]. The hub calls it.
func (b *Broker) RemoveNode(ctx context.Context, node string) error {
	_, err := call(ctx, b, true, func(ctx context.Context) (int64, error) {
		return b.client.HDel(ctx, b.leases()[0], node).Result()
	})
	if err != nil {
		return err
	}
	for _, channel := range b.presence.removed(node) { // nobody counts it any more
		if ctx.Err() != nil {
			break
		}
		_, _ = call(ctx, b, true, func(ctx context.Context) (int64, error) {
			keys := presenceKeys(channel, node)
			return 0, errors.Join(b.client.HDel(ctx, keys[0], node).Err(), b.client.Del(ctx, keys[1]).Err())
		})
	}
	return nil
}
