package redisbroker

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// A subscriber is a client that opens connections for subscriptions.
type subscriber interface {
	Subscribe(ctx context.Context, channels ...string) *redis.PubSub
}

// A link is the subscriptions at one server: there is one link or, with shards, one for each server that
// has a channel. Its goroutine keeps it connected, one connection after the other.
type link struct {
	b       *Broker
	address string
	sharded bool
	ctx     context.Context // ends with the link
	cancel  context.CancelFunc
	work    chan struct{} // buffers one signal: dirty or fences is not empty

	// Guarded by the Broker's mutex.
	client   subscriber
	channels map[string]bool // those that are wanted here
	dirty    map[string]bool // those that the server may have to be told of
	fences   []*fence        // to be passed
}

// A fence is passed when the server has all subscriptions that were wanted before. The error is
// errMoved if some have to be made elsewhere.
type fence struct {
	done chan struct{}
	err  error // may be read once done is closed
}

var errMoved = errors.New("redisbroker: channels have moved in the cluster")

func (f *fence) pass(err error) {
	f.err = err
	close(f.done)
}

func newLink(b *Broker, address string, sharded bool) *link {
	l := &link{
		b: b, address: address, sharded: sharded,
		work:     make(chan struct{}, 1),
		channels: make(map[string]bool),
		dirty:    make(map[string]bool),
	}
	if !sharded {
		l.channels[b.probeChannel()] = true
	}
	l.ctx, l.cancel = context.WithCancel(b.ctx)
	return l
}

// changeLocked says whether a channel is wanted here. The caller holds the Broker's mutex.
func (l *link) changeLocked(channel string, wanted bool) {
	if l.channels[channel] == wanted {
		return
	}
	if wanted {
		l.channels[channel] = true
	} else {
		delete(l.channels, channel)
	}
	l.dirty[channel] = true
	signal(l.work)
}

// fenceLocked returns a new fence. The caller holds the Broker's mutex.
func (l *link) fenceLocked() *fence {
	f := &fence{done: make(chan struct{})}
	l.fences = append(l.fences, f)
	signal(l.work)
	return f
}

// endLocked ends the link, because it has no channels. The caller holds the Broker's mutex.
func (l *link) endLocked() {
	l.cancel()
	for _, f := range l.fences {
		f.pass(errMoved)
	}
	l.fences = nil
}

const refusedPart = ", refused"

// part names the link among those that may be without a connection.
func (l *link) part() string { return "subscribe " + l.address }

// run keeps the link connected until it ends.
func (l *link) run() {
	var wait backoff
	for l.ctx.Err() == nil {
		err := recovered(func() error { return l.serve(wait.reset) })
		if l.ctx.Err() != nil {
			break
		}
		if errors.Is(err, redis.ErrClosed) && l.b.cluster == nil {
			l.b.fail()
		}
		l.b.outages.begin(l.part(), err)
		l.moved()
		wait.sleep(l.ctx)
	}
	l.b.outages.end(l.part())
	l.b.outages.end(l.part() + refusedPart)
}

// moved finds out whether another server of the cluster has the channels now.
func (l *link) moved() {
	if l.sharded {
		l.b.cluster.ReloadState(l.ctx)
		l.b.routeAgain()
	}
}

// serve keeps one connection for as long as it lives. It calls connected when the server has all
// subscriptions.
func (l *link) serve(connected func()) error {
	c := l.connect()
	defer c.close()
	if err := c.exchange(); err != nil {
		return err
	}
	c.firstProbe = l.b.newestProbe()
	connected()
	l.b.outages.end(l.part())
	ticker := time.NewTicker(l.b.options.PingInterval)
	defer ticker.Stop()
	var retry backoff
	for {
		var again <-chan time.Time
		if c.refusal != nil { // some channels are not here, or not allowed
			again = time.After(retry.next())
		} else {
			retry.reset()
		}
		select {
		case <-l.work:
		case <-again:
		case <-ticker.C:
			if err := c.probe(); err != nil {
				return err
			}
			if c.active.Swap(false) {
				continue // whatever arrives is a sign of life
			}
		case <-c.failed:
			return c.err
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		}
		if err := c.exchange(); err != nil {
			return err
		}
	}
}

// take returns the changes that the server has to be told of, given the channels that it has, and the
// fences behind them.
func (l *link) take(live map[string]bool) (subscribe, unsubscribe []string, fences []*fence) {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	for channel := range l.dirty {
		switch wanted := l.channels[channel]; {
		case wanted && !live[channel]:
			subscribe = append(subscribe, channel)
		case !wanted && live[channel]:
			unsubscribe = append(unsubscribe, channel)
		}
	}
	clear(l.dirty)
	fences, l.fences = l.fences, nil
	return subscribe, unsubscribe, fences
}

// putBack returns fences that were not passed, because the connection has failed.
func (l *link) putBack(fences []*fence) {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	if l.ctx.Err() == nil {
		l.fences = append(l.fences, fences...)
		return
	}
	for _, f := range fences {
		f.pass(errMoved)
	}
}

// touch makes channels dirty: the server has not what is wanted.
func (l *link) touch(channels ...string) {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	for _, channel := range channels {
		l.dirty[channel] = true
	}
}
