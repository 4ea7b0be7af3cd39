package brokertest

import (
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

// TestHistory checks that brokers follow the rules of [hub.HistoryBroker]; each broker must be one.
// Otherwise it is like [Test], whose rules it does not check. It waits for some seconds until
// entries are too old.
func TestHistory(t *testing.T, newNetwork func(t *testing.T) Network) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, open func(t *testing.T) *historian)
	}{
		{"a topic begins with an epoch", testEpochBegins},
		{"subscribers get entries", testSubscribedEntries},
		{"entries have one order", testEntryOrder},
		{"Read is exact from each position", testRead},
		{"the oldest entries are dropped", testKeep},
		{"entries that are too old are dropped", testAge},
		{"unknown positions are lost", testUnknownPositions},
		{"topics have histories of their own", testHistoryTopics},
		{"payloads are kept unchanged", testHistoryPayloads},
		{"entries outlive their broker", testHistoryOutlives},
		{"calls end with their context", testHistoryContext},
		{"Subscribe does not wait for receive", testSubscribeDuringEntry},
		{"concurrent calls of all kinds", testHistoryConcurrency},
	} {
		t.Run(test.name, func(t *testing.T) {
			network, nodes := newNetwork(t), 0
			test.run(t, func(t *testing.T) *historian {
				nodes++
				return newHistorian(t, fmt.Sprint("node ", nodes), network(t))
			})
		})
	}
}

// A historian is a node and a record of the entries that it has received.
type historian struct {
	*node
	history hub.HistoryBroker

	entries map[hub.Topic][]hub.Entry // guarded by the node's mutex
	inEntry map[hub.Topic]bool        // likewise: the topics of the running calls of receive
	onEntry func(hub.Topic, hub.Entry)
}

func newHistorian(t *testing.T, name string, b hub.Broker) *historian {
	history, ok := b.(hub.HistoryBroker)
	if !ok {
		_ = b.Close()
		t.Fatalf("%T is no hub.HistoryBroker", b)
	}
	n := &historian{history: history, entries: make(map[hub.Topic][]hub.Entry), inEntry: make(map[hub.Topic]bool)}
	n.node = newNode(t, name, b)
	history.OpenHistory(n.receiveEntry)
	return n
}

func (n *historian) receiveEntry(topic hub.Topic, e hub.Entry) {
	e.Payload = slices.Clone(e.Payload)
	n.mu.Lock()
	if n.inEntry[topic] {
		n.t.Errorf("receive was called with an entry of %q twice at once", topic)
	}
	n.inEntry[topic] = true
	hook := n.onEntry
	n.mu.Unlock()
	if hook != nil {
		hook(topic, e)
	}
	n.mu.Lock()
	n.inEntry[topic] = false
	n.entries[topic] = append(n.entries[topic], e)
	n.mu.Unlock()
	select {
	case n.arrived <- struct{}{}:
	default:
	}
}

func (n *historian) setOnEntry(hook func(hub.Topic, hub.Entry)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.onEntry = hook
}

// receivedEntries returns the entries of a topic so far.
func (n *historian) receivedEntries(topic hub.Topic) []hub.Entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.entries[topic])
}

func (n *historian) hasEntry(topic hub.Topic, want hub.Entry) bool {
	return slices.ContainsFunc(n.receivedEntries(topic), func(e hub.Entry) bool { return equalEntries(e, want) })
}

func (n *historian) awaitEntry(topic hub.Topic, e hub.Entry) {
	n.t.Helper()
	n.awaitTrue(fmt.Sprintf("an entry of %q: %.60s", topic, describe(e)), timeout, func() bool { return n.hasEntry(topic, e) })
}

// bounded returns a context for one call.
func bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), timeout)
}

var keepAll = hub.Keep{Messages: 10_000}

func (n *historian) append(topic hub.Topic, payload string, keep hub.Keep) hub.Entry {
	n.t.Helper()
	ctx, cancel := bounded()
	defer cancel()
	e, err := n.history.Append(ctx, topic, []byte(payload), keep)
	if err != nil {
		n.t.Errorf("append to %q: %v", topic, err)
		runtime.Goexit()
	}
	if string(e.Payload) != payload {
		n.t.Errorf("Append of %.40q returned %.40q", payload, e.Payload)
	}
	return e
}

func (n *historian) read(topic hub.Topic, after hub.Position, limit int) ([]hub.Entry, hub.Position, error) {
	ctx, cancel := bounded()
	defer cancel()
	return n.history.Read(ctx, topic, after, limit)
}

