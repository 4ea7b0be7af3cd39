package hub

import (
	"context"
	"sort"
	"sync"
	"time"
)

var _ HistoryBroker = (*memoryNode)(nil)

// memoryHistories are the histories of a [Memory].
type memoryHistories struct {
	mu      sync.Mutex // guards all but memoryHistory.appending; the mutexes of Memory and of nodes may be locked while it is held
	byTopic map[Topic]*memoryHistory
	swept   time.Time // when histories that nobody uses were last removed
	most    int       // how many histories there may be before that is done again
}

// A memoryHistory is the history of one topic.
type memoryHistory struct {
	appending sync.Mutex // held while an entry is added and delivered, so that entries arrive in their order
	appends   int        // the calls that hold it or wait for it

	epoch   string
	newest  uint64 // the offset of the newest entry, 0 if there was none
	dropped uint64 // the offset of the newest entry that is kept no more, 0 for none
	entries []memoryEntry
	age     time.Duration // how long entries are kept; how long the history is, when nobody uses it
	used    time.Time     // when it was last used
}

type memoryEntry struct {
	Entry
	added time.Time
}

const (
	// sweepInterval is how often histories that nobody uses are removed, at the earliest, while
	// there are not many more of them than the last time.
	sweepInterval = time.Minute
	// unusedAge is how long a history without any entry is kept when nobody uses it.
	unusedAge = time.Minute
)

// use returns the history of a topic, which it begins if there is none. The caller holds the mutex.
func (m *Memory) use(t Topic) *memoryHistory {
	s, now := &m.histories, time.Now()
	if now.Sub(s.swept) >= sweepInterval || len(s.byTopic) >= s.most {
		m.sweep(now)
	}
	h := s.byTopic[t]
	if h == nil {
		h = &memoryHistory{epoch: newNode(), age: unusedAge}
		s.byTopic[t] = h
	}
	h.used = now
	h.trim(now)
	return h
}

// sweep removes what is too old. A history whose entries have all become too old goes, unless a
// hub has subscribed to its topic. The caller holds the mutex.
func (m *Memory) sweep(now time.Time) {
	s := &m.histories
	if s.byTopic == nil {
		s.byTopic = make(map[Topic]*memoryHistory)
	}
	for t, h := range s.byTopic {
		h.trim(now)
		if len(h.entries) == 0 && h.appends == 0 && now.Sub(h.used) >= h.age && len(m.subscribed(t)) == 0 {
			delete(s.byTopic, t)
		}
	}
	s.swept, s.most = now, 2*len(s.byTopic)+64
}

// trim drops the entries that are too old.
func (h *memoryHistory) trim(now time.Time) {
	h.drop(sort.Search(len(h.entries), func(i int) bool { return now.Sub(h.entries[i].added) < h.age }))
}

// drop drops the first n entries.
func (h *memoryHistory) drop(n int) {
	if n <= 0 {
		return
	}
	h.dropped = h.entries[n-1].Offset
	clear(h.entries[:n]) // the memory of the slice stays for a while
	h.entries = h.entries[n:]
}

func (h *memoryHistory) append(payload []byte, keep Keep) Entry {
	e := Entry{Position: Position{h.epoch, h.newest + 1}, Previous: h.newest, Payload: payload}
	h.newest++
	h.age = keep.age()
	h.entries = append(h.entries, memoryEntry{e, h.used})
	h.drop(len(h.entries) - keep.Messages)
	h.trim(h.used)
	return e
}

func (h *memoryHistory) read(after Position, limit int) ([]Entry, error) {
	first := 0
	if after != (Position{}) {
		if after.Epoch != h.epoch || after.Offset < h.dropped || after.Offset > h.newest {
			return nil, ErrHistoryLost
		}
		first = sort.Search(len(h.entries), func(i int) bool { return h.entries[i].Offset > after.Offset })
	}
	kept := h.entries[first:]
	var entries []Entry
	for _, e := range kept[:max(min(limit, len(kept)), 0)] {
		entries = append(entries, e.Entry)
	}
	return entries, nil
}

func (n *memoryNode) OpenHistory(receive func(t Topic, e Entry)) { n.receiveEntry = receive }

// Append also delivers the entry to the hub that appends it.
func (n *memoryNode) Append(ctx context.Context, t Topic, payload []byte, keep Keep) (Entry, error) {
	if err := n.usable(ctx); err != nil {
		return Entry{}, err
	}
	s := &n.network.histories
	s.mu.Lock()
	h := n.network.use(t)
	h.appends++
	s.mu.Unlock()

	h.appending.Lock()
	defer h.appending.Unlock()
	s.mu.Lock()
	e := n.network.use(t).append(payload, keep) // still the same one
	s.mu.Unlock()
	for _, node := range n.network.subscribed(t) {
		node.deliverEntry(t, e)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h.appends--
	return e, nil
}

func (n *memoryNode) Read(ctx context.Context, t Topic, after Position, limit int) ([]Entry, Position, error) {
	if err := n.usable(ctx); err != nil {
		return nil, Position{}, err
	}
	s := &n.network.histories
	s.mu.Lock()
	defer s.mu.Unlock()
	h := n.network.use(t)
	entries, err := h.read(after, limit)
	return entries, Position{h.epoch, h.newest}, err
}

func (n *memoryNode) deliverEntry(t Topic, e Entry) {
	n.receiving.Lock()
	defer n.receiving.Unlock()
	if !n.closed.Load() && n.receiveEntry != nil {
		n.receiveEntry(t, e)
	}
}

// usable returns why a call of the node can't be made, or nil.
func (n *memoryNode) usable(ctx context.Context) error {
	if n.closed.Load() {
		return errBrokerClosed
	}
	return context.Cause(ctx)
}
