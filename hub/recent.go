package hub

import (
	"sort"
	"time"
)

// recent are the entries of a room that a node holds in memory: all those after a position, up to the
// cursor.
type recent struct {
	keep     Keep
	maxBytes int

	after   Position
	entries []*keptEntry
	bytes   int
}

func (r *recent) limit(keep Keep, maxBytes int) { r.keep, r.maxBytes = keep, maxBytes }

// reset forgets all entries and begins after a position.
func (r *recent) reset(after Position) {
	r.after, r.entries, r.bytes = after, nil, 0
}

// add adds the newest entry.
func (r *recent) add(k *keptEntry) {
	r.entries = append(r.entries, k)
	r.bytes += k.size
	r.trim(k.arrived)
}

// trim drops the oldest entries that exceed the limits.
func (r *recent) trim(now time.Time) {
	n := 0
	for n < len(r.entries) && (len(r.entries)-n > r.keep.Messages || r.bytes > r.maxBytes || now.Sub(r.entries[n].arrived) >= r.keep.age()) {
		r.after = r.entries[n].at
		r.bytes -= r.entries[n].size
		r.entries[n] = nil
		n++
	}
	r.entries = r.entries[n:]
}

// since returns the entries after a position. It reports false if some of them are not in memory, or the position
// is that of no entry known here: the broker may have lost that entry, and then the next one does not follow it.
func (r *recent) since(p Position) (entries []*keptEntry, ok bool) {
	r.trim(time.Now())
	if p.Epoch != r.after.Epoch || p.Offset < r.after.Offset {
		return nil, false
	}
	first := sort.Search(len(r.entries), func(i int) bool { return r.entries[i].at.Offset > p.Offset })
	if before := first - 1; p != r.after && (before < 0 || r.entries[before].at != p) {
		return nil, false
	}
	return append(entries, r.entries[first:]...), true
}

// isAll reports whether there are as many entries as are kept.
func (r *recent) isAll() bool { return len(r.entries) >= r.keep.Messages }

// extend adds older entries, which are all that there are after a position and up to the last of them.
// It does nothing if newer ones are missing in between, and leaves out the oldest that exceed the
// limits.
func (r *recent) extend(after Position, older []*keptEntry) {
	if len(older) == 0 || after.Epoch != r.after.Epoch || older[len(older)-1].at.Offset < r.after.Offset {
		return
	}
	n := sort.Search(len(older), func(i int) bool { return older[i].at.Offset > r.after.Offset })
	if n == 0 || after.Offset >= r.after.Offset {
		return
	}
	r.entries = append(append([]*keptEntry(nil), older[:n]...), r.entries...)
	for _, k := range older[:n] {
		r.bytes += k.size
	}
	r.after = after
	r.trim(time.Now())
}
