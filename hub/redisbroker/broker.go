package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/redis/go-redis/v9"
)

var (
	// ErrClosed is the error of methods of a closed Broker.
	ErrClosed = errors.New("redisbroker: closed")

	// ErrOutgoingFull is the error of Publish when the queue would exceed Options.Outgoing. The
	// message is lost.
	ErrOutgoingFull = errors.New("redisbroker: too much waits to be published")

	// ErrIncomingFull tells Options.OnError that the hub receives more slowly than others publish,
	// and messages have been lost. It is told once until the queue is empty again.
	ErrIncomingFull = errors.New("redisbroker: too much waits for the hub")

	// ErrNotTaken is the error of Close when Redis did not accept all queued messages within 5
	// seconds, or is away.
	ErrNotTaken = errors.New("redisbroker: Redis did not take what was published last")

	errClient   = errors.New("redisbroker: the client must be a *redis.Client or a *redis.ClusterClient")
	errReplicas = errors.New("redisbroker: the client must not read from replicas, which may not have what was just written")
)

// closeTimeout limits how long Close waits for Redis.
const closeTimeout = 5 * time.Second

// A Broker connects one hub with the hubs of other nodes: set it as the hub's Options.Broker. All
// methods except Open and OpenHistory may be called from any goroutine. Publish, Subscribe and
// Unsubscribe do not wait for Redis: they only queue their work, and goroutines of the Broker speak
// with Redis. The methods that have a context wait no longer than it lives, and Close at most
// 5 seconds.
type Broker struct {
	client  redis.UniversalClient
	cluster *redis.ClusterClient // nil unless the client is one
	options Options
	self    origin

	sharding sharding
	outages  outages
	presence presence
	incoming incoming

	checkingLines atomic.Bool // a goroutine does

	receiveEntry atomic.Pointer[func(t hub.Topic, e hub.Entry)] // nil until OpenHistory

	mu       sync.Mutex
	err      error                    // what the methods return; nil: they work
	messages []message                // the queue of Publish
	bytes    int                      // the total size of messages, and of those that are being sent
	topics   map[string]*subscription // the wanted subscriptions, by channel
	changed  []*subscription          // those whose wanted state has changed since they were routed
	links    map[string]*link         // by address; "" without shards
	route    bool                     // all subscriptions have to be routed again
	routing  []*fence                 // to be passed when all in changed are routed
	probes   uint64                   // the number of the newest probe
	next     *round                   // of AwaitSubscribed; nil: no call waits for it
	syncing  bool                     // a goroutine does rounds

	sendWork  chan struct{} // buffers one signal: messages is not empty
	routeWork chan struct{} // buffers one signal: changed is not empty, or route

	calls chan struct{} // has room for maxCalls
	idle  time.Duration // see defaultIdle

	takenProbes   atomic.Uint64 // the number of the newest probe that Redis has taken
	lost, dropped atomic.Uint64

	closing  sync.Once
	closeErr error
	stop     chan struct{}   // closed when Close begins
	gone     chan struct{}   // closed when the client is found to be closed
	ctx      context.Context // ends when Close begins
	cancel   context.CancelFunc
	sendCtx  context.Context // ends when closeTimeout has passed
	abandon  context.CancelFunc

	receiving sync.WaitGroup // the goroutine that calls the hub's receive
	running   sync.WaitGroup // all others
}

var _ hub.Broker = (*Broker)(nil)

// New returns a Broker on a client: a *redis.Client, also one of redis.NewFailoverClient, or a
// *redis.ClusterClient. The caller configures the client, and closes it after the hub has been shut down.
// Several Brokers may share one. Redis need not be there yet. New returns an error for another kind of
// client, for one that reads from the replicas of a cluster, and for an invalid Options.Prefix.
func New(client redis.UniversalClient, options Options) (*Broker, error) {
	b := &Broker{client: client}
	switch c := client.(type) {
	case *redis.Client:
		if c == nil {
			return nil, errClient
		}
	case *redis.ClusterClient:
		if c == nil {
			return nil, errClient
		}
		if c.Options().ReadOnly {
			return nil, fmt.Errorf("%w: it has one of ReadOnly, RouteByLatency and RouteRandomly", errReplicas)
		}
		b.cluster = c
	default:
		return nil, fmt.Errorf("%w, not a %T", errClient, client)
	}
	if options.Prefix == "" {
		options.Prefix = defaultPrefix
	}
	if err := checkPrefix(options.Prefix); err != nil {
		return nil, err
	}
	options.Outgoing = orDefault(options.Outgoing, defaultOutgoing)
	options.PingInterval = orDefault(options.PingInterval, defaultPingInterval)
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	b.options = options
	b.self = newOrigin()
	b.incoming.limit = int64(orDefault(options.Incoming, defaultIncoming))
	b.incoming.work = make(chan struct{}, 1)
	b.topics = make(map[string]*subscription)
	b.links = make(map[string]*link)
	b.sendWork, b.routeWork = make(chan struct{}, 1), make(chan struct{}, 1)
	b.calls, b.idle = make(chan struct{}, maxCalls), defaultIdle
	b.stop, b.gone = make(chan struct{}), make(chan struct{})
	b.outages.tell = b.tellOutage
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.sendCtx, b.abandon = context.WithCancel(context.Background())
	return b, nil
}

// Open starts to receive. The hub calls it.
func (b *Broker) Open(receive func(t hub.Topic, payload []byte)) {
	_ = b.Subscribe(hub.Everyone()) // an error means that the Broker is closed
	b.receiving.Go(func() { b.receive(receive) })
	b.running.Go(b.send)
	b.running.Go(b.routeAll)
	b.running.Go(b.keepAll)
}

// Close publishes the queued messages, ends all subscriptions, and waits until receive is not
// called any more. It returns [ErrNotTaken] if Redis is away or does not accept the messages
// within 5 seconds. The client stays open: close it next. The hub's Shutdown calls Close; a second call waits for
// the first one and returns the same error.
func (b *Broker) Close() error {
	b.closing.Do(func() { b.closeErr = b.close() })
	return b.closeErr
}

func (b *Broker) close() error {
	b.mu.Lock()
	if b.err == nil {
		b.err = ErrClosed
	}
	b.mu.Unlock()
	close(b.stop)
	b.cancel()

	b.receiving.Wait()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.running.Wait()
	}()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C: // the goroutines end when go-redis gives up, within its timeouts
	}
	b.abandon()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes > 0 {
		return ErrNotTaken
	}
	return nil
}

// failure returns why the methods fail, nil while they work.
func (b *Broker) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// fail makes all calls fail from now on, because the client is closed.
func (b *Broker) fail() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = fmt.Errorf("redisbroker: %w", redis.ErrClosed)
		close(b.gone)
	}
	b.messages, b.bytes = nil, 0
}

// signal wakes the goroutine that a channel is for.
func signal(work chan<- struct{}) {
	select {
	case work <- struct{}{}:
	default:
	}
}
