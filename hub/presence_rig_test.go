package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/require"
)

// The time that people of a dead node stay at most, what is lost is missing at most, and the default
// of the grace.
const (
	presenceTTL   = 15 * time.Second
	presenceBound = presenceTTL + presenceTTL/4
	lossBound     = 2 * presenceTTL
	presenceGrace = 5 * time.Second
)

// A told is a message with a list or with changes.
type told struct {
	Room    string
	List    map[string]string
	Changes []toldChange
}

type toldChange struct{ Kind, Key, Value string }

// tellAll returns options with messages that a view understands.
func tellAll() *hub.PresenceOptions {
	return &hub.PresenceOptions{
		List: func(room string, people []hub.Person) hub.Message {
			m := told{Room: room, List: map[string]string{}}
			for _, p := range people {
				m.List[p.Key] = string(p.Value)
			}
			return hub.JSON(m)
		},
		Changes: func(room string, changes []hub.PresenceChange) hub.Message {
			m := told{Room: room}
			for _, c := range changes {
				m.Changes = append(m.Changes, toldChange{c.Kind.String(), c.Key, string(c.Value)})
			}
			return hub.JSON(m)
		},
	}
}

// received has all that clients have received.
var received = struct {
	sync.Mutex
	by map[*wstest.Client][]wstest.Message
}{by: make(map[*wstest.Client][]wstest.Message)}

func allReceived(t *testing.T, client *wstest.Client) []wstest.Message {
	received.Lock()
	defer received.Unlock()
	if _, ok := received.by[client]; !ok {
		t.Cleanup(func() {
			received.Lock()
			defer received.Unlock()
			delete(received.by, client)
		})
	}
	received.by[client] = append(received.by[client], client.Received()...)
	return received.by[client]
}

// view replays what a client has received: the people in each room, as far as it was told. It fails the
// test where a message contradicts an earlier one.
func view(t *testing.T, client *wstest.Client) map[string]map[string]string {
	t.Helper()
	rooms := map[string]map[string]string{}
	for _, message := range allReceived(t, client) {
		var m told
		if json.Unmarshal(message.Data, &m) != nil || m.Room == "" {
			continue
		}
		if m.List != nil {
			rooms[m.Room] = m.List
			continue
		}
		people := rooms[m.Room]
		require.NotNil(t, people, "changes before a list in %q", m.Room)
		for _, c := range m.Changes {
			old, present := people[c.Key]
			require.Equal(t, c.Kind != "joined", present, "%v in %q after %v", c, m.Room, people)
			if c.Kind == "left" {
				require.Equal(t, old, c.Value, "the last value")
				delete(people, c.Key)
				continue
			}
			require.False(t, present && old == c.Value, "an update to the same value")
			people[c.Key] = c.Value
		}
	}
	return rooms
}

// changesIn returns the changes that a client has been told of in a room, as one string each.
func changesIn(t *testing.T, client *wstest.Client, room string) (changes []string) {
	t.Helper()
	view(t, client)
	for _, message := range allReceived(t, client) {
		var m told
		if json.Unmarshal(message.Data, &m) == nil && m.Room == room {
			for _, c := range m.Changes {
				changes = append(changes, c.Kind+" "+c.Key)
			}
		}
	}
	return changes
}

var errFault = errors.New("a fault of the test")

// A unreliableBroker loses publications, and can be cut off from the network. Calls take time.
type unreliableBroker struct {
	hub.PresenceBroker

	mu     sync.Mutex
	cut    bool
	loses  bool // all publications about people in rooms
	random *rand.Rand
	slow   time.Duration // the most that a call takes
	late   time.Duration // how old a list is when it comes
	calls  map[string]int
	bytes  int
}

func newUnreliableBroker(network *hub.Memory) *unreliableBroker {
	return &unreliableBroker{PresenceBroker: network.Node().(hub.PresenceBroker), random: rand.New(rand.NewPCG(1, 2)), calls: map[string]int{}} //nolint:errcheck // it is
}

func (b *unreliableBroker) set(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f()
}

func (b *unreliableBroker) fails(call string) error {
	b.mu.Lock()
	b.calls[call]++
	cut, wait := b.cut, time.Duration(0)
	if b.slow > 0 {
		wait = time.Duration(b.random.Int64N(int64(b.slow)))
	}
	b.mu.Unlock()
	if wait > 0 {
		time.Sleep(wait)
	}
	if cut {
		return errFault
	}
	return nil
}

