package xsync

import (
	"sync"
	"sync/atomic"
	"time"
)

// Alarms are timers of many values of type T, such as connections. They share a few timers of the
// runtime, and so each costs 8 bytes in its T and about 24 in a heap, where a timer of the runtime
// costs 170. They go off to the instant.
//
// The alarms are spread over shards, each of which has a mutex, a heap and a timer: there is no
// lock that all of them share. A shard has a timer only while one of its alarms is set. All methods
// may be called from any goroutine, but Stop not from the call itself.
type Alarms[T any] struct {
	of     func(*T) *Alarm
	ring   func(*T)
	shards []alarmShard[T]
	joined atomic.Uint32
}

// An Alarm is a timer that can be set any number of times, and stopped for good. It is a part of
// the value that it belongs to. The shard guards its fields, but for shard.
type Alarm struct {
	place   int32 // 1 + the index in the heap; zero: it is not set
	calls   int16 // under way
	shard   uint8 // 1 + the index of the shard; zero: it belongs to no Alarms; set by Join
	stopped bool
}

// NewAlarms returns a set of alarms with the given number of shards, at most 255. of returns the
// Alarm of a value. ring is called when it goes off, on a goroutine of its own, and must recover
// its panics.
func NewAlarms[T any](shards int, of func(*T) *Alarm, ring func(*T)) *Alarms[T] {
	return &Alarms[T]{of: of, ring: ring, shards: make([]alarmShard[T], min(max(shards, 1), 255))}
}

// Join makes the Alarm of v one of the set. It must be called once, before other goroutines have
// v. The other methods do nothing for an Alarm that has not joined.
func (s *Alarms[T]) Join(v *T) {
	s.of(v).shard = uint8(1 + s.joined.Add(1)%uint32(len(s.shards))) //nolint:gosec // there are at most 255
}

// lock returns the alarm of v and its shard, whose mutex it locks, or no shard if the alarm has not
// joined.
func (s *Alarms[T]) lock(v *T) (*Alarm, *alarmShard[T]) {
	a := s.of(v)
	if a.shard == 0 {
		return a, nil
	}
	h := &s.shards[a.shard-1]
	h.mu.Lock()
	return a, h
}

// Reset has the alarm of v go off after d, once, instead of at the time that was set before. It
// does nothing after Stop.
func (s *Alarms[T]) Reset(v *T, d time.Duration) {
	a, h := s.lock(v)
	if h == nil {
		return
	}
	defer h.mu.Unlock()
	if a.stopped {
		return
	}
	if len(h.heap) == 0 {
		h.base = time.Now()
		h.endWaits() // the goroutine of the timer has something to do again
	}
	entry := alarmEntry[T]{time.Since(h.base) + d, v}
	if a.place == 0 {
		h.heap = append(h.heap, entry)
		a.place = int32(len(h.heap)) //nolint:gosec // far from overflowing
		s.up(h, len(h.heap)-1)
	} else {
		i := int(a.place) - 1
		h.heap[i] = entry
		s.down(h, s.up(h, i))
	}
	if a.place == 1 {
		s.setTimer(h)
	}
}

// Cancel takes back what was set. It does not wait for a call under way.
func (s *Alarms[T]) Cancel(v *T) {
	a, h := s.lock(v)
	if h == nil {
		return
	}
	defer h.mu.Unlock()
	s.remove(h, a)
}

// Stop disarms the alarm of v for good. When it returns, no call is under way, and no
// goroutine of the set is left if no other alarm is set.
func (s *Alarms[T]) Stop(v *T) {
	a, h := s.lock(v)
	if h == nil {
		return
	}
	a.stopped = true
	s.remove(h, a)
	for a.calls > 0 {
		if h.returned == nil {
			h.returned = make(chan struct{})
		}
		returned := h.returned
		h.mu.Unlock()
		<-returned
		h.mu.Lock()
	}
	var over chan struct{}
	if len(h.heap) == 0 && h.fires > 0 { // the goroutine of the timer has nothing left to do
		if h.over == nil {
			h.over = make(chan struct{})
		}
		over = h.over
	}
	h.mu.Unlock()
	if over != nil {
		<-over
	}
}

// smallHeap is the capacity up to which the memory of a heap is kept, for alarms that come and go.
const smallHeap = 64

