package redisbroker

import (
	"context"
	_ "embed" // scripts
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/redis/go-redis/v9"
)

var (
	//go:embed put.lua
	putSource string
	//go:embed drop.lua
	dropSource string

	putScript  = newScript(putSource)
	dropScript = newScript(dropSource)
)

// presenceKeys returns the keys of a node's entries in a room: see put.lua.
func presenceKeys(channel, node string) []string {
	return []string{channel + ":present", channel + ":present:" + escape(node)}
}

// PutPresence changes entries of a node in a room: see [hub.PresenceBroker]. The hub calls it. The error is
// [ErrNoLease], too.
func (b *Broker) PutPresence(ctx context.Context, room hub.Topic, node string, revision uint64, changes []hub.PresenceEntry) error {
	life := b.presence.life(node)
	if life == 0 && b.failure() == nil {
		return ErrNoLease
	}
	channel := b.channel(room)
	arguments := []any{node, life, revision, b.idle.Milliseconds()}
	for _, e := range changes {
		if e.Value == nil {
			arguments = append(arguments, e.Key, "-")
		} else {
			arguments = append(arguments, e.Key, "+"+string(e.Value))
		}
	}
	entries, err := call(ctx, b, true, func(ctx context.Context) (int64, error) {
		l, err := b.lease(ctx)
		if err != nil {
			return 0, err
		}
		if l.nodes[node] != strconv.FormatUint(life, 10) {
			return 0, ErrNoLease
		}
		return putScript.runInt(ctx, b.client, presenceKeys(channel, node), arguments...)
	})
	if err != nil {
		return err
	}
	b.presence.put(node, life, channel, revision, entries)
	return nil
}

// An indexed node is what the index of a room says of a node: see put.lua.
type indexed struct {
	life     string
	revision uint64
}

// index reads the indexes of rooms, and then which nodes live. In this order, a node that is in an index and
// does not live has died.
func (b *Broker) index(ctx context.Context, channels []string) (rooms []map[string]indexed, live map[string]string, err error) {
	for part := range slices.Chunk(channels, chunk) {
		pipe := b.client.Pipeline()
		var replies []*redis.MapStringStringCmd
		for _, channel := range part {
			replies = append(replies, pipe.HGetAll(ctx, presenceKeys(channel, "")[0]))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, nil, err
		}
		for _, reply := range replies {
			room := make(map[string]indexed)
			for node, value := range reply.Val() {
				life, revision, _ := strings.Cut(value, " ")
				n, err := strconv.ParseUint(revision, 10, 64)
				if err != nil {
					return nil, nil, unexpected(value)
				}
				room[node] = indexed{life, n}
			}
			rooms = append(rooms, room)
		}
	}
	l, err := b.lease(ctx)
	return rooms, l.nodes, err
}

// living reads the indexes of rooms, without nodes that have died. What those have left is removed.
func (b *Broker) living(ctx context.Context, channels []string) ([]map[string]indexed, error) {
	expected := b.presence.expected(channels)
	rooms, live, err := b.index(ctx, channels)
	if err != nil {
		return nil, err
	}
	found := make(map[string]map[string]indexed, len(rooms))
	for i, room := range rooms {
		for node, n := range room {
			if live[node] != n.life {
				delete(room, node)
				// If it fails, the next one who sees it does it, or it expires.
				_, _ = dropScript.runInt(ctx, b.client, presenceKeys(channels[i], node), node, n.life)
			}
		}
		found[channels[i]] = room
	}
	for _, own := range expected {
		n, ok := found[own.channel][own.node]
		if !ok || n.revision < own.revision {
			b.presence.losing(own)
		}
	}
	return rooms, nil
}

// ListPresence returns the entries in a room: see [hub.PresenceBroker]. The hub calls it. What one node has in
// the room is read in one step, and blocks a server for a moment if that is much: a list that is read part by
// part would not be true at any time.
func (b *Broker) ListPresence(ctx context.Context, room hub.Topic) ([]hub.NodePresence, error) {
	channel := b.channel(room)
	return call(ctx, b, true, func(ctx context.Context) (list []hub.NodePresence, err error) {
		rooms, err := b.living(ctx, []string{channel})
		if err != nil {
			return nil, err
		}
		pipe := b.client.Pipeline()
		replies := make(map[string]*redis.MapStringStringCmd)
		for node := range rooms[0] {
			replies[node] = pipe.HGetAll(ctx, presenceKeys(channel, node)[1])
		}
		if len(replies) == 0 {
			return nil, nil
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, err
		}
		for node, reply := range replies {
			np, ok, err := parsePresence(node, rooms[0][node].life, reply.Val())
			if err != nil {
				return nil, err
			}
			if ok {
				list = append(list, np)
			}
		}
		return list, nil
	})
}

// parsePresence parses what a node has in a room. It reports false if that is nothing, or of another life.
func parsePresence(node, life string, fields map[string]string) (np hub.NodePresence, ok bool, err error) {
	if fields["l"] != life {
		return np, false, nil
	}
	np.Node = node
	if np.Revision, err = strconv.ParseUint(fields["r"], 10, 64); err != nil {
		return np, false, unexpected(fields["r"])
	}
	np.Entries = make([]hub.PresenceEntry, 0, len(fields)-2)
	for field, value := range fields {
		if key, ok := strings.CutPrefix(field, "k"); ok {
			np.Entries = append(np.Entries, hub.PresenceEntry{Key: key, Value: []byte(value)})
		}
	}
	return np, len(np.Entries) > 0, nil
}

// PresenceRevisions returns the revisions of nodes in rooms: see [hub.PresenceBroker]. The hub calls it.
func (b *Broker) PresenceRevisions(ctx context.Context, rooms []hub.Topic) ([]map[string]uint64, error) {
	channels := make([]string, len(rooms))
	for i, room := range rooms {
		channels[i] = b.channel(room)
	}
	return call(ctx, b, true, func(ctx context.Context) ([]map[string]uint64, error) {
		list := make([]map[string]uint64, len(rooms))
		if len(rooms) == 0 {
			return list, nil
		}
		found, err := b.living(ctx, channels)
		if err != nil {
			return nil, err
		}
		for i, room := range found {
			list[i] = make(map[string]uint64, len(room))
			for node, n := range room {
				list[i][node] = n.revision
			}
		}
		return list, nil
	})
}

// keepPresence renews the time that the entries of this node are remembered, and notices those that Redis has
// lost.
func (b *Broker) keepPresence(ctx context.Context) error {
	for part := range slices.Chunk(b.presence.all(), chunk) {
		replies, err := call(ctx, b, true, func(ctx context.Context) ([]redis.Cmder, error) {
			pipe := b.client.Pipeline()
			for _, r := range part {
				for _, key := range presenceKeys(r.channel, r.node) {
					pipe.PExpire(ctx, key, b.idle)
				}
			}
			return pipe.Exec(ctx)
		})
		if err != nil {
			return fmt.Errorf("redisbroker: renewing presence: %w", err)
		}
		for i, reply := range replies {
			if kept, ok := reply.(*redis.BoolCmd); ok && !kept.Val() {
				b.presence.losing(part[i/2])
			}
		}
	}
	return nil
}
