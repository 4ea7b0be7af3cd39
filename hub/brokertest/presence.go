package brokertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
)

const (
	longLease  = time.Minute
	shortLease = 2 * time.Second
)

// TestPresence checks that brokers follow the rules of [hub.PresenceBroker], as [Test] does for those
// of [hub.Broker]: the brokers of newNetwork must be PresenceBrokers. Leases last 2 seconds or more.
func TestPresence(t *testing.T, newNetwork func(t *testing.T) Network) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, open func(t *testing.T) *presence)
	}{
		{"leases name all nodes that live", testLeases},
		{"a node that does not renew is dropped", testExpiry},
		{"a node that renews is kept", testRenewal},
		{"RemoveNode drops a node in all rooms", testRemoveNode},
		{"entries are listed for each node", testEntries},
		{"a change is seen whole", testWholeChanges},
		{"names, keys and values are any strings", testPresenceNames},
		{"a call that is repeated changes nothing more", testRepeated},
		{"a call that comes late changes nothing", testLate},
		{"revisions of many rooms come in order", testRevisions},
		{"many people in one room", testManyPeople},
		{"a node without a lease can put nothing", testNoLease},
		{"calls fail after Close", testPresenceClose},
		{"concurrent calls for presence", testPresenceConcurrency},
	} {
		t.Run(test.name, func(t *testing.T) {
			network, nodes := newNetwork(t), 0
			test.run(t, func(t *testing.T) *presence {
				t.Helper()
				nodes++
				n := newNode(t, fmt.Sprint("node ", nodes), network(t))
				broker, ok := n.Broker.(hub.PresenceBroker)
				if !ok {
					t.Fatalf("%T is no hub.PresenceBroker", n.Broker)
				}
				return &presence{broker, t, fmt.Sprint(t.Name(), " ", nodes)}
			})
		})
	}
}

// A presence calls a broker and fails the test where that fails.
type presence struct {
	hub.PresenceBroker
	t    *testing.T
	node string // the name that it has as a node
}

func (p *presence) within(call func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return call(ctx)
}

