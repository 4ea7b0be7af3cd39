// Package brokertest has a test suite for implementations of [hub.Broker].
package brokertest

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
)

// timeout limits each wait of the tests.
const timeout = 10 * time.Second

// A Network returns a new broker for one more hub at each call. The broker is connected with all
// other brokers that the same Network has returned, and is not opened yet. The tests open it and
// close it.
type Network func(t *testing.T) hub.Broker

// Test checks that brokers follow the rules of [hub.Broker]. It runs one subtest for each rule and
// calls newNetwork once for each subtest, with the subtest's T, so newNetwork may use t.Cleanup.
// Each wait is limited to 10 seconds.
//
//	func TestBroker(t *testing.T) {
//		brokertest.Test(t, func(*testing.T) brokertest.Network {
//			var network hub.Memory
//			return func(*testing.T) hub.Broker { return network.Node() }
//		})
//	}
func Test(t *testing.T, newNetwork func(t *testing.T) Network) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, open func(t *testing.T) *node)
	}{
		{"only subscribers get a message", testTopics},
		{"every hub gets messages to Everyone", testEveryone},
		{"no hub gets its own messages", testNoEcho},
		{"names are any strings", testNames},
		{"payloads arrive unchanged", testPayloads},
		{"messages to one topic arrive in order, once", testOrder},
		{"no messages arrive after Unsubscribe", testUnsubscribe},
		{"AwaitSubscribed waits for subscriptions", testAwaitSubscribed},
		{"Subscribe does not wait for receive", testSubscribeDuringReceive},
		{"no messages arrive after Close", testClose},
		{"concurrent calls", testConcurrency},
	} {
		t.Run(test.name, func(t *testing.T) {
			network, nodes := newNetwork(t), 0
			test.run(t, func(t *testing.T) *node {
				nodes++
				return newNode(t, fmt.Sprint("node ", nodes), network(t))
			})
		})
	}
}

// A delivery is the arguments of one call of receive.
type delivery struct {
	topic   hub.Topic
	payload string
}

// A node is a broker and a record of the messages that it has received.
type node struct {
	hub.Broker
	t    *testing.T
	name string

	mu         sync.Mutex
	deliveries []delivery
	arrived    chan struct{}      // buffers one signal of an arrival
	receiving  map[hub.Topic]bool // the topics of the running calls of receive
	hook       func(delivery)     // called by receive; may be nil
}

func newNode(t *testing.T, name string, b hub.Broker) *node {
	n := &node{Broker: b, t: t, name: name, arrived: make(chan struct{}, 1), receiving: make(map[hub.Topic]bool)}
	b.Open(n.receive)
	t.Cleanup(func() { _ = b.Close() }) // it may be closed already
	return n
}

func (n *node) receive(topic hub.Topic, payload []byte) {
	n.mu.Lock()
	if n.receiving[topic] {
		n.t.Errorf("receive was called with %q twice at once", topic)
	}
	n.receiving[topic] = true
	hook := n.hook
	n.mu.Unlock()
	if hook != nil {
		hook(delivery{topic, string(payload)})
	}
	n.mu.Lock()
	n.receiving[topic] = false
	n.deliveries = append(n.deliveries, delivery{topic, string(payload)})
	n.mu.Unlock()
	select {
	case n.arrived <- struct{}{}:
	default:
	}
}

func (n *node) setHook(hook func(delivery)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hook = hook
}

// received returns the matching deliveries so far.
func (n *node) received(matches func(delivery) bool) []delivery {
	n.mu.Lock()
	defer n.mu.Unlock()
	var found []delivery
	for _, d := range n.deliveries {
		if matches(d) {
			found = append(found, d)
		}
	}
	return found
}

func (n *node) count() int {
	return len(n.received(func(delivery) bool { return true }))
}

func (n *node) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.deliveries = nil
}

func (n *node) has(d delivery) bool {
	return len(n.received(func(other delivery) bool { return other == d })) > 0
}

// await waits until a message has arrived.
func (n *node) await(d delivery) {
	n.t.Helper()
	n.awaitTrue(fmt.Sprintf("%q: %.40q", d.topic, d.payload), timeout, func() bool { return n.has(d) })
}