// expect reads and compares.
func (n *historian) expect(topic hub.Topic, after hub.Position, limit int, want []hub.Entry, newest hub.Position) {
	n.t.Helper()
	got, position, err := n.read(topic, after, limit)
	if err != nil {
		n.t.Errorf("read %q after %v: %v", topic, after, err)
		return
	}
	if !slices.EqualFunc(got, want, equalEntries) {
		n.t.Errorf("read %q after %v, at most %d: got %s, want %s", topic, after, limit, describe(got...), describe(want...))
	}
	if position != newest {
		n.t.Errorf("read %q after %v: the newest position is %v, want %v", topic, after, position, newest)
	}
}

// expectLost expects that what follows a position can't be had.
func (n *historian) expectLost(topic hub.Topic, after hub.Position) {
	n.t.Helper()
	for _, limit := range []int{0, 1, 1000} {
		if entries, _, err := n.read(topic, after, limit); !isLost(err) {
			n.t.Errorf("read %q after %v, at most %d: got %s and error %v, want ErrHistoryLost", topic, after, limit, describe(entries...), err)
		}
	}
}

// follow subscribes to a topic and waits until entries of it arrive.
func (n *historian) follow(topic hub.Topic, from *historian) {
	n.t.Helper()
	n.subscribe(topic)
	if waiter, ok := n.Broker.(hub.SubscriptionWaiter); ok {
		ctx, cancel := bounded()
		defer cancel()
		if err := waiter.AwaitSubscribed(ctx); err != nil {
			n.t.Fatal(err)
		}
		return
	}
	connected(topic, from.node, n.node)
}

func testEpochBegins(t *testing.T, open func(*testing.T) *historian) {
	nodes := []*historian{open(t), open(t), open(t)}
	topic := room("x")
	for _, n := range nodes {
		n.follow(topic, nodes[0])
	}
	var reading sync.WaitGroup
	begun := make([]hub.Position, 9)
	for i := range begun {
		reading.Go(func() {
			entries, newest, err := nodes[i%len(nodes)].read(topic, hub.Position{}, 10)
			if err != nil || len(entries) > 0 {
				t.Errorf("got %s and error %v of a new topic", describe(entries...), err)
			}
			begun[i] = newest
		})
	}
	reading.Wait()
	first := begun[0]
	if first.Epoch == "" || len(first.Epoch) > 128 || first.Offset != 0 {
		t.Errorf("a new topic begins at %v", first)
	}
	for _, other := range begun {
		if other != first {
			t.Errorf("a new topic begins at %v and at %v", first, other)
		}
	}
	e := nodes[1].append(topic, "the first", keepAll)
	if e.Epoch != first.Epoch || e.Offset == 0 || e.Previous != 0 {
		t.Errorf("the first entry is at %v after %d, in a topic that began at %v", e.Position, e.Previous, first)
	}
	nodes[2].expect(topic, first, 10, []hub.Entry{e}, e.Position)
	nodes[2].expect(topic, hub.Position{}, 10, []hub.Entry{e}, e.Position)

	e = nodes[0].append(room("y"), "the first", keepAll) // without a Read before
	if e.Epoch == "" || e.Offset == 0 || e.Previous != 0 {
		t.Errorf("the first entry is at %v after %d", e.Position, e.Previous)
	}
}

func testSubscribedEntries(t *testing.T, open func(*testing.T) *historian) {
	from, a, b, none := open(t), open(t), open(t), open(t)
	x, y := room("x"), room("y")
	a.follow(x, from)
	b.follow(x, from)
	none.follow(y, from)
	var want []hub.Entry
	for i := range 10 {
		want = append(want, from.append(x, fmt.Sprint(i), keepAll))
	}
	last := from.append(y, "the end", keepAll)
	for _, n := range []*historian{a, b} {
		for _, e := range want {
			n.awaitEntry(x, e)
		}
	}
	none.awaitEntry(y, last)
	from.publish(x, "no entry")
	a.await(delivery{x, "no entry"})
	for _, n := range []*historian{a, b, none} {
		if got := n.received(func(d delivery) bool { return isNoProbe(d) && d.payload != "no entry" }); len(got) > 0 {
			t.Errorf("entries have arrived as messages, too: %q", got)
		}
	}
	if got := none.receivedEntries(x); len(got) > 0 {
		t.Errorf("got entries without a subscription: %s", describe(got...))
	}
	if got := a.receivedEntries(x); len(got) != len(want) {
		t.Errorf("got %s, want %s", describe(got...), describe(want...))
	}
	a.expect(x, hub.Position{}, 100, want, want[9].Position)

	if err := a.Unsubscribe(x); err != nil {
		t.Error(err)
	}
	start := time.Now()
	for quiet := 0; quiet < 5; quiet++ { // the network may need a while
		if time.Since(start) > timeout {
			t.Fatalf("entries still arrive %v after Unsubscribe", timeout)
		}
		e := from.append(x, "late", keepAll)
		b.awaitEntry(x, e)
		if a.hasEntry(x, e) {
			quiet = 0
		}
	}
}

