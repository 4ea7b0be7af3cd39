package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/goyave-contrib/websocket/hub"
)

// keepsHistory notes that a topic has a history. As long as the hub is subscribed to it, the broker keeps its
// epoch from expiring.
func (b *Broker) keepsHistory(channel string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.topics[channel]; s != nil {
		s.history = true
	}
}

// keepAll keeps what the hub needs from expiring, until the Broker is closed.
func (b *Broker) keepAll() {
	ticker := time.NewTicker(b.idle / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			b.keep()
		case <-b.stop:
			return
		}
	}
}

// keep renews the time that things are remembered. What fails now, the next round will do.
func (b *Broker) keep() {
	ctx, cancel := context.WithTimeout(b.ctx, b.idle/4)
	defer cancel()
	err := errors.Join(b.keepPresence(ctx), b.keepEpochs(ctx))
	if ctx.Err() == nil {
		b.report(err)
	}
}

func (b *Broker) keepEpochs(ctx context.Context) error {
	b.mu.Lock()
	var channels []string
	for channel, s := range b.topics {
		if s.wanted && s.history {
			channels = append(channels, channel)
		}
	}
	b.mu.Unlock()
	for _, channel := range channels {
		_, err := call(ctx, b, true, func(ctx context.Context) (history, error) { return b.read(ctx, channel, hub.Position{}, 0) })
		if err != nil {
			return fmt.Errorf("redisbroker: keeping a history's epoch: %w", err)
		}
	}
	return nil
}
