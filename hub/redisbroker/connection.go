package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	errSilent  = errors.New("redisbroker: Redis does not answer a ping")
	errRefused = errors.New("redisbroker: Redis has not confirmed a subscription")
)

// noDial is for calls of a redis.PubSub that has a connection: if that fails, it shall not make another
// one, of which we would not know.
var noDial = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// A connection is one connection of a link. The link's goroutine writes, another one reads.
type connection struct {
	l       *link
	pubsub  *redis.PubSub
	channel string // of probes
	number  int    // of the newest ping
	refusal error  // of the last exchange; only for the link's goroutine

	// Only for the link's goroutine: the newest probe when the connection began, which need not arrive,
	// and those that Redis had taken at the last two calls of probe.
	firstProbe uint64
	taken      [2]uint64
	lastProbe  atomic.Uint64 // the newest that has arrived

	reading sync.WaitGroup
	pong    chan string
	failed  chan struct{} // closed when reading has ended
	err     error         // why; may be read once failed is closed
	active  atomic.Bool   // something has arrived since it was set to false

	mu      sync.Mutex      // taken before the Broker's
	live    map[string]bool // channels that the server has confirmed
	pending map[string]bool // channels that the server has to confirm
	leaving map[string]bool // channels whose end the server has to confirm
	refused error           // its answer to a subscription
}

// connect returns the next connection of the link. It is made by the first exchange.
func (l *link) connect() *connection {
	l.b.mu.Lock()
	client := l.client
	for channel := range l.channels {
		l.dirty[channel] = true
	}
	l.b.mu.Unlock()
	return &connection{
		l: l, pubsub: client.Subscribe(l.ctx), channel: l.b.probeChannel(),
		pong: make(chan string, 1), failed: make(chan struct{}),
		live: make(map[string]bool), pending: make(map[string]bool), leaving: make(map[string]bool),
	}
}

func (c *connection) close() {
	_ = c.pubsub.Close()
	c.reading.Wait()
}

// exchange tells the server of all changes and waits for its answer, for PingInterval. It then passes the
// fences. An error means that the connection is of no use any more.
func (c *connection) exchange() error {
	c.mu.Lock()
	subscribe, unsubscribe, fences := c.l.take(c.live)
	for _, channel := range subscribe {
		c.pending[channel] = true
	}
	for _, channel := range unsubscribe {
		c.leaving[channel] = true
	}
	c.refused = nil
	c.mu.Unlock()

	err := c.write(subscribe, unsubscribe)
	if err == nil {
		err = c.awaitPong()
	}
	if err != nil {
		c.l.putBack(fences)
		return err
	}
	err = c.settle()
	for _, f := range fences {
		f.pass(err)
	}
	return nil
}

const chunk = 1000 // channels in one command

// write sends commands, and a ping behind them.
func (c *connection) write(subscribe, unsubscribe []string) error {
	ctx := noDial
	if c.number == 0 {
		ctx = c.l.ctx
	}
	size := chunk
	join, leave := c.pubsub.Subscribe, c.pubsub.Unsubscribe
	if c.l.sharded { // they are of different hash slots
		size = 1
		join, leave = c.pubsub.SSubscribe, c.pubsub.SUnsubscribe
	}
	send := func(f func(context.Context, ...string) error, channels ...string) error {
		if err := f(ctx, channels...); err != nil {
			return err
		}
		if ctx != noDial { // it is connected
			ctx = noDial
			c.reading.Go(c.read)
		}
		return nil
	}
	for part := range slices.Chunk(unsubscribe, size) {
		if err := send(leave, part...); err != nil {
			return err
		}
	}
	for part := range slices.Chunk(subscribe, size) {
		if err := send(join, part...); err != nil {
			return err
		}
	}
	c.number++
	return send(c.pubsub.Ping, strconv.Itoa(c.number))
}

// awaitPong waits for the answer to the newest ping.
func (c *connection) awaitPong() error {
	timer := time.NewTimer(c.l.b.options.PingInterval)
	defer timer.Stop()
	for {
		select {
		case token := <-c.pong:
			if token == strconv.Itoa(c.number) {
				return nil
			}
		case <-timer.C:
			return fmt.Errorf("%w within %v", errSilent, c.l.b.options.PingInterval)
		case <-c.failed:
			return c.err
		case <-c.l.ctx.Done():
			return context.Cause(c.l.ctx)
		}
	}
}

// settle finds out which subscriptions the server has refused: those that it has not confirmed before it
// answered the ping. They are tried again. The error is for those who wait for them.
func (c *connection) settle() error {
	c.mu.Lock()
	var missing []string
	for channel := range c.pending {
		missing = append(missing, channel)
	}
	refused := c.refused
	clear(c.pending)
	clear(c.leaving)
	c.mu.Unlock()

	c.refusal = nil
	part := c.l.part() + refusedPart
	if len(missing) == 0 {
		c.l.b.outages.end(part)
		return nil
	}
	if refused == nil {
		refused = errRefused
	}
	c.refusal = fmt.Errorf("redisbroker: %d channels, such as %s: %w", len(missing), missing[0], refused)
	c.l.touch(missing...)
	c.l.b.outages.begin(part, c.refusal)
	if c.l.sharded && notDone(refused) {
		c.l.moved()
		return errMoved
	}
	return c.refusal
}

// read handles what the server sends, until the connection fails.
func (c *connection) read() {
	c.err = recovered(func() error {
		for {
			m, err := c.pubsub.ReceiveTimeout(noDial, 0)
			c.active.Store(true)
			switch {
			case err == nil:
				c.handle(m)
			case refused(err):
				c.mu.Lock()
				c.refused = err
				c.mu.Unlock()
			default:
				return err
			}
		}
	})
	close(c.failed)
}

func (c *connection) handle(m any) {
	switch m := m.(type) {
	case *redis.Message:
		if m.Channel == c.channel {
			c.probed(m.Payload)
			return
		}
		c.l.b.arrived(arrival{m.Channel, m.Payload})
	case *redis.Pong:
		select {
		case <-c.pong: // nobody waits for an older one
		default:
		}
		c.pong <- m.Payload
	case *redis.Subscription:
		c.confirm(m)
	}
}

// confirm handles the confirmation of a subscription or its end. A cluster ends subscriptions by itself when it
// moves their slot to another server.
func (c *connection) confirm(m *redis.Subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m.Kind {
	case "subscribe", "ssubscribe":
		c.live[m.Channel] = true
		delete(c.pending, m.Channel)
	case "unsubscribe", "sunsubscribe":
		if c.live[m.Channel] && !c.leaving[m.Channel] {
			c.l.touch(m.Channel)
			c.l.moved()
			signal(c.l.work)
		}
		delete(c.live, m.Channel)
		delete(c.leaving, m.Channel)
	}
}