// awaitTrue checks the condition after each arrival, until it is true or the limit has passed.
// In the latter case it fails the test, unless the description is empty.
func (n *node) awaitTrue(what string, limit time.Duration, condition func() bool) {
	n.t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for !condition() {
		select {
		case <-n.arrived:
		case <-timer.C:
			if what != "" {
				n.t.Fatalf("did not arrive within %v: %s", limit, what)
			}
			return
		}
	}
}

func (n *node) publish(topic hub.Topic, payload string) {
	n.t.Helper()
	if err := n.Publish(topic, []byte(payload)); err != nil {
		n.t.Errorf("publish to %q: %v", topic, err)
	}
}

func (n *node) subscribe(topic hub.Topic) {
	n.t.Helper()
	if err := n.Subscribe(topic); err != nil {
		n.t.Fatalf("subscribe to %q: %v", topic, err)
	}
}

const probe = "probe of "

// connected publishes probes to a topic until one has reached each of the given nodes. It may
// take a while until a network has processed a subscription.
func connected(topic hub.Topic, from *node, to ...*node) {
	from.t.Helper()
	d := delivery{topic, probe + from.name}
	for _, n := range to {
		start := time.Now()
		for !n.has(d) {
			if time.Since(start) > timeout {
				n.t.Fatalf("no message that %s published to %q reached %s within %v", from.name, topic, n.name, timeout)
			}
			from.publish(d.topic, d.payload)
			n.awaitTrue("", 50*time.Millisecond, func() bool { return n.has(d) })
		}
	}
}

// isNoProbe reports whether a delivery is a test's own and not a probe of connected.
func isNoProbe(d delivery) bool { return !strings.HasPrefix(d.payload, probe) }

func room(name string) hub.Topic { return hub.Room(name) }
func key(name string) hub.Topic  { return hub.Key(name) }

var everyone = hub.Everyone()

func testTopics(t *testing.T, open func(*testing.T) *node) {
	from, a, b, none := open(t), open(t), open(t), open(t)
	a.subscribe(room("x"))
	a.subscribe(key("y"))
	b.subscribe(room("x"))
	connected(room("x"), from, a, b)
	connected(key("y"), from, a)

	from.publish(key("x"), "a key without subscribers")
	from.publish(room("y"), "a room without subscribers")
	from.publish(room("X"), "a room in another case")
	from.publish(room("x "), "a room with a space")
	from.publish(room("x"), "the room's")
	from.publish(key("y"), "the key's")
	from.publish(everyone, "the end")

	for _, n := range []*node{a, b, none} {
		n.await(delivery{everyone, "the end"})
	}
	a.await(delivery{room("x"), "the room's"})
	a.await(delivery{key("y"), "the key's"})
	b.await(delivery{room("x"), "the room's"})
	for n, want := range map[*node]int{a: 3, b: 2, none: 1} {
		if got := n.received(isNoProbe); len(got) != want {
			t.Errorf("got %q, want %d of them", got, want)
		}
	}
}

func testEveryone(t *testing.T, open func(*testing.T) *node) {
	from, a, b := open(t), open(t), open(t)
	connected(everyone, from, a, b)
	from.publish(everyone, "hello")
	a.await(delivery{everyone, "hello"})
	b.await(delivery{everyone, "hello"})
}

func testNoEcho(t *testing.T, open func(*testing.T) *node) {
	a, b := open(t), open(t)
	a.subscribe(room("x"))
	b.subscribe(room("x"))
	connected(room("x"), a, b)
	connected(room("x"), b, a)
	a.publish(room("x"), "a's")
	a.publish(everyone, "a's")
	b.await(delivery{room("x"), "a's"})
	b.await(delivery{everyone, "a's"})
	b.publish(room("x"), "b's")
	a.await(delivery{room("x"), "b's"}) // an echo would have arrived before
	if got := a.received(func(d delivery) bool { return d.payload == "a's" }); len(got) > 0 {
		t.Errorf("got its own messages: %q", got)
	}
}

