package redisbroker

import (
	"context"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// checkLines finds out, in a goroutine, whether a server of a cluster has begun a new line of data: see history.lua.
// The server that has the leases does that itself, but another one, which has rooms, may have lost what nodes have
// put there last.
func (b *Broker) checkLines() {
	if b.cluster == nil || !b.checkingLines.CompareAndSwap(false, true) {
		return
	}
	err := b.start(func() {
		defer b.checkingLines.Store(false)
		b.presence.seen(b.lines(b.ctx))
	})
	if err != nil { // it is closed
		b.checkingLines.Store(false)
	}
}

// lines returns what the servers that lead call their lines of data. Those that do not answer are missing.
func (b *Broker) lines(ctx context.Context) (lines []string) {
	var mu sync.Mutex
	err := recovered(func() error {
		return b.cluster.ForEachMaster(ctx, func(ctx context.Context, server *redis.Client) error {
			info, err := server.Info(ctx, "replication").Result()
			if err != nil {
				return err
			}
			_, after, _ := strings.Cut(info, "master_replid:")
			line, _, _ := strings.Cut(after, "\r")
			mu.Lock()
			defer mu.Unlock()
			lines = append(lines, line)
			return nil
		})
	})
	if err != nil {
		b.cluster.ReloadState(ctx) // another server may have taken the place of one
	}
	return lines
}
