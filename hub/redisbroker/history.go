package redisbroker

import (
	"context"
	"crypto/rand"
	_ "embed" // scripts
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goyave-contrib/websocket/hub"
)

var (
	//go:embed history.lua
	historySource string
	//go:embed append.lua
	appendSource string
	//go:embed read.lua
	readSource string

	appendScript = newScript(historySource, appendSource)
	readScript   = newScript(historySource, readSource)
)

const (
	defaultAge = 24 * time.Hour // of hub.Keep

	// defaultIdle is how long the epoch of a topic is remembered after its last entry is too old, if no hub
	// is subscribed to it.
	defaultIdle = time.Hour
)

var _ hub.HistoryBroker = (*Broker)(nil)

// OpenHistory starts to receive entries of histories. The hub calls it.
func (b *Broker) OpenHistory(receive func(t hub.Topic, e hub.Entry)) { b.receiveEntry.Store(&receive) }

// historyKeys returns the keys of a topic's history: see history.lua.
func historyKeys(channel string) []string {
	return []string{channel + ":history", channel + ":entries"}
}

// newEpoch returns an epoch that was never used.
func newEpoch() string { return rand.Text()[:16] }

// Append adds a payload to the history of a topic and publishes the entry, in one step. While Redis is
// away it waits. The error is the cause of ctx, [ErrClosed], or of Redis. If the connection breaks
// before Redis has answered, the entry may be kept all the same. The hub calls it.
func (b *Broker) Append(ctx context.Context, t hub.Topic, payload []byte, keep hub.Keep) (hub.Entry, error) {
	channel := b.channel(t)
	b.keepsHistory(channel)
	return call(ctx, b, false, func(ctx context.Context) (hub.Entry, error) {
		sharded, err := b.sharded(ctx)
		if err != nil {
			return hub.Entry{}, err
		}
		publish := "PUBLISH"
		if sharded {
			publish = "SPUBLISH"
		}
		reply, err := appendScript.run(ctx, b.client, append(historyKeys(channel), channel),
			payload, max(keep.Messages, 0), orDefault(keep.Age, defaultAge).Milliseconds(), newEpoch(), publish, b.idle.Milliseconds())
		if err != nil {
			return hub.Entry{}, err
		}
		e := hub.Entry{Payload: payload}
		if e.Position, err = position(reply, 3); err == nil {
			e.Previous, err = offset(reply[2])
		}
		return e, err
	})
}

// Read returns entries after a position: see [hub.HistoryBroker]. While Redis is away it waits. The error
// wraps hub.ErrHistoryLost, is the cause of ctx, [ErrClosed], or of Redis. The hub calls it.
func (b *Broker) Read(ctx context.Context, t hub.Topic, after hub.Position, limit int) ([]hub.Entry, hub.Position, error) {
	channel := b.channel(t)
	b.keepsHistory(channel)
	r, err := call(ctx, b, true, func(ctx context.Context) (history, error) { return b.read(ctx, channel, after, limit) })
	if err == nil && r.lost {
		err = hub.ErrHistoryLost
	}
	return r.entries, r.newest, err
}

// history is what Redis says of one.
type history struct {
	newest  hub.Position
	lost    bool
	entries []hub.Entry
}

func (b *Broker) read(ctx context.Context, channel string, after hub.Position, limit int) (h history, err error) {
	reply, err := readScript.run(ctx, b.client, historyKeys(channel),
		after.Epoch, strconv.FormatUint(after.Offset, 10), max(limit, 0), newEpoch(), b.idle.Milliseconds())
	if err != nil {
		return h, err
	}
	if h.newest, err = position(reply, 4); err != nil {
		return h, err
	}
	h.lost = reply[2] == int64(1)
	entries, _ := reply[3].([]any)
	for _, entry := range entries {
		e, err := parseStored(entry)
		if err != nil {
			return h, err
		}
		e.Epoch = h.newest.Epoch
		h.entries = append(h.entries, e)
	}
	return h, nil
}

// parseStored parses an entry of a stream: its ID, and the fields p and d.
func parseStored(entry any) (e hub.Entry, err error) {
	parts, _ := entry.([]any)
	if len(parts) != 2 {
		return e, unexpected(entry)
	}
	id, _ := parts[0].(string)
	fields, _ := parts[1].([]any)
	if len(fields) != 4 {
		return e, unexpected(entry)
	}
	before, _, _ := strings.Cut(id, "-")
	payload, ok := fields[3].(string)
	if !ok {
		return e, unexpected(entry)
	}
	e.Payload = []byte(payload)
	if e.Offset, err = offset(before); err == nil {
		e.Previous, err = offset(fields[1])
	}
	return e, err
}

// position parses a reply of at least two parts, an epoch and an offset.
func position(reply []any, parts int) (p hub.Position, err error) {
	if len(reply) != parts {
		return p, unexpected(reply)
	}
	ok := false
	if p.Epoch, ok = reply[0].(string); !ok || p.Epoch == "" {
		return p, unexpected(reply)
	}
	p.Offset, err = offset(reply[1])
	return p, err
}

func offset(part any) (uint64, error) {
	s, _ := part.(string)
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, unexpected(part)
	}
	return n, nil
}

var errUnexpected = errors.New("redisbroker: unexpected answer")

// unexpected is the error of an answer that is none of our scripts.
func unexpected(reply any) error { return fmt.Errorf("%w: %.100v", errUnexpected, reply) }
