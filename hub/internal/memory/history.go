package memory

import (
	"crypto/rand"
	"sort"
	"sync"
	"time"
)

// Histories are the histories of topics: rooms, for a hub.
type Histories[T comparable] struct {
	mu      sync.Mutex // guards all but history.appending
	byTopic map[T]*history
	swept   time.Time // when histories that nobody uses were last removed
	most    int       // how many histories there may be before that is done again
}

// A Position names an entry. The zero value names none.
type Position struct {
	Epoch  string
	Offset uint64
}

// An Entry is a message of a history. Previous is the offset of the entry before it, 0 for none.
type Entry struct {
	Position
	Previous uint64
	Payload  []byte
}

// Keep says how many entries are kept, and for how long; both are positive.
type Keep struct {
	Messages int
	Age      time.Duration
}

// A history is the history of one topic.
type history struct {
	appending sync.Mutex // held while an entry is added and delivered, so that entries arrive in their order
	appends   int        // the calls that hold it or wait for it

	epoch   string
	newest  uint64 // the offset of the newest entry, 0 if there was none
	dropped uint64 // the offset of the newest entry that is kept no more, 0 for none
	entries []keptEntry
	age     time.Duration // how long entries are kept; how long the history is, when nobody uses it
	used    time.Time     // when it was last used
}

type keptEntry struct {
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

// Append adds a payload to the history of a topic, and drops what keep does not allow. Deliver is called
// with the entry before Append returns, and for one entry of a topic after the other, in their order.
// It must not call Append for the topic.
//
// InUse reports whether a topic is in use. The history of one that is not, and has no entry any more, is
// forgotten after a time, with its epoch. InUse is called with a lock held, so it must not call Histories.
func (s *Histories[T]) Append(t T, payload []byte, keep Keep, inUse func(T) bool, deliver func(Entry)) Entry {
	s.mu.Lock()
	h := s.use(t, inUse)
	h.appends++ // until it is less again, the history is not forgotten
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		h.appends--
	}()

	h.appending.Lock()
	defer h.appending.Unlock()
	s.mu.Lock()
	e := s.use(t, inUse).append(payload, keep)
	s.mu.Unlock()
	deliver(e)
	return e
}

// Read returns at most limit of the entries after a position, the oldest first, and the position of the
// newest entry that the topic ever had. The zero Position asks for the oldest that are kept. It reports
// false if what follows the position can't be had. InUse is as for Append.
func (s *Histories[T]) Read(t T, after Position, limit int, inUse func(T) bool) (entries []Entry, newest Position, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.use(t, inUse)
	entries, ok = h.read(after, limit)
	return entries, Position{h.epoch, h.newest}, ok
}

// use returns the history of a topic, which it begins if there is none. The caller holds the mutex.
func (s *Histories[T]) use(t T, inUse func(T) bool) *history {
	now := time.Now()
	if now.Sub(s.swept) >= sweepInterval || len(s.byTopic) >= s.most {
		s.sweep(now, inUse)
	}
	h := s.byTopic[t]
	if h == nil {
		h = &history{epoch: rand.Text(), age: unusedAge}
		s.byTopic[t] = h
	}
	h.used = now
	h.trim(now)
	return h
}

// sweep removes what is too old. A history whose entries have all become too old goes, unless its
// topic is in use. The caller holds the mutex.
func (s *Histories[T]) sweep(now time.Time, inUse func(T) bool) {
	if s.byTopic == nil {
		s.byTopic = make(map[T]*history)
	}
	for t, h := range s.byTopic {
		h.trim(now)
		if len(h.entries) == 0 && h.appends == 0 && now.Sub(h.used) >= h.age && !inUse(t) {
			delete(s.byTopic, t)
		}
	}
	s.swept, s.most = now, 2*len(s.byTopic)+64
}

// trim drops the entries that are too old.
func (h *history) trim(now time.Time) {
	h.drop(sort.Search(len(h.entries), func(i int) bool { return now.Sub(h.entries[i].added) < h.age }))
}

// drop drops the first n entries.
func (h *history) drop(n int) {
	if n <= 0 {
		return
	}
	h.dropped = h.entries[n-1].Offset
	clear(h.entries[:n]) // the memory of the slice stays for a while
	h.entries = h.entries[n:]
}

func (h *history) append(payload []byte, keep Keep) Entry {
	e := Entry{Position: Position{h.epoch, h.newest + 1}, Previous: h.newest, Payload: payload}
	h.newest++
	h.age = keep.Age
	h.entries = append(h.entries, keptEntry{e, h.used})
	h.drop(len(h.entries) - keep.Messages)
	h.trim(h.used)
	return e
}

func (h *history) read(after Position, limit int) (entries []Entry, ok bool) {
	first := 0
	if after != (Position{}) {
		if after.Epoch != h.epoch || after.Offset < h.dropped || after.Offset > h.newest {
			return nil, false
		}
		first = sort.Search(len(h.entries), func(i int) bool { return h.entries[i].Offset > after.Offset })
	}
	kept := h.entries[first:]
	for _, e := range kept[:max(min(limit, len(kept)), 0)] {
		entries = append(entries, e.Entry)
	}
	return entries, true
}