func (b *unreliableBroker) isCut() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cut
}

func (b *unreliableBroker) Open(receive func(t hub.Topic, payload []byte)) {
	b.PresenceBroker.Open(func(t hub.Topic, payload []byte) {
		if !b.isCut() {
			receive(t, payload)
		}
	})
}

func (b *unreliableBroker) Publish(t hub.Topic, payload []byte) error {
	if err := b.fails("publish"); err != nil {
		return err
	}
	b.mu.Lock()
	lost := b.loses && payload[1] == 32
	b.bytes += len(payload)
	b.mu.Unlock()
	if lost {
		return nil
	}
	return b.PresenceBroker.Publish(t, payload)
}

func (b *unreliableBroker) RenewNode(ctx context.Context, node string, ttl time.Duration) (hub.Lease, error) {
	if err := b.fails("renew"); err != nil {
		return hub.Lease{}, err
	}
	return b.PresenceBroker.RenewNode(ctx, node, ttl)
}

func (b *unreliableBroker) PutPresence(ctx context.Context, room hub.Topic, node string, revision uint64, changes []hub.PresenceEntry) error {
	if err := b.fails("put"); err != nil {
		return err
	}
	b.mu.Lock()
	for _, c := range changes {
		b.bytes += len(c.Key) + len(c.Value)
	}
	b.mu.Unlock()
	return b.PresenceBroker.PutPresence(ctx, room, node, revision, changes)
}

func (b *unreliableBroker) ListPresence(ctx context.Context, room hub.Topic) ([]hub.NodePresence, error) {
	if err := b.fails("list"); err != nil {
		return nil, err
	}
	list, err := b.PresenceBroker.ListPresence(ctx, room)
	b.mu.Lock()
	late := b.late
	b.mu.Unlock()
	time.Sleep(late)
	return list, err
}

func (b *unreliableBroker) PresenceRevisions(ctx context.Context, rooms []hub.Topic) ([]map[string]uint64, error) {
	if err := b.fails("revisions"); err != nil {
		return nil, err
	}
	return b.PresenceBroker.PresenceRevisions(ctx, rooms)
}

func (b *unreliableBroker) RemoveNode(ctx context.Context, node string) error {
	if err := b.fails("remove"); err != nil {
		return err
	}
	return b.PresenceBroker.RemoveNode(ctx, node)
}

// A scene is hubs with presence on one network, and their members.
type scene struct {
	*rig
	t       *testing.T
	network hub.Memory
	hubs    []*hub.Hub
	brokers []*unreliableBroker
}

func newScene(t *testing.T, nodes int, options func() *hub.PresenceOptions) *scene {
	s := &scene{rig: newRig(t, testws.Memory, websocket.Options{PingInterval: -1}), t: t}
	for range nodes {
		b := newUnreliableBroker(&s.network)
		h := hub.New(hub.Options{Broker: b, Presence: options()})
		s.brokers, s.hubs = append(s.brokers, b), append(s.hubs, h)
		t.Cleanup(func() { require.NoError(t, h.Shutdown(context.Background())) })
	}
	return s
}

// enter connects a tab of a person to a node.
func (s *scene) enter(node int, key string, rooms ...string) (*wstest.Client, *hub.Member) {
	s.t.Helper()
	client, member := s.join(s.hubs[node])
	require.NoError(s.t, member.SetKey(key))
	require.NoError(s.t, member.Join(rooms...))
	return client, member
}

// expectPresent expects what a hub answers.
func (s *scene) expectPresent(node int, room string, want map[string]string) {
	s.t.Helper()
	people, err := s.hubs[node].Present(context.Background(), room)
	require.NoError(s.t, err)
	got, last := map[string]string{}, ""
	for _, p := range people {
		require.Less(s.t, last, p.Key, "sorted, each once")
		got[p.Key], last = string(p.Value), p.Key
	}
	require.Equal(s.t, want, got, "node %d, room %q", node, room)
	n, err := s.hubs[node].CountPresent(context.Background(), room)
	require.NoError(s.t, err)
	require.Equal(s.t, len(want), n)
}

func people(keys ...string) map[string]string {
	m := map[string]string{}
	for _, key := range keys {
		m[key] = ""
	}
	return m
}

func expectView(t *testing.T, client *wstest.Client, room string, want map[string]string) {
	t.Helper()
	got := view(t, client)[room]
	require.True(t, maps.Equal(want, got), "got %v in %q, want %v", got, room, want)
}
