package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
)

// A workload is one thing to measure: a table of the report, or the rows of one variant in it.
type workload struct {
	name    string // matched by -run
	table   string // of the report; workloads of one table are its variants
	variant string // "" or what distinguishes its rows
	about   string
	unit    string // what the costs are for
	mode    mode
	among   func(im *implementation) bool // reports for which implementations there is a row; nil: for all
	once    bool                          // it is measured in one round only, because it takes long
	named   bool                          // it is measured only where there is a -run, because it takes long
	timeout time.Duration                 // of one measurement; zero means cellTimeout
	columns []column
	first   bool // its columns with a label are rows of the report's first table
	charted bool
	conns   int // number of connections, each of which is a descriptor in both processes
	run     func(ctx context.Context, l *load) (sample, error)
}

// A column is one number of a table. Where numbers are compared, less is better.
type column struct {
	key, title string
	compared   bool
	label      string // what the number is and its unit, for a table with numbers of several kinds; "" where it is in none
}

// has reports whether the report has a row for an implementation.
func (w *workload) has(im *implementation) bool { return w.among == nil || w.among(im) }

func costColumns(unit string) []column {
	return []column{
		{key: serverCPU, title: "server CPU, µs per " + unit, compared: true, label: "µs"},
		{key: loadCPU, title: "load CPU, µs"},
		{key: rate, title: plural(unit) + " per second"},
	}
}

func plural(unit string) string {
	if stem, ok := strings.CutSuffix(unit, "y"); ok {
		return stem + "ies"
	}
	return unit + "s"
}

// replySize is the key of the size of a reply, in bytes with the headers of its frames.
const replySize = "reply"

const (
	echoConns    = 16
	burstSize    = 64
	messageUnit  = "message"
	connUnit     = "connection"
	deliveryUnit = "delivery"
)

// workloads returns all workloads at a scale, in the order of the report.
func workloads(s scale) []workload {
	all := []workload{handshakeWorkload()}
	for _, size := range []int{64, 1 << 10, 16 << 10, 256 << 10, 1 << 20} {
		all = append(all, echoWorkload(size, opBinary), echoWorkload(size, opText))
	}
	all = append(all, burstWorkload(), deflateWorkload())
	all = append(all, chatWorkloads(200, "200")...)
	all = append(all, chatWorkloads(1<<10, "1k")...)
	all = append(all, broadcastWorkload(s, 1), broadcastWorkload(s, 8))
	all = append(all, chatBroadcastWorkloads(s)...)
	all = append(all, memoryWorkload(s), chatMemoryWorkload(s), latencyWorkload())
	for conns := 100; conns <= s.growth; conns *= 10 {
		all = append(all, growthWorkload(conns))
	}
	all = append(all, idleWorkloads(s)...)
	return append(all, wakeWorkload(s))
}

func echoWorkload(size int, op byte) workload {
	w := workload{
		name:  "echo " + bytesName(size),
		table: "Echo of " + bytesName(size),
		about: fmt.Sprintf("%d connections, each sends a message and awaits the reply before the next.", echoConns),
		unit:  messageUnit, mode: echo, columns: costColumns(messageUnit), conns: echoConns,
		first:   op == opBinary || size == 1<<10,
		charted: op == opBinary,
		run: func(ctx context.Context, l *load) (sample, error) {
			return l.echo(ctx, echoConns, messages(op, size, l.im.raw))
		},
	}
	if op == opText {
		w.name += " text"
		w.variant = "text"
	}
	return w
}

func growthWorkload(conns int) workload {
	return workload{
		name:  fmt.Sprintf("growth %d", conns),
		table: fmt.Sprintf("Echo of 1 KiB on %s connections", thousands(conns)),
		about: "Each connection sends a message and awaits the reply before the next, all at once.",
		unit:  messageUnit, mode: echo, columns: costColumns(messageUnit), conns: conns,
		first: conns == 1000,
		run: func(ctx context.Context, l *load) (sample, error) {
			return l.echo(ctx, conns, messages(opBinary, 1<<10, l.im.raw))
		},
	}
}

func (l *load) echo(ctx context.Context, conns int, m []message) (sample, error) {
	if err := l.connect(ctx, conns, len(m[0].wire)); err != nil {
		return nil, err
	}
	exchange := func(i, turn int, c *client) error { return c.exchange(&m[(i+turn)%len(m)]) }
	if _, err := l.repeat(l.warmup, exchange); err != nil {
		return nil, err
	}
	return l.cost(func() (int64, error) { return l.repeat(l.phase, exchange) })
}

func burstWorkload() workload {
	const size = 128
	return workload{
		name:  "bursts",
		table: fmt.Sprintf("Bursts of %d messages of %s", burstSize, bytesName(size)),
		about: fmt.Sprintf("%d connections, each sends a burst in one write and awaits all replies.", echoConns),
		unit:  messageUnit, mode: echo, columns: costColumns(messageUnit), conns: echoConns,
		first: true, charted: true,
		run: func(ctx context.Context, l *load) (sample, error) {
			m := messages(opBinary, size, l.im.raw)
			if err := l.connect(ctx, echoConns, len(m[0].wire)); err != nil {
				return nil, err
			}
			var wire []byte
			for i := range burstSize {
				wire = append(wire, m[i%len(m)].wire...)
			}
			burst := func(_, _ int, c *client) error {
				if _, err := c.nc.Write(wire); err != nil {
					return err
				}
				for i := range burstSize {
					if err := c.expect(&m[i%len(m)]); err != nil {
						return err
					}
				}
				return nil
			}
			if _, err := l.repeat(l.warmup, burst); err != nil {
				return nil, err
			}
			return l.cost(func() (int64, error) {
				bursts, err := l.repeat(l.phase, burst)
				return bursts * burstSize, err
			})
		},
	}
}