// An alarmShard is a heap of alarms, the earliest first, and the timer of that one.
type alarmShard[T any] struct {
	mu    sync.Mutex
	heap  []alarmEntry[T]
	base  time.Time // the times in the heap are since then
	timer *time.Timer
	fire  func()        // of the timer; nil until it is first needed
	fires int           // calls of fire to come or under way
	over  chan struct{} // closed when there are none, or an alarm is set; nil: no Stop waits for that

	returned chan struct{} // closed when a call of ring has returned; nil: no Stop waits for one
}

type alarmEntry[T any] struct {
	at time.Duration
	v  *T
}

// fire calls ring for all alarms that are due.
func (s *Alarms[T]) fire(h *alarmShard[T]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.fired()
	now := time.Since(h.base)
	for len(h.heap) > 0 && h.heap[0].at <= now {
		v := h.heap[0].v
		a := s.of(v)
		s.removeAt(h, 0)
		a.calls++
		go s.call(h, v, a)
	}
	s.setTimer(h)
}

// fired notes that a call of fire has come to its end, or will not come. The mutex is held.
func (h *alarmShard[T]) fired() {
	h.fires--
	if h.fires == 0 {
		h.endWaits()
	}
}

// endWaits ends the waits of Stop for the goroutine of the timer. The mutex is held.
func (h *alarmShard[T]) endWaits() {
	if h.over != nil {
		close(h.over)
		h.over = nil
	}
}

func (s *Alarms[T]) call(h *alarmShard[T], v *T, a *Alarm) {
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		a.calls--
		if h.returned != nil {
			close(h.returned)
			h.returned = nil
		}
	}()
	s.ring(v)
}

// setTimer sets the timer to the earliest alarm. The mutex is held.
func (s *Alarms[T]) setTimer(h *alarmShard[T]) {
	switch {
	case len(h.heap) == 0:
		if h.timer != nil && h.timer.Stop() {
			h.fired()
		}
		h.timer = nil // a timer belongs to one bubble of package synctest, but the Alarms may not
		if cap(h.heap) > smallHeap {
			h.heap = nil
		}
	case h.timer == nil:
		if h.fire == nil {
			h.fire = func() { s.fire(h) }
		}
		h.fires++
		h.timer = time.AfterFunc(h.heap[0].at-time.Since(h.base), h.fire)
	case !h.timer.Reset(h.heap[0].at - time.Since(h.base)):
		h.fires++
	}
}

// remove takes an alarm out if it is set. The mutex is held.
func (s *Alarms[T]) remove(h *alarmShard[T], a *Alarm) {
	if a.place == 0 {
		return
	}
	s.removeAt(h, int(a.place)-1)
	if len(h.heap) == 0 { // otherwise the timer may fire for nothing
		s.setTimer(h)
	}
}

// removeAt takes the alarm out that is at an index. The mutex is held.
func (s *Alarms[T]) removeAt(h *alarmShard[T], i int) {
	s.of(h.heap[i].v).place = 0
	last := len(h.heap) - 1
	moved := h.heap[last]
	h.heap[last] = alarmEntry[T]{}
	h.heap = h.heap[:last]
	if i < last {
		h.heap[i] = moved
		s.down(h, s.up(h, i))
	}
	if cap(h.heap) > smallHeap && len(h.heap) < cap(h.heap)/4 {
		h.heap = append(make([]alarmEntry[T], 0, cap(h.heap)/2), h.heap...)
	}
}

// up moves the alarm at an index towards the root, and returns its new index.
func (s *Alarms[T]) up(h *alarmShard[T], i int) int {
	entry := h.heap[i]
	for i > 0 {
		parent := (i - 1) / 2
		if h.heap[parent].at <= entry.at {
			break
		}
		s.put(h, i, h.heap[parent])
		i = parent
	}
	s.put(h, i, entry)
	return i
}

// down moves the alarm at an index away from the root.
func (s *Alarms[T]) down(h *alarmShard[T], i int) {
	entry := h.heap[i]
	for {
		child := 2*i + 1
		if child >= len(h.heap) {
			break
		}
		if right := child + 1; right < len(h.heap) && h.heap[right].at < h.heap[child].at {
			child = right
		}
		if entry.at <= h.heap[child].at {
			break
		}
		s.put(h, i, h.heap[child])
		i = child
	}
	s.put(h, i, entry)
}

func (s *Alarms[T]) put(h *alarmShard[T], i int, entry alarmEntry[T]) {
	h.heap[i] = entry
	s.of(entry.v).place = int32(1 + i) //nolint:gosec // far from overflowing
}