// testEntryOrder appends on several nodes at once.
func testEntryOrder(t *testing.T, open func(*testing.T) *historian) {
	const each = 100
	nodes := []*historian{open(t), open(t), open(t)}
	topics := []hub.Topic{room("x"), room("y")}
	for _, topic := range topics {
		for _, n := range nodes {
			n.follow(topic, nodes[0])
		}
	}
	appended := make(map[hub.Topic][]hub.Entry)
	var mu sync.Mutex
	var appending sync.WaitGroup
	for i, n := range nodes {
		n.setOnEntry(func(hub.Topic, hub.Entry) { runtime.Gosched() }) // lets an overlapping call of receive run
		for _, topic := range topics {
			for k := range 2 {
				appending.Go(func() {
					previous := uint64(0)
					for j := range each {
						e := n.append(topic, fmt.Sprintf("%d, %d: %d", i, k, j), keepAll)
						if e.Offset <= previous || e.Previous >= e.Offset {
							t.Errorf("an entry is at %v after %d, the one appended before is at %d", e.Position, e.Previous, previous)
						}
						previous = e.Offset
						mu.Lock()
						appended[topic] = append(appended[topic], e)
						mu.Unlock()
					}
				})
			}
		}
	}
	appending.Wait()
	for _, topic := range topics {
		want := appended[topic]
		slices.SortFunc(want, func(a, b hub.Entry) int { return int(a.Offset) - int(b.Offset) }) //nolint:gosec // they are small
		checkChain(t, want)
		newest := want[len(want)-1].Position
		for i, n := range nodes {
			n.expect(topic, hub.Position{}, 10_000, want, newest)
			n.expect(topic, want[0].Position, 10_000, want[1:], newest)
			for _, e := range want {
				if !strings.HasPrefix(string(e.Payload), fmt.Sprint(i, ",")) { // its own may not arrive
					n.awaitEntry(topic, e)
				}
			}
		}
	}
}

// checkChain checks that each entry names the one before it.
func checkChain(t *testing.T, entries []hub.Entry) {
	t.Helper()
	for i, e := range entries {
		switch {
		case i == 0 && e.Previous != 0:
			t.Errorf("the first entry is after %d", e.Previous)
		case i > 0 && (e.Previous != entries[i-1].Offset || e.Epoch != entries[i-1].Epoch):
			t.Errorf("the entry at %v names %d as the one before, which is at %v", e.Position, e.Previous, entries[i-1].Position)
		}
	}
}

