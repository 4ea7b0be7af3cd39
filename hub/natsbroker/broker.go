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
	// ErrClosed is the error of what is asked of a closed Broker.
	ErrClosed = errors.New("natsbroker: closed")

	// ErrOutgoingFull is the error of Publish when more than Options.Outgoing would
	// wait: the message is lost.
	ErrOutgoingFull = errors.New("natsbroker: too much waits to be published")

	// ErrNotTaken is the error of Close when the connection did not take, within 5
	// seconds, what waited to be published.
	ErrNotTaken = errors.New("natsbroker: the connection did not take what was published last")
)

// closeTimeout bounds how long Close waits for the connection.
const closeTimeout = 5 * time.Second

// A Broker connects one hub with those of other nodes: give it to a hub as
// Options.Broker. All methods but Open may be called from any goroutine, and none but
// Close waits for anything: nats.go holds its lock while it writes and while it dials,
// so what is asked for is noted, and a goroutine of the Broker calls the connection.
type Broker struct {
	nc       *nats.Conn
	prefix   string
	outgoing int
	self     origin

	incoming chan *nats.Msg
	status   chan nats.Status

	// MaxPayload is what the server takes, 0 while that is unknown.
	maxPayload atomic.Int64

	mu       sync.Mutex
	err      error                    // why nothing is taken any more
	subjects map[string]*subscription // wanted, or not yet ended
	changed  []*subscription          // those that may not be what is wanted
	messages []message                // to be published
	bytes    int                      // of the messages
	work     chan struct{}            // has room for one: there is something to do

	closing  sync.Once
	closeErr error
	stop     chan struct{} // closed when Close begins
	abandon  chan struct{} // closed when it has waited long enough

	sending   sync.WaitGroup // the goroutine that calls the connection
	receiving sync.WaitGroup // the one that calls receive
}

var _ hub.Broker = (*Broker)(nil)

// An origin begins each message and says which Broker has published it, so that it can
// ignore its own. The connection's option nats.NoEcho alone is not enough: after a
// reconnect, what was published through one server of a cluster may come back through
// another. But it saves the server from sending each message to its publisher.
type origin [8]byte

// New returns a Broker on a connection, which remains the caller's: to configure, to
// watch, and to close after the hub has been shut down. Several Brokers may share one.
//
// With its defaults, a connection gives up after two minutes without a server, and a
// Broker with it: set nats.MaxReconnects(-1).
//
// What fails when the method that asked for it has returned is told to the connection's
// error handler (nats.ErrorHandler), as nats.go does. It must not wait for anything.
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
		work:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
		abandon:  make(chan struct{}),
	}
	_, _ = rand.Read(b.self[:]) // never fails
	b.learnMaxPayload()
	return b, nil
}

// Open begins to receive. It is for the hub.
func (b *Broker) Open(receive func(t hub.Topic, payload []byte)) {
	b.status = b.nc.StatusChanged(nats.CONNECTED, nats.CLOSED)
	_ = b.Subscribe(hub.Topic{Kind: hub.Everyone}) // it is closed: there is nothing to receive
	b.sending.Go(b.send)
	b.receiving.Go(func() { b.receive(receive) })
}

// Close publishes what waits to be, ends all subscriptions, and waits until receive is
// not called any more. The connection stays open: flush or close it next. A second call
// waits for the first one and returns the same.
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

// receive has the hub receive what has come. One goroutine for all subscriptions keeps
// the order, and rooms cost none.
func (b *Broker) receive(receive func(t hub.Topic, payload []byte)) {
	for {
		select {
		case <-b.stop:
			return
		case m := <-b.incoming:
			if t, ok := b.wanted(m.Sub.Subject); ok && len(m.Data) >= len(b.self) && origin(m.Data) != b.self {
				b.tell(survived(func() error {
					receive(t, m.Data[len(b.self):])
					return nil
				}))
			}
		}
	}
}
