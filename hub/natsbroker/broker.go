package natsbroker

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/nats-io/nats.go"
)

var (
	// ErrClosed is the error of methods of a closed Broker.
	ErrClosed = errors.New("natsbroker: closed")

	// ErrOutgoingFull is the error of Publish when the queue would exceed Options.Outgoing. The
	// message is lost.
	ErrOutgoingFull = errors.New("natsbroker: too much waits to be published")

	// ErrNotTaken is the error of Close when the connection did not accept all queued messages
	// within 5 seconds.
	ErrNotTaken = errors.New("natsbroker: the connection did not take what was published last")
)

// closeTimeout limits how long Close waits for the connection.
const closeTimeout = 5 * time.Second

// A Broker connects one hub with the hubs of other nodes: set it as the hub's Options.Broker. All
// methods except Open may be called from any goroutine. Only Close and AwaitSubscribed wait. nats.go
// holds its lock while it writes and dials, so the other methods only queue their work, and a
// goroutine of the Broker, the sending goroutine, calls the connection.
type Broker struct {
	nc       *nats.Conn
	prefix   string
	outgoing int
	self     origin

	incoming chan *nats.Msg
	status   chan nats.Status

	// entry passes a message that a stream has published again to the hub, and reports whether it is
	// one; nil without JetStream.
	entry func(t hub.Topic, m *nats.Msg) bool

	maxPayload atomic.Int64 // the server's limit in bytes, 0 while it is unknown

	mu       sync.Mutex
	err      error                    // what Publish and Subscribe return; nil: they work
	subjects map[string]*subscription // wanted subscriptions, and those that are to be ended
	changed  []*subscription          // those whose wanted state has changed
	failed   map[*subscription]struct{}
	messages []message     // the queue of Publish
	bytes    int           // the total size of messages
	next     *round        // of AwaitSubscribed; nil: no call waits for it
	syncing  bool          // a goroutine does rounds
	work     chan struct{} // buffers one signal: changed or messages is not empty

	closing  sync.Once
	closeErr error
	stop     chan struct{} // closed when Close begins
	abandon  chan struct{} // closed when closeTimeout has passed

	sending   sync.WaitGroup // the sending goroutine, and the goroutine that does rounds
	receiving sync.WaitGroup // the goroutine that calls the hub's receive
}

var _ hub.Broker = (*Broker)(nil)

// An origin is the first part of each message and identifies the Broker that has published it, so
// that a Broker can ignore its own messages. The connection's option nats.NoEcho saves traffic but
// is not enough: after a reconnect, a message that was published through one server of a cluster
// may come back through another.
type origin [8]byte

// New returns a Broker on a connection. The caller configures, watches and closes the connection,
// after the hub has been shut down. Several Brokers may share one connection. New returns an error
// for a connection that is nil, closed or draining, and for an invalid Options.Prefix.
//
// By default, nats.go closes a connection for good after two minutes without a server, and the
// Broker fails with it: set nats.MaxReconnects(-1).
//
// Errors that occur after the method has returned go to the connection's error handler
// (nats.ErrorHandler), as errors of nats.go itself do. The handler must not block.
func New(nc *nats.Conn, options Options) (*Broker, error) {
	if nc == nil || nc.IsClosed() || nc.IsDraining() {
		return nil, fmt.Errorf("natsbroker: %w", nats.ErrConnectionClosed)
	}
	if options.Prefix == "" {
		options.Prefix = defaultPrefix
	}
	if err := checkPrefix(options.Prefix); err != nil {
		return nil, err
	}
	b := &Broker{
		nc:       nc,
		prefix:   options.Prefix,
		outgoing: orDefault(options.Outgoing, defaultOutgoing),
		incoming: make(chan *nats.Msg, orDefault(options.Incoming, defaultIncoming)),
		subjects: make(map[string]*subscription),
		failed:   make(map[*subscription]struct{}),
		work:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
		abandon:  make(chan struct{}),
	}
	_, _ = rand.Read(b.self[:]) // never fails
	b.learnMaxPayload()
	return b, nil
}

// Open starts to receive. The hub calls it.
func (b *Broker) Open(receive func(t hub.Topic, payload []byte)) {
	b.status = b.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	_ = b.Subscribe(hub.Everyone()) // an error means that the Broker is closed
	b.sending.Go(b.send)
	b.receiving.Go(func() { b.receive(receive) })
}

// Close publishes the queued messages, ends all subscriptions, and waits until receive is not
// called any more. It returns [ErrNotTaken] if the connection does not accept the messages within 5
// seconds. The connection stays open: flush or close it next. The hub's Shutdown calls Close; a
// second call waits for the first one and returns the same error.
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

	b.receiving.Wait()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		b.sending.Wait()
	}()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-sent:
	case <-timer.C: // the goroutines end when nats.go gives up, within its FlusherTimeout
		close(b.abandon)
	}
	if _, left := b.first(); left {
		return ErrNotTaken
	}
	return nil
}

// receive passes received messages to the hub. One goroutine does it for all subscriptions, which
// keeps the messages in order and makes rooms cheap.
func (b *Broker) receive(receive func(t hub.Topic, payload []byte)) {
	for {
		select {
		case <-b.stop:
			return
		case m := <-b.incoming:
			if t, ok := b.wanted(m.Sub.Subject); ok {
				b.report(recovered(func() error {
					b.deliver(t, m, receive)
					return nil
				}))
			}
		}
	}
}

func (b *Broker) deliver(t hub.Topic, m *nats.Msg, receive func(t hub.Topic, payload []byte)) {
	if b.entry != nil && b.entry(t, m) {
		return
	}
	if len(m.Data) >= len(b.self) && origin(m.Data) != b.self {
		receive(t, m.Data[len(b.self):])
	}
}
