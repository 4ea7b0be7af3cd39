package transport

import (
	"hash/maphash"
	"math"
	"math/bits"
)

// indexFrom is how many segments a queue has before frames with a key are found by an index: a
// shorter one is searched.
const indexFrom = 32

// hashSeed is for the hashes of all keys: those of Tags, which many connections share.
var hashSeed = maphash.MakeSeed()

// An index finds the frames with a key in a queue. It is made when one is looked for. Segments have
// numbers, which they keep when others before them are removed.
type index struct {
	// slots is a hash table with open addressing. A slot has 1 more than the number of a segment, or 0
	// if it is free. It is not changed when the frame is replaced, written or dropped: whoever finds the
	// number looks whether the segment has the key.
	slots []uint32
	used  int    // slots that are not free
	first uint32 // the number of the first segment in the queue
}

// find is queue.find by the index.
func (d *details) find(q *queue, tag *Tag) (found int) {
	if d.index == nil {
		d.index = newIndex(q)
	}
	x := d.index
	found = -1
	for slot := x.slot(tag.hash); x.slots[slot] != 0; slot = x.slot(slot + 1) {
		i := int(int32(x.slots[slot] - 1 - x.first)) //nolint:gosec // it is negative if the segment has been removed
		if i >= int(q.taken) && i > found && i < len(q.segments) && q.segments[i].hasKeyOf(tag) {
			found = i
		}
	}
	return found
}

func newIndex(q *queue) *index {
	x := &index{slots: make([]uint32, 1<<bits.Len(uint(2*len(q.segments))))} //nolint:gosec // it is not negative
	for i := range q.segments {
		x.add(q, i)
	}
	return x
}

// slot returns where the search for a hash begins, or goes on after a slot.
func (x *index) slot(hash uint32) uint32 { return hash & uint32(len(x.slots)-1) } //nolint:gosec // a queue is shorter

// add adds a segment, unless it has no key.
func (x *index) add(q *queue, i int) {
	tag := q.segments[i].tag()
	if tag == nil || tag.key == "" {
		return
	}
	slot := x.slot(tag.hash)
	for x.slots[slot] != 0 {
		slot = x.slot(slot + 1)
	}
	x.slots[slot] = x.first + uint32(i) + 1 //nolint:gosec // it is not negative
	x.used++
}

// added notes that a frame was appended to the queue.
func (d *details) added(q *queue) {
	x := d.index
	switch {
	case x == nil:
	case 4*(x.used+1) > 3*len(x.slots):
		d.index = nil // it is made anew, without what is outdated
	default:
		x.add(q, len(q.segments)-1)
	}
}

// removed notes that the first n segments were removed from the queue.
func (d *details) removed(n int) {
	x := d.index
	if x == nil {
		return
	}
	if x.first += uint32(n); x.first > math.MaxInt32 { //nolint:gosec // it is not negative
		d.index = nil
	}
}