func deflateWorkload() workload {
	const size = 4 << 10
	return workload{
		name:  "deflate",
		table: "Echo of 4 KiB of JSON, compressed",
		about: "permessage-deflate as browsers offer it (`" + offer(deflate) + "`), no context takeover. The size of the " +
			"replies says what the time was spent on.",
		unit: messageUnit, mode: deflate, conns: echoConns, first: true, charted: true,
		columns: append(costColumns(messageUnit), column{key: replySize, title: "reply on the wire, bytes"}),
		run: func(ctx context.Context, l *load) (sample, error) {
			m, err := compressedMessages(size)
			if err != nil {
				return nil, err
			}
			s, err := l.echo(ctx, echoConns, m)
			if err != nil {
				return nil, err
			}
			total := 0
			for i := range m {
				if err := l.clients[0].exchange(&m[i]); err != nil {
					return nil, err
				}
				total += l.clients[0].wireSize
			}
			s[replySize] = float64(total) / float64(len(m))
			return s, nil
		},
	}
}

func handshakeWorkload() workload {
	const size = 125
	return workload{
		name:  "handshake",
		table: "Handshake",
		about: fmt.Sprintf("A new connection, its upgrade and its closing handshake, %d at a time. Raw TCP: a new "+
			"connection, one exchange of %d bytes, and its end.", dialers, size),
		unit: connUnit, mode: echo, columns: costColumns(connUnit), conns: dialers,
		first: true, charted: true,
		run: func(ctx context.Context, l *load) (sample, error) {
			m := messages(opBinary, size, l.im.raw)
			once := func() error {
				c, err := dial(ctx, l.server.addr, l.im.raw, l.mode, len(m[0].wire))
				if err != nil {
					return err
				}
				if !l.im.raw {
					return c.closeProperly()
				}
				defer c.hangUp()
				return c.exchange(&m[0])
			}
			for range dialers { // they also warm up the server
				if err := once(); err != nil {
					return nil, err
				}
			}
			return l.cost(func() (int64, error) {
				l.clients = make([]*client, dialers) // repeat uses one loop for each
				defer func() { l.clients = nil }()
				return l.repeat(l.phase, func(_, _ int, _ *client) error { return once() })
			})
		},
	}
}

// settle is how long to wait before memory is measured, so that the handlers of handshakes have
// returned and pools are released.
const settle = 200 * time.Millisecond

func memoryWorkload(s scale) workload {
	const size = 16 << 10
	return workload{
		name:  "memory",
		table: "Memory of an idle connection",
		about: fmt.Sprintf("KiB for each of %s connections after garbage collection: heap in use and stacks of the "+
			"server (runtime/metrics), and its resident size; just upgraded; after one echo of %s on each; and, of an "+
			"implementation that gives up memory of quiet connections, after it has done so. Raw TCP "+
			"has a buffer of one message for each connection and is no limit here.", thousands(s.idle), bytesName(size)),
		unit: connUnit, mode: echo, conns: s.idle, once: s.quick, first: true, charted: true,
		columns: []column{
			{key: "fresh", title: "heap and stacks, fresh, KiB", compared: true},
			{key: "used", title: "heap and stacks, after an echo, KiB", compared: true},
			{key: "fresh rss", title: "resident, fresh, KiB", compared: true, label: "resident, fresh, KiB"},
			{key: "used rss", title: "resident, after an echo, KiB", compared: true, label: "resident, after an echo, KiB"},
			{key: "quiet", title: "heap and stacks, quiet, KiB"},
		},
		run: func(ctx context.Context, l *load) (sample, error) {
			m := messages(opBinary, size, l.im.raw)
			base, err := l.server.usage(serving.AskMemory)
			if err != nil {
				return nil, err
			}
			if err := l.connect(ctx, l.idle, len(m[0].wire)); err != nil {
				return nil, err
			}
			result := sample{}
			if err := l.countMemory(result, "fresh", base); err != nil {
				return nil, err
			}
			// A few at a time: this measures what idle connections need, not a burst of handshakes.
			err = parallel(dialers, func(worker int) error {
				for i := worker; i < len(l.clients); i += dialers {
					if err := l.clients[i].exchange(&m[i%len(m)]); err != nil {
						return fmt.Errorf("connection %d: %w", i, err)
					}
					l.clients[i].payload = nil
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
			if err := l.countMemory(result, "used", base); err != nil {
				return nil, err
			}
			time.Sleep(l.im.quietAfter)
			return result, l.countMemory(result, "quiet", base)
		},
	}
}

// countMemory sets what each connection takes, in KiB.
func (l *load) countMemory(result sample, key string, base serving.Usage) error {
	time.Sleep(settle)
	u, err := l.server.usage(serving.AskMemory)
	if err != nil {
		return err
	}
	perConn := func(bytes, base uint64) float64 {
		return (float64(bytes) - float64(base)) / 1024 / float64(len(l.clients))
	}
	result[key] = perConn(u.Heap+u.Stack, base.Heap+base.Stack)
	result[key+" rss"] = perConn(u.RSS, base.RSS)
	return nil
}
