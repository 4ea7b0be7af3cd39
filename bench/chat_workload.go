package main

import (
	"context"
	"fmt"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
)

// chatModes are the variants of a table about compression.
var chatModes = []struct {
	name string
	mode mode
}{
	{"no compression", echo},
	{"no context", deflate},
	{"context, 15 bits", context15},
	{"context, 12 bits", context12},
	{"context, 9 bits", context9},
}

const (
	chatAbout = "Messages of a chat as JSON, each different from the last thousands. With context takeover, windows " +
		"have so many bits, in both directions. Rows are of implementations with context takeover, of " +
		gorillaName + " and of raw TCP."
	chatMessages = 100 // that a connection sends before its memory is counted
)

// amongChats returns a function that reports whether a workload about compression is measured with an
// implementation.
func amongChats(m mode) func(im *implementation) bool {
	return func(im *implementation) bool {
		return im.lacks[m] == "" && (im.lacks[context15] == "" || im.raw || im.name == gorillaName)
	}
}

// chatWorkloads returns the workloads of messages of one size, in bytes, whose names have it in short.
func chatWorkloads(size int, short string) []workload {
	var all []workload
	for _, variant := range chatModes {
		all = append(all, workload{
			name:    fmt.Sprintf("deflate-%s %s", short, variant.name),
			table:   fmt.Sprintf("Echo of %s of a chat, compressed", bytesName(size)),
			variant: variant.name,
			about:   chatAbout,
			unit:    messageUnit, mode: variant.mode, conns: echoConns, among: amongChats(variant.mode),
			first: size == 200 && variant.mode == context15,
			columns: append(costColumns(messageUnit),
				column{key: replySize, title: "reply on the wire, bytes", compared: true, label: "reply, bytes"}),
			run: func(ctx context.Context, l *load) (sample, error) { return l.converse(ctx, echoConns, size) },
		})
	}
	return all
}

// A talk is a conversation on each connection.
type talk struct {
	all   []conversation
	turns []int // of each connection: its next message
}

func (l *load) newTalk(ctx context.Context, conns, size int) (*talk, error) {
	all, err := conversations(size, l.mode, l.im.raw)
	if err != nil {
		return nil, err
	}
	if err := l.connect(ctx, conns, len(all[0].message(0).wire)); err != nil {
		return nil, err
	}
	return &talk{all: all, turns: make([]int, conns)}, nil
}

// exchange sends the next message of a connection and awaits the reply.
func (t *talk) exchange(i int, c *client) error {
	m := t.all[i%len(t.all)].message(t.turns[i])
	t.turns[i]++
	return c.exchange(m)
}

// converse measures echoes. The size of a reply is the average over whole conversations, so that it
// does not depend on how far a phase came.
func (l *load) converse(ctx context.Context, conns, size int) (sample, error) {
	t, err := l.newTalk(ctx, conns, size)
	if err != nil {
		return nil, err
	}
	exchange := func(i, _ int, c *client) error { return t.exchange(i, c) }
	if _, err := l.repeat(l.warmup, exchange); err != nil {
		return nil, err
	}
	s, err := l.cost(func() (int64, error) { return l.repeat(l.phase, exchange) })
	if err != nil {
		return nil, err
	}
	s[replySize], err = t.replySize(l.clients[:conversationCount])
	return s, err
}

// replySize returns the average size of the replies to one more round of each connection's
// conversation, in bytes.
func (t *talk) replySize(clients []*client) (float64, error) {
	total, replies := 0, 0
	for i, c := range clients {
		length := len(t.all[i].again)
		for t.turns[i] < length || t.turns[i]%length != 0 {
			if err := t.exchange(i, c); err != nil {
				return 0, err
			}
		}
		for range length {
			if err := t.exchange(i, c); err != nil {
				return 0, err
			}
			total += c.wireSize
		}
		replies += length
	}
	return float64(total) / float64(replies), nil
}

func chatBroadcastWorkloads(s scale) []workload {
	var rests [][]byte
	chat := newChat(0)
	for range 2 << maxWindowBits / broadcastSize {
		rests = append(rests, chat.next(broadcastSize-idSize))
	}
	var all []workload
	for _, variant := range []struct {
		name string
		mode mode
	}{{"no compression", broadcast}, {"context, 15 bits", broadcastContext}} {
		all = append(all, workload{
			name:    "broadcast-chat " + variant.name,
			table:   fmt.Sprintf("Broadcast of %d B of a chat to %s connections, compressed", broadcastSize, thousands(s.members)),
			variant: variant.name,
			about: "A message of one connection is sent to all, itself too; the next follows when all have it. For each " +
				"delivery. " + chatAbout,
			unit: deliveryUnit, mode: variant.mode, conns: s.members, among: amongChats(variant.mode),
			columns: append(costColumns(deliveryUnit),
				column{key: replySize, title: "delivery on the wire, bytes", compared: true}),
			run: func(ctx context.Context, l *load) (sample, error) { return l.broadcast(ctx, 1, rests) },
		})
	}
	return all
}

func chatMemoryWorkload(s scale) workload {
	const size = 1 << 10
	return workload{
		name:  "memory-chat",
		table: "Memory of a connection with context",
		about: fmt.Sprintf("KiB for each of %s connections (of coder/websocket and lxzan/gws: at most 1,000), counted as in the table above, "+
			"after %d messages of %s in each direction. Two windows of 15 bits are 64 KiB. It is measured once. %s",
			thousands(s.idle), chatMessages, bytesName(size), chatAbout),
		unit: connUnit, mode: context15, conns: s.idle, among: amongChats(context15),
		once: true, timeout: 3 * cellTimeout,
		columns: []column{
			{key: "used", title: "heap and stacks", compared: true},
			{key: "used rss", title: "resident", compared: true},
		},
		run: func(ctx context.Context, l *load) (sample, error) { return l.chatMemory(ctx, size) },
	}
}

func (l *load) chatMemory(ctx context.Context, size int) (sample, error) {
	base, err := l.server.usage(serving.AskMemory)
	if err != nil {
		return nil, err
	}
	conns := l.idle
	if most := l.im.contextConns; most > 0 && l.mode.WindowBits() > 0 {
		conns = min(conns, most)
	}
	t, err := l.newTalk(ctx, conns, size)
	if err != nil {
		return nil, err
	}
	// A few at a time: this measures what connections keep, and not what many of them need at once. Each
	// is read again and again, so that it answers pings.
	err = parallel(dialers, func(worker int) error {
		for range chatMessages {
			for i := worker; i < len(l.clients); i += dialers {
				c := l.clients[i]
				if err := t.exchange(i, c); err != nil {
					return fmt.Errorf("connection %d: %w", i, err)
				}
				c.payload, c.inflated = nil, nil
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	result := sample{}
	return result, l.countMemory(result, "used", base)
}