func testRead(t *testing.T, open func(*testing.T) *historian) {
	from, to := open(t), open(t)
	topic := room("x")
	var all []hub.Entry
	for i := range 20 {
		all = append(all, from.append(topic, fmt.Sprint(i), keepAll))
		from.append(room("another"), fmt.Sprint(i), keepAll) // offsets may leave gaps
	}
	newest := all[19].Position
	for _, n := range []*historian{from, to} {
		for _, limit := range []int{0, 1, 3, 20, 1000} {
			first := hub.Position{Epoch: newest.Epoch}
			n.expect(topic, hub.Position{}, limit, all[:min(limit, 20)], newest)
			n.expect(topic, first, limit, all[:min(limit, 20)], newest)
			for i, e := range all {
				rest := all[i+1:]
				n.expect(topic, e.Position, limit, rest[:min(limit, len(rest))], newest)
			}
		}
	}
	var paged []hub.Entry
	for after := (hub.Position{}); ; after = paged[len(paged)-1].Position {
		page, _, err := to.read(topic, after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		paged = append(paged, page...)
	}
	if !slices.EqualFunc(paged, all, equalEntries) {
		t.Errorf("page by page: got %s, want %s", describe(paged...), describe(all...))
	}
}

func testKeep(t *testing.T, open func(*testing.T) *historian) {
	from, to := open(t), open(t)
	topic := room("x")
	to.follow(topic, from) // the epoch stays
	var all []hub.Entry
	for i := range 12 {
		all = append(all, from.append(topic, fmt.Sprint(i), hub.Keep{Messages: 5}))
	}
	check := func(kept int) {
		t.Helper()
		newest, gone := all[len(all)-1].Position, len(all)-kept
		for _, n := range []*historian{from, to} {
			n.expect(topic, hub.Position{}, 100, all[gone:], newest)
			for i, e := range all {
				if i < gone-1 {
					n.expectLost(topic, e.Position)
				} else {
					n.expect(topic, e.Position, 100, all[i+1:], newest)
				}
			}
			n.expectLost(topic, hub.Position{Epoch: newest.Epoch})
		}
	}
	check(5)
	all = append(all, from.append(topic, "fewer", hub.Keep{Messages: 2}))
	check(2)
	all = append(all, from.append(topic, "more", hub.Keep{Messages: 5}))
	check(3)
	all = append(all, from.append(topic, "one", hub.Keep{Messages: 1}))
	check(1)
	checkChain(t, all)
}

func testAge(t *testing.T, open func(*testing.T) *historian) {
	const age = 2 * time.Second
	from, to := open(t), open(t)
	topic, long := room("x"), room("long")
	to.follow(topic, from) // the epoch stays
	keep := hub.Keep{Messages: 100, Age: age}
	before := time.Now()
	all := []hub.Entry{from.append(topic, "0", keep), from.append(topic, "1", keep)}
	other := from.append(long, "kept longer", keepAll)
	if entries, _, err := to.read(topic, hub.Position{}, 10); time.Since(before) < age && (err != nil || len(entries) != 2) {
		t.Errorf("got %s and error %v, want both entries", describe(entries...), err)
	}
	newest := all[1].Position
	for time.Since(before) < age+timeout {
		if entries, _, err := to.read(topic, hub.Position{}, 10); err == nil && len(entries) == 0 {
			break
		}
		time.Sleep(age / 10)
	}
	if waited := time.Since(before); waited < age {
		t.Errorf("entries that are kept for %v are gone after %v", age, waited)
	}
	for _, n := range []*historian{from, to} {
		n.expect(topic, hub.Position{}, 10, nil, newest)
		n.expect(topic, newest, 10, nil, newest) // nothing is missing
		n.expectLost(topic, all[0].Position)
		n.expectLost(topic, hub.Position{Epoch: newest.Epoch})
		n.expect(long, hub.Position{}, 10, []hub.Entry{other}, other.Position)
	}
	next := from.append(topic, "2", keep)
	if next.Epoch != newest.Epoch || next.Previous != newest.Offset {
		t.Errorf("an entry at %v after %d follows one at %v", next.Position, next.Previous, newest)
	}
	to.awaitEntry(topic, next)
	to.expect(topic, newest, 10, []hub.Entry{next}, next.Position)
}

func testUnknownPositions(t *testing.T, open func(*testing.T) *historian) {
	n := open(t)
	topic := room("x")
	e := n.append(topic, "hello", keepAll)
	for _, p := range []hub.Position{
		{Epoch: "another", Offset: 0},
		{Epoch: "another", Offset: e.Offset},
		{Epoch: e.Epoch + "x", Offset: e.Offset},
		{Epoch: "*\r\n\x00\xff> 日本", Offset: e.Offset},
		{Epoch: strings.Repeat("long", 1000), Offset: e.Offset},
		{Epoch: "", Offset: e.Offset},
		{Epoch: e.Epoch, Offset: e.Offset + 1},
		{Epoch: e.Epoch, Offset: 1 << 63},
		{Epoch: e.Epoch, Offset: 1<<64 - 1},
	} {
		n.expectLost(topic, p)
	}
	n.expect(topic, e.Position, 10, nil, e.Position)
}

func testHistoryTopics(t *testing.T, open func(*testing.T) *historian) {
	from, to := open(t), open(t)
	var topics []hub.Topic
	for _, name := range []string{
		"", " ", "a b", "a.b", ".", "*", ">", "a.>", "$SYS", "{a}", "{", "}", "a}{b", "%41", "A", "a", "a:b", "a/b", "\x00", "a\r\nb", "日本", "\xff", "\xfe",
		strings.Repeat("long", 250), strings.Repeat("long", 250) + ".",
	} {
		topics = append(topics, room(name))
	}
	want := make(map[hub.Topic]hub.Entry)
	for _, topic := range topics {
		to.follow(topic, from)
	}
	for _, topic := range topics {
		want[topic] = from.append(topic, "of "+topic.Name, keepAll)
	}
	for _, topic := range topics {
		to.awaitEntry(topic, want[topic])
		to.expect(topic, hub.Position{}, 10, []hub.Entry{want[topic]}, want[topic].Position)
		if got := to.receivedEntries(topic); len(got) != 1 {
			t.Errorf("%q: got %s, want one entry", topic, describe(got...))
		}
	}
}

func testHistoryPayloads(t *testing.T, open func(*testing.T) *historian) {
	from, to := open(t), open(t)
	topic := room("x")
	to.follow(topic, from)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	var want []hub.Entry
	for _, payload := range []string{"\x00", "\r\n", " ", string(all), strings.Repeat(string(all), 256)} { // 64 KiB
		want = append(want, from.append(topic, payload, keepAll))
	}
	for _, e := range want {
		to.awaitEntry(topic, e)
	}
	to.expect(topic, hub.Position{}, 10, want, want[len(want)-1].Position)
}

func testHistoryOutlives(t *testing.T, open func(*testing.T) *historian) {
	one, two := open(t), open(t)
	topic := room("x")
	two.follow(topic, one) // the epoch stays
	e := one.append(topic, "hello", keepAll)
	if err := one.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := bounded()
	defer cancel()
	if _, err := one.history.Append(ctx, topic, []byte("too late"), keepAll); err == nil {
		t.Error("Append does not fail after Close")
	}
	if _, _, err := one.history.Read(ctx, topic, hub.Position{}, 1); err == nil || isLost(err) {
		t.Errorf("the error of Read after Close is %v", err)
	}
	two.expect(topic, hub.Position{}, 10, []hub.Entry{e}, e.Position)
	next := two.append(topic, "still here", keepAll)
	three := open(t)
	three.expect(topic, e.Position, 10, []hub.Entry{next}, next.Position)
}

func testHistoryContext(t *testing.T, open func(*testing.T) *historian) {
	n := open(t)
	topic := room("x")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := n.history.Append(ctx, topic, []byte("hello"), keepAll); err == nil {
		t.Error("Append does not fail when its context has ended")
	}
	if _, _, err := n.history.Read(ctx, topic, hub.Position{}, 1); err == nil || isLost(err) {
		t.Errorf("the error of Read is %v when its context has ended", err)
	}
	n.append(topic, "goes on", keepAll)
}

func testSubscribeDuringEntry(t *testing.T, open func(*testing.T) *historian) {
	from, to := open(t), open(t)
	to.follow(room("x"), from)
	var lock sync.Mutex // as a hub holds one
	called := make(chan struct{}, 10)
	to.setOnEntry(func(hub.Topic, hub.Entry) {
		called <- struct{}{}
		lock.Lock()
		defer lock.Unlock()
	})
	lock.Lock()
	unlock := sync.OnceFunc(lock.Unlock)
	defer unlock() // also if the test fails, or Close would wait for receive
	appended := make(chan hub.Entry, 1)
	go func() {
		defer close(appended)
		appended <- from.append(room("x"), "hello", keepAll)
	}()
	within(t, "receive", called)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer unlock()
		if err := to.Subscribe(room("y")); err != nil {
			t.Error(err)
		}
		if err := to.Unsubscribe(room("y")); err != nil {
			t.Error(err)
		}
	}()
	within(t, "Subscribe and Unsubscribe", done)
	if e, ok := <-appended; ok {
		to.awaitEntry(room("x"), e)
	}
}

func testHistoryConcurrency(t *testing.T, open func(*testing.T) *historian) {
	nodes := []*historian{open(t), open(t), open(t)}
	var running sync.WaitGroup
	for i, n := range nodes {
		for _, topic := range []hub.Topic{room("x"), room("y")} {
			running.Go(func() {
				for k := range 50 {
					n.subscribe(topic)
					n.append(topic, fmt.Sprint(i, k), hub.Keep{Messages: 10})
					n.publish(topic, fmt.Sprint(i, k))
					if err := n.Unsubscribe(topic); err != nil {
						t.Error(err)
					}
				}
			})
			running.Go(func() {
				for range 50 {
					entries, _, err := n.read(topic, hub.Position{}, 100)
					if err != nil || len(entries) > 10 {
						t.Errorf("got %d entries and error %v", len(entries), err)
					}
					for j := 1; j < len(entries); j++ {
						if entries[j].Epoch == entries[j-1].Epoch && entries[j].Previous != entries[j-1].Offset {
							t.Errorf("entries do not follow each other: %s", describe(entries...))
						}
					}
				}
			})
		}
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
