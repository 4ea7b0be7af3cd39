package natsbroker_test

import (
	"errors"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is a limit that is generous even on a slow machine.
const patience = 20 * time.Second

const moment = 5 * time.Millisecond // the interval of polling

// startServer starts a NATS server on a free port, or on the port of an earlier one.
func startServer(t *testing.T, set ...func(*server.Options)) *server.Server {
	t.Helper()
	options := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true}
	for _, f := range set {
		f(options)
	}
	s, err := server.NewServer(options)
	require.NoError(t, err)
	go s.Start()
	t.Cleanup(func() { stopServer(s) })
	require.True(t, s.ReadyForConnections(patience))
	return s
}

func stopServer(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// again starts a server at the address of an earlier one.
func again(t *testing.T, s *server.Server, set ...func(*server.Options)) *server.Server {
	t.Helper()
	was, err := url.Parse(s.ClientURL())
	require.NoError(t, err)
	port, err := strconv.Atoi(was.Port())
	require.NoError(t, err)
	return startServer(t, append(set, func(o *server.Options) { o.Port = port })...)
}

// clientSubscriptions returns the number of clients' subscriptions on a server.
func clientSubscriptions(t *testing.T, s *server.Server) uint32 {
	t.Helper()
	connections, err := s.Connz(nil)
	require.NoError(t, err)
	var n uint32
	for _, c := range connections.Conns {
		n += c.NumSubs
	}
	return n
}

// errorList records the errors of an error handler.
type errorList struct {
	mu   sync.Mutex
	errs []error
}

func (l *errorList) handle(_ *nats.Conn, _ *nats.Subscription, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

func (l *errorList) has(want error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Is(errors.Join(l.errs...), want)
}

// connect connects to a server until the test ends.
func connect(t *testing.T, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	told := new(errorList)
	closed := make(chan struct{})
	options = append([]nats.Option{
		nats.NoEcho(), nats.MaxReconnects(-1), nats.ReconnectWait(10 * time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(told.handle), nats.ClosedHandler(func(*nats.Conn) { close(closed) }),
	}, options...)
	nc, err := nats.Connect(url, options...)
	require.NoError(t, err)
	t.Cleanup(func() {
		nc.Close()
		<-closed // the goroutines of the connection end after that
	})
	return nc
}

// node is a Broker and a record of its received messages.
type node struct {
	*natsbroker.Broker
	nc *nats.Conn

	mu       sync.Mutex
	received []string
	hook     func() // called before each record; may be nil
}

func newNode(t *testing.T, nc *nats.Conn, options natsbroker.Options) *node {
	t.Helper()
	b, err := natsbroker.New(nc, options)
	require.NoError(t, err)
	n := &node{Broker: b, nc: nc}
	b.Open(n.receive)
	t.Cleanup(func() { _ = b.Close() })
	return n
}

func (n *node) receive(_ hub.Topic, payload []byte) {
	n.mu.Lock()
	hook := n.hook
	n.mu.Unlock()
	if hook != nil {
		hook()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.received = append(n.received, string(payload))
}

func (n *node) all() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.received...)
}

func (n *node) count(payload string) int {
	count := 0
	for _, p := range n.all() {
		if p == payload {
			count++
		}
	}
	return count
}

// await waits until a message has arrived.
func (n *node) await(t *testing.T, payload string) {
	t.Helper()
	require.Eventually(t, func() bool { return n.count(payload) > 0 }, patience, moment, "%q does not come", payload)
}

// subscribe subscribes, and waits until the server has the subscription.
func (n *node) subscribe(t *testing.T, topic hub.Topic) {
	t.Helper()
	subscriptions := n.nc.NumSubscriptions()
	require.NoError(t, n.Subscribe(topic))
	require.Eventually(t, func() bool { return n.nc.NumSubscriptions() > subscriptions }, patience, moment)
	require.NoError(t, n.nc.FlushTimeout(patience))
}

// reaches publishes repeatedly until a message of one node arrives at the other.
func (n *node) reaches(t *testing.T, topic hub.Topic, to *node, payload string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return assert.NoError(t, n.Publish(topic, []byte(payload))) && to.count(payload) > 0
	}, patience, 20*time.Millisecond, "%q does not come", payload)
}

func room(name string) hub.Topic { return hub.Room(name) }

// startCluster starts a cluster of two servers.
func startCluster(t *testing.T) (one, two *server.Server) {
	t.Helper()
	cluster := func(o *server.Options) {
		o.Cluster = server.ClusterOpts{Name: "test", Host: "127.0.0.1", Port: server.RANDOM_PORT}
		o.Cluster.NoAdvertise = true // each client knows one server only
	}
	one = startServer(t, cluster)
	two = startServer(t, cluster, func(o *server.Options) {
		o.Routes = server.RoutesFromStr("nats://" + one.ClusterAddr().String())
	})
	require.Eventually(t, func() bool { return one.NumRoutes() > 0 && two.NumRoutes() > 0 }, patience, moment)
	return one, two
}