func testNames(t *testing.T, open func(*testing.T) *node) {
	from, to := open(t), open(t)
	names := []string{
		"", " ", "a b", "a.b", ".", "a..b", "*", ">", "a.>", "$SYS", "_", "%41", "A", "a", "a/b", "\x00", "a\r\nb", "日本",
		"\xff", "\xfe", strings.Repeat("long", 250), strings.Repeat("long", 250) + ".",
	}
	for _, name := range names {
		to.subscribe(room(name))
		to.subscribe(key(name))
	}
	for _, name := range names {
		connected(room(name), from, to)
		connected(key(name), from, to)
	}
	for _, name := range names {
		from.publish(room(name), "room "+name)
		from.publish(key(name), "key "+name)
	}
	for _, name := range names {
		to.await(delivery{room(name), "room " + name})
		to.await(delivery{key(name), "key " + name})
	}
	if got := to.received(isNoProbe); len(got) != 2*len(names) {
		t.Errorf("got %d messages, want %d: %q", len(got), 2*len(names), got)
	}
}

func testPayloads(t *testing.T, open func(*testing.T) *node) {
	from, to := open(t), open(t)
	to.subscribe(room("x"))
	connected(room("x"), from, to)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	payloads := [][]byte{{0}, {8}, []byte("\r\n"), all, bytes.Repeat(all, 256)} // 64 KiB
	for _, p := range payloads {
		from.publish(room("x"), string(p))
	}
	for _, p := range payloads {
		to.await(delivery{room("x"), string(p)})
	}
}

func testOrder(t *testing.T, open func(*testing.T) *node) {
	const each = 500
	topics := []hub.Topic{room("x"), room("y"), key("x"), everyone}
	nodes := []*node{open(t), open(t), open(t)}
	for _, topic := range topics {
		for _, n := range nodes {
			if topic != everyone {
				n.subscribe(topic)
			}
		}
		connected(topic, nodes[0], nodes[1], nodes[2])
		connected(topic, nodes[1], nodes[0], nodes[2])
		connected(topic, nodes[2], nodes[0], nodes[1])
	}
	var publishing sync.WaitGroup
	for i, from := range nodes {
		from.setHook(func(delivery) { runtime.Gosched() }) // lets an overlapping call of receive run
		for _, topic := range topics {
			publishing.Go(func() {
				for k := range each {
					from.publish(topic, fmt.Sprintf("%d: %d", i, k))
				}
			})
		}
	}
	publishing.Wait()
	for i := range nodes {
		var want []string
		for k := range each {
			want = append(want, fmt.Sprintf("%d: %d", i, k))
		}
		for j, to := range nodes {
			for _, topic := range topics {
				if i == j {
					continue
				}
				to.await(delivery{topic, want[each-1]})
				var got []string
				for _, d := range to.received(isNoProbe) {
					if d.topic == topic && strings.HasPrefix(d.payload, fmt.Sprint(i, ":")) {
						got = append(got, d.payload)
					}
				}
				if !slices.Equal(want, got) {
					t.Errorf("node %d got %d messages of node %d to %v, want %d, in order", j, len(got), i, topic, each)
				}
			}
		}
	}
}

func testUnsubscribe(t *testing.T, open func(*testing.T) *node) {
	from, to, other := open(t), open(t), open(t)
	for _, n := range []*node{to, other} {
		n.subscribe(room("x"))
		n.subscribe(room("y"))
	}
	connected(room("x"), from, to, other)
	connected(room("y"), from, to, other)
	if err := to.Unsubscribe(room("x")); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for i, quiet := 0, 0; quiet < 5; i++ { // the network may need a while
		if time.Since(start) > timeout {
			t.Fatalf("messages still arrive %v after Unsubscribe", timeout)
		}
		d := delivery{room("x"), fmt.Sprint("late ", i)}
		from.publish(d.topic, d.payload)
		from.publish(room("y"), d.payload)
		to.await(delivery{room("y"), d.payload})
		other.await(d)
		quiet++
		if to.has(d) {
			quiet = 0
		}
	}
	to.subscribe(room("x"))
	to.forget()
	connected(room("x"), from, to)
}

