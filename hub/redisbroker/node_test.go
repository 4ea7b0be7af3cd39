package redisbroker_test

import (
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// errorList records errors.
type errorList struct {
	mu   sync.Mutex
	errs []error
}

func (l *errorList) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

func (l *errorList) all() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]error(nil), l.errs...)
}

// node is a Broker, and a record of what it has received and told.
type node struct {
	*redisbroker.Broker
	outages, failures errorList

	mu       sync.Mutex
	received []string
	hook     func() // called before each record; may be nil
}

func newNode(t *testing.T, client redis.UniversalClient, options redisbroker.Options) *node {
	t.Helper()
	n := new(node)
	options.OnOutage, options.OnError = n.outages.add, n.failures.add
	if options.PingInterval == 0 {
		options.PingInterval = 500 * time.Millisecond
	}
	n.Broker = newBroker(t, client, options)
	n.Open(n.receive)
	t.Cleanup(func() { _ = n.Close() })
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

func (n *node) setHook(hook func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook = hook
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

// subscribe subscribes, and waits until Redis has the subscription.
func (n *node) subscribe(t *testing.T, topics ...hub.Topic) {
	t.Helper()
	for _, topic := range topics {
		require.NoError(t, n.Subscribe(topic))
	}
	require.NoError(t, n.AwaitSubscribed(t.Context()))
}

// reaches publishes repeatedly until a message of one node arrives at the other.
func (n *node) reaches(t *testing.T, topic hub.Topic, to *node, payload string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return assert.NoError(t, n.Publish(topic, []byte(payload))) && to.count(payload) > 0
	}, patience, 20*time.Millisecond, "%q does not come", payload)
}

// away waits until the nodes know of an outage, which is the one with the number.
func away(t *testing.T, number int, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		require.Eventually(t, func() bool { return len(n.outages.all()) >= 2*number-1 }, patience, moment, "%v", n.outages.all())
	}
}

// isBack waits until the nodes know that the outage with the number is over.
func isBack(t *testing.T, number int, nodes ...*node) {
	t.Helper()
	for _, n := range nodes {
		require.Eventually(t, func() bool { return len(n.outages.all()) >= 2*number }, patience, moment, "%v", n.outages.all())
	}
}

// notProbes is a pattern of the channels of topics.
const notProbes = "*{[^p]*"

func room(name string) hub.Topic { return hub.Room(name) }