func (p *presence) must(what string, call func(ctx context.Context) error) {
	p.t.Helper()
	if err := p.within(call); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

func (p *presence) renew(ttl time.Duration) (lease hub.Lease) {
	p.t.Helper()
	p.must("RenewNode", func(ctx context.Context) (err error) {
		lease, err = p.RenewNode(ctx, p.node, ttl)
		return err
	})
	slices.Sort(lease.Nodes)
	return lease
}

func (p *presence) tryPut(room hub.Topic, revision uint64, changes ...hub.PresenceEntry) error {
	return p.within(func(ctx context.Context) error { return p.PutPresence(ctx, room, p.node, revision, changes) })
}

func (p *presence) put(room hub.Topic, revision uint64, changes ...hub.PresenceEntry) {
	p.t.Helper()
	if err := p.tryPut(room, revision, changes...); err != nil {
		p.t.Fatalf("PutPresence in %q: %v", room, err)
	}
}

func (p *presence) remove(node string) {
	p.t.Helper()
	p.must("RemoveNode", func(ctx context.Context) error { return p.RemoveNode(ctx, node) })
}

// list returns the entries in a room as lines of node, revision, key and value, in order. Nodes
// without an entry are left out.
func (p *presence) list(room hub.Topic) (lines []string) {
	p.t.Helper()
	p.must("ListPresence", func(ctx context.Context) error {
		list, err := p.ListPresence(ctx, room)
		for _, np := range list {
			for _, e := range np.Entries {
				if e.Value == nil {
					p.t.Errorf("the value of %q is nil", e.Key)
				}
				lines = append(lines, line(np.Node, np.Revision, e.Key, string(e.Value)))
			}
		}
		return err
	})
	slices.Sort(lines)
	return lines
}

func line(node string, revision uint64, key, value string) string {
	return fmt.Sprintf("%s, %d: %q is %q", node, revision, key, value)
}

func (p *presence) expect(room hub.Topic, lines ...string) {
	p.t.Helper()
	slices.Sort(lines)
	if got := p.list(room); !slices.Equal(lines, got) {
		p.t.Errorf("got in %q\n%s\nwant\n%s", room, strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

func (p *presence) revisions(rooms ...hub.Topic) (revisions []map[string]uint64) {
	p.t.Helper()
	p.must("PresenceRevisions", func(ctx context.Context) (err error) {
		revisions, err = p.PresenceRevisions(ctx, rooms)
		return err
	})
	if len(revisions) != len(rooms) {
		p.t.Fatalf("got revisions of %d rooms, want %d", len(revisions), len(rooms))
	}
	return revisions
}

// expectRevisions expects the revisions of nodes in a room; 0 is for a node without entries.
func (p *presence) expectRevisions(room hub.Topic, want map[string]uint64) {
	p.t.Helper()
	got := maps.Clone(p.revisions(room)[0])
	for node, revision := range want {
		if revision == 0 {
			delete(got, node) // it may be there or not
		}
	}
	want = maps.Clone(want)
	maps.DeleteFunc(want, func(_ string, revision uint64) bool { return revision == 0 })
	if !maps.Equal(want, got) {
		p.t.Errorf("got the revisions %v in %q, want %v", got, room, want)
	}
}

func (p *presence) expectNodes(lease hub.Lease, isNew bool, nodes ...*presence) {
	p.t.Helper()
	var names []string
	for _, other := range nodes {
		names = append(names, other.node)
	}
	slices.Sort(names)
	if !slices.Equal(names, lease.Nodes) || isNew != lease.New {
		p.t.Errorf("got the lease %v, want %v of %q", lease, isNew, names)
	}
}

func entry(key, value string) hub.PresenceEntry {
	return hub.PresenceEntry{Key: key, Value: []byte(value)}
}

func gone(key string) hub.PresenceEntry { return hub.PresenceEntry{Key: key} }

func testLeases(t *testing.T, open func(*testing.T) *presence) {
	a, b := open(t), open(t)
	a.expectNodes(a.renew(longLease), true, a)
	b.expectNodes(b.renew(longLease), true, a, b)
	a.expectNodes(a.renew(longLease), false, a, b)
	a.remove(a.node)
	b.expectNodes(b.renew(longLease), false, b)
	a.expectNodes(a.renew(longLease), true, a, b)
}

func testExpiry(t *testing.T, open func(*testing.T) *presence) {
	a, b := open(t), open(t)
	a.renew(longLease)
	begun := time.Now()
	b.renew(shortLease)
	a.put(room("x"), 1, entry("ann", "1"))
	b.put(room("x"), 1, entry("ann", "2"), entry("bob", "3"))
	b.put(room("y"), 2, entry("bob", "4"))
	for len(a.list(room("y"))) > 0 {
		if time.Since(begun) > shortLease+timeout {
			t.Fatalf("a node is listed %v after its lease of %v began", time.Since(begun), shortLease)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if elapsed := time.Since(begun); elapsed < shortLease-50*time.Millisecond {
		t.Errorf("a lease of %v ended after %v", shortLease, elapsed)
	}
	a.expect(room("x"), line(a.node, 1, "ann", "1"))
	a.expectRevisions(room("x"), map[string]uint64{a.node: 1})
	a.expectRevisions(room("y"), nil)
	a.expectNodes(a.renew(longLease), false, a)
	if b.tryPut(room("y"), 3, entry("cid", "5")) == nil {
		t.Error("a node without a lease can put")
	}
	b.expectNodes(b.renew(longLease), true, a, b)
	b.expect(room("y")) // nothing of what it had is there
	b.put(room("y"), 4, entry("dan", "6"))
	a.expect(room("y"), line(b.node, 4, "dan", "6"))
}

func testRenewal(t *testing.T, open func(*testing.T) *presence) {
	a, b := open(t), open(t)
	a.renew(longLease)
	b.renew(shortLease)
	b.put(room("x"), 1, entry("bob", "1"))
	for begun := time.Now(); time.Since(begun) < 2*shortLease; {
		time.Sleep(shortLease / 5)
		b.expectNodes(b.renew(shortLease), false, a, b)
		a.expect(room("x"), line(b.node, 1, "bob", "1"))
	}
}

func testRemoveNode(t *testing.T, open func(*testing.T) *presence) {
	a, b := open(t), open(t)
	a.renew(longLease)
	b.renew(longLease)
	a.put(room("x"), 1, entry("ann", "1"))
	for i := range 20 {
		b.put(room(fmt.Sprint("room ", i)), uint64(i+1), entry("bob", ""))
	}
	b.put(room("x"), 21, entry("bob", ""))
	a.remove(b.node)
	a.remove(b.node)
	a.remove("a node that never was")
	a.expect(room("x"), line(a.node, 1, "ann", "1"))
	for i := range 20 {
		a.expect(room(fmt.Sprint("room ", i)))
	}
	if b.tryPut(room("x"), 22, entry("bob", "")) == nil {
		t.Error("a node that was removed can put")
	}
	b.expectNodes(b.renew(longLease), true, a, b)
	a.expect(room("x"), line(a.node, 1, "ann", "1"))
}

func testEntries(t *testing.T, open func(*testing.T) *presence) {
	a, b, c := open(t), open(t), open(t)
	a.renew(longLease)
	b.renew(longLease)
	a.expect(room("x"))
	a.put(room("x"), 1, entry("ann", "1"), entry("bob", ""))
	b.put(room("x"), 7, entry("ann", "2"))
	b.put(hub.Key("x"), 8, entry("cid", "3"))
	for _, p := range []*presence{a, b, c} {
		p.expect(room("x"), line(a.node, 1, "ann", "1"), line(a.node, 1, "bob", ""), line(b.node, 7, "ann", "2"))
		p.expect(hub.Key("x"), line(b.node, 8, "cid", "3"))
		p.expect(room("X"))
		p.expectRevisions(room("x"), map[string]uint64{a.node: 1, b.node: 7})
	}
	a.put(room("x"), 3, gone("bob"), entry("ann", "4"), gone("nobody"))
	c.expect(room("x"), line(a.node, 3, "ann", "4"), line(b.node, 7, "ann", "2"))
	a.put(room("x"), 4)
	c.expect(room("x"), line(a.node, 4, "ann", "4"), line(b.node, 7, "ann", "2"))
	a.put(room("x"), 5, gone("ann"))
	c.expect(room("x"), line(b.node, 7, "ann", "2"))
	c.expectRevisions(room("x"), map[string]uint64{a.node: 0, b.node: 7})
	a.put(room("x"), 6, entry("dan", "5"))
	c.expect(room("x"), line(a.node, 6, "dan", "5"), line(b.node, 7, "ann", "2"))
	a.expectNodes(a.renew(longLease), false, a, b) // and keeps its entries
	c.expect(room("x"), line(a.node, 6, "dan", "5"), line(b.node, 7, "ann", "2"))
}

func testWholeChanges(t *testing.T, open func(*testing.T) *presence) {
	const people, changes = 50, 100
	from, other := open(t), open(t)
	from.renew(longLease)
	putAll := func(revision uint64) error {
		var all []hub.PresenceEntry
		for i := range people {
			all = append(all, entry(fmt.Sprint("person ", i), fmt.Sprint(revision)))
		}
		return from.tryPut(room("x"), revision, all...)
	}
	if err := putAll(1); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for revision := uint64(2); revision <= changes; revision++ {
			if err := putAll(revision); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	last, lists := "", 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		lines := other.list(room("x"))
		_, value, _ := strings.Cut(lines[0], " is ")
		revision, _ := strconv.Unquote(value)
		for _, l := range lines {
			if !strings.Contains(l, ", "+revision+": ") || !strings.HasSuffix(l, " is "+value) {
				t.Fatalf("a list has %q and %q", lines[0], l)
			}
		}
		if len(lines) != people {
			t.Fatalf("a list has %d people, want %d", len(lines), people)
		}
		last = revision
		lists++
	}
	if last != fmt.Sprint(changes) || lists < 2 {
		t.Errorf("the last of %d lists has revision %s, want %d", lists, last, changes)
	}
}

func testPresenceNames(t *testing.T, open func(*testing.T) *presence) {
	p := open(t)
	p.node = "a.b *>{}\r\n\x00\xff"
	p.renew(longLease)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	names := []string{
		"", " ", ".", "*", ">", "{x}", "}{", ":", "a", "A", "a:b", "a/b", "\x00", "a\r\nb", "日本", "\xff", "\xfe", string(all), strings.Repeat("long", 250),
	}
	for i, name := range names {
		p.put(room(name), uint64(i+1), entry(name, name), entry("key of "+name, string(all)))
	}
	for i, name := range names {
		p.expect(room(name), line(p.node, uint64(i+1), name, name), line(p.node, uint64(i+1), "key of "+name, string(all)))
	}
	for i, name := range names {
		p.put(room(name), uint64(100+i), gone(name))
		p.expect(room(name), line(p.node, uint64(100+i), "key of "+name, string(all)))
	}
}

func testRepeated(t *testing.T, open func(*testing.T) *presence) {
	p := open(t)
	p.renew(longLease)
	for range 3 {
		p.put(room("x"), 5, entry("ann", "1"), entry("bob", "2"), gone("cid"))
		p.expect(room("x"), line(p.node, 5, "ann", "1"), line(p.node, 5, "bob", "2"))
	}
	for range 3 {
		p.put(room("x"), 6, gone("ann"))
		p.expect(room("x"), line(p.node, 6, "bob", "2"))
	}
}

func testLate(t *testing.T, open func(*testing.T) *presence) {
	p := open(t)
	p.renew(longLease)
	p.put(room("x"), 5, entry("ann", "1"))
	p.put(room("x"), 7, entry("ann", "2"), entry("bob", "3"))
	_ = p.tryPut(room("x"), 6, gone("bob"), entry("ann", "4"), entry("cid", "5")) // it may be an error, or none
	p.expect(room("x"), line(p.node, 7, "ann", "2"), line(p.node, 7, "bob", "3"))
	p.expectRevisions(room("x"), map[string]uint64{p.node: 7})
}

func testRevisions(t *testing.T, open func(*testing.T) *presence) {
	const many = 500
	a, b := open(t), open(t)
	a.renew(longLease)
	b.renew(longLease)
	if got := a.revisions(); len(got) > 0 {
		t.Errorf("got %v for no rooms", got)
	}
	var rooms []hub.Topic
	for i := range many {
		r := room(fmt.Sprint("room ", i))
		if i%3 == 0 {
			a.put(r, uint64(i+1), entry("ann", ""))
		}
		if i%5 == 0 {
			b.put(r, uint64(i+2), entry("ann", ""))
		}
		rooms = append(rooms, r)
	}
	slices.Reverse(rooms)
	for k, got := range b.revisions(rooms...) {
		i, want := many-1-k, map[string]uint64{}
		if i%3 == 0 {
			want[a.node] = uint64(i + 1)
		}
		if i%5 == 0 {
			want[b.node] = uint64(i + 2)
		}
		if !maps.Equal(want, got) {
			t.Fatalf("got the revisions %v in %q, want %v", got, rooms[k], want)
		}
	}
	same := b.revisions(rooms[0], rooms[many-1], rooms[many-1])
	if same[1][b.node] != 2 || same[2][b.node] != 2 {
		t.Errorf("got %v for a room that is named twice", same)
	}
}

func testManyPeople(t *testing.T, open func(*testing.T) *presence) {
	const people, atOnce = 10_000, 500
	a, b := open(t), open(t)
	for k, p := range []*presence{a, b} {
		p.renew(longLease)
		for i := 0; i < people; i += atOnce {
			var changes []hub.PresenceEntry
			for j := range atOnce {
				changes = append(changes, entry(fmt.Sprint("person ", k, " ", i+j), fmt.Sprint("value ", i+j)))
			}
			p.put(room("x"), uint64(i+1), changes...)
		}
	}
	if got := len(b.list(room("x"))); got != 2*people {
		t.Errorf("got %d entries, want %d", got, 2*people)
	}
	a.remove(a.node)
	if got := len(b.list(room("x"))); got != people {
		t.Errorf("got %d entries, want %d", got, people)
	}
}

func testNoLease(t *testing.T, open func(*testing.T) *presence) {
	a, b := open(t), open(t)
	a.renew(longLease)
	if b.tryPut(room("x"), 1, entry("bob", "1")) == nil {
		t.Error("a node without a lease can put")
	}
	a.expect(room("x"))
	a.expectNodes(a.renew(longLease), false, a)
}

func testPresenceClose(t *testing.T, open func(*testing.T) *presence) {
	a, b := open(t), open(t)
	a.renew(longLease)
	b.renew(longLease)
	a.put(room("x"), 1, entry("ann", "1"))
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func(ctx context.Context) error{
		"RenewNode":    func(ctx context.Context) error { _, err := a.RenewNode(ctx, a.node, longLease); return err },
		"PutPresence":  func(ctx context.Context) error { return a.PutPresence(ctx, room("x"), a.node, 2, nil) },
		"ListPresence": func(ctx context.Context) error { _, err := a.ListPresence(ctx, room("x")); return err },
		"PresenceRevisions": func(ctx context.Context) error {
			_, err := a.PresenceRevisions(ctx, []hub.Topic{room("x")})
			return err
		},
		"RemoveNode": func(ctx context.Context) error { return a.RemoveNode(ctx, a.node) },
	} {
		if a.within(call) == nil {
			t.Errorf("%s does not fail after Close", name)
		}
	}
}

func testPresenceConcurrency(t *testing.T, open func(*testing.T) *presence) {
	const rooms, changes = 5, 40
	nodes := []*presence{open(t), open(t), open(t)}
	for _, p := range nodes {
		p.renew(longLease)
	}
	var running sync.WaitGroup
	for _, p := range nodes {
		for i := range rooms {
			r := room(fmt.Sprint("room ", i))
			running.Go(func() {
				for k := range changes {
					if err := p.tryPut(r, uint64(k+1), entry("ann", fmt.Sprint(k)), entry(fmt.Sprint("key ", k), "")); err != nil {
						t.Error(err)
					}
					if err := p.within(func(ctx context.Context) error {
						_, err := p.ListPresence(ctx, r)
						return err
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Go(func() {
			for range changes {
				if err := p.within(func(ctx context.Context) error {
					_, err := p.RenewNode(ctx, p.node, longLease)
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	for i := range rooms {
		var want []string
		for _, p := range nodes {
			want = append(want, line(p.node, changes, "ann", fmt.Sprint(changes-1)))
			for k := range changes {
				want = append(want, line(p.node, changes, fmt.Sprint("key ", k), ""))
			}
		}
		nodes[0].expect(room(fmt.Sprint("room ", i)), want...)
	}
}