// testAwaitSubscribed is for brokers that are a hub.SubscriptionWaiter.
func testAwaitSubscribed(t *testing.T, open func(*testing.T) *node) {
	from, to := open(t), open(t)
	waiter, ok := to.Broker.(hub.SubscriptionWaiter)
	if !ok {
		t.Skip("the broker does not know when its subscriptions have taken effect")
	}
	connected(everyone, from, to)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var running sync.WaitGroup
	for i := range 100 {
		subscribe := func() {
			d := delivery{room(fmt.Sprint("room ", i)), "the first"}
			if err := to.Subscribe(d.topic); err != nil {
				t.Error(err)
			}
			if err := waiter.AwaitSubscribed(ctx); err != nil {
				t.Error(err)
			}
			from.publish(d.topic, d.payload)
		}
		if i < 50 {
			subscribe()
		} else {
			running.Go(subscribe) // many at once
		}
	}
	running.Wait()
	for i := range 100 {
		to.await(delivery{room(fmt.Sprint("room ", i)), "the first"})
	}
	if err := waiter.AwaitSubscribed(ctx); err != nil {
		t.Error(err, "with nothing to wait for")
	}
	if err := to.Close(); err != nil {
		t.Error(err)
	}
	if waiter.AwaitSubscribed(ctx) == nil {
		t.Error("AwaitSubscribed does not fail after Close")
	}
}

func testSubscribeDuringReceive(t *testing.T, open func(*testing.T) *node) {
	from, to := open(t), open(t)
	to.subscribe(room("x"))
	connected(room("x"), from, to)

	var lock sync.Mutex // as a hub holds one
	called := make(chan struct{}, 10)
	to.setHook(func(d delivery) {
		if !isNoProbe(d) { // a late one
			return
		}
		called <- struct{}{}
		lock.Lock()
		defer lock.Unlock()
	})
	lock.Lock()
	unlock := sync.OnceFunc(lock.Unlock)
	defer unlock() // also if the test fails, or Close would wait for receive
	var publishing sync.WaitGroup
	publishing.Go(func() { from.publish(room("x"), "hello") })
	within(t, "receive", called)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer unlock()
		if err := to.Subscribe(room("y")); err != nil {
			t.Error(err)
		}
		if err := to.Unsubscribe(room("x")); err != nil {
			t.Error(err)
		}
	}()
	within(t, "Subscribe and Unsubscribe", done)
	publishing.Wait()
	to.await(delivery{room("x"), "hello"})
}

// within waits for done and fails the test after the timeout.
func within(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		t.Fatalf("%s: not within %v", what, timeout)
	}
}

func testClose(t *testing.T, open func(*testing.T) *node) {
	other, to, from := open(t), open(t), open(t)
	other.subscribe(room("x"))
	to.subscribe(room("x"))
	connected(room("x"), from, to, other)
	flood := func(i int) {
		d := delivery{room("x"), fmt.Sprint("flood ", i)}
		from.publish(d.topic, d.payload)
		from.publish(everyone, d.payload)
		other.await(d) // keep pace with the network
	}
	for i := range 10 {
		flood(i)
	}
	var closing sync.Once
	before := 0
	other.setHook(func(delivery) { // if other receives a message first, to is closed before it gets the same one
		closing.Do(func() {
			if err := to.Close(); err != nil {
				t.Error(err)
			}
			before = to.count()
		})
	})
	for i := range 10 {
		flood(10 + i)
	}
	flood(-1)
	if after := to.count(); after != before {
		t.Errorf("%d messages arrived after Close", after-before)
	}
	if to.Publish(room("x"), []byte("hello")) == nil {
		t.Error("Publish does not fail after Close")
	}
	if to.Subscribe(room("y")) == nil {
		t.Error("Subscribe does not fail after Close")
	}
	_ = to.Unsubscribe(room("x"))
}

func testConcurrency(t *testing.T, open func(*testing.T) *node) {
	nodes := []*node{open(t), open(t), open(t)}
	var running sync.WaitGroup
	for i, n := range nodes {
		for _, topic := range []hub.Topic{room("x"), room("y"), key("x")} {
			running.Go(func() {
				for k := range 100 {
					n.subscribe(topic)
					n.publish(topic, fmt.Sprint(i, k))
					if err := n.Unsubscribe(topic); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Go(func() {
			for k := range 100 {
				n.publish(everyone, fmt.Sprint(i, k))
			}
		})
	}
	running.Wait()
	for _, n := range nodes {
		running.Go(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
}
