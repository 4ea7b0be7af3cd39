package natsbroker

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/goyave-contrib/websocket/hub"
)

// A record is a part of a log of people. The changes of a node in a room take effect with the last
// part of theirs, in the order of their parts.
type record struct {
	snapshot bool   // the entries are all that there are
	change   string // a random name of what the parts belong to, empty for the only one
	part     uint64
	last     bool
	life     string
	node     string
	revision uint64
	entries  []hub.PresenceEntry
}

const (
	recordVersion = 1

	flagSnapshot = 1
	flagLast     = 2
)

var errRecord = errors.New("malformed record")

func (r record) encode() []byte {
	flags := uint64(0)
	if r.snapshot {
		flags |= flagSnapshot
	}
	if r.last {
		flags |= flagLast
	}
	w := writer(nil).number(recordVersion).number(flags).text(r.change).number(r.part).text(r.life).text(r.node).
		number(r.revision).number(uint64(len(r.entries)))
	for _, e := range r.entries {
		w = w.text(e.Key)
		if e.Value == nil {
			w = w.number(0)
			continue
		}
		w = append(w.number(uint64(len(e.Value))+1), e.Value...)
	}
	return w
}

func decodeRecord(data []byte) (r record, ok bool) {
	d := reader{data: data}
	if d.number() != recordVersion {
		return r, false
	}
	flags := d.number()
	r = record{
		snapshot: flags&flagSnapshot != 0, last: flags&flagLast != 0,
		change: string(d.text()), part: d.number(), life: string(d.text()), node: string(d.text()), revision: d.number(),
	}
	for n := d.number(); n > 0 && d.err == nil; n-- {
		e := hub.PresenceEntry{Key: string(d.text())}
		if size := d.number(); size > 0 {
			e.Value = d.bytes(size - 1)
		}
		r.entries = append(r.entries, e)
	}
	return r, d.err == nil
}

// parts returns a change as messages of about limit bytes at most. If there are several, the last one is
// small, as it is what is read to know the revision.
func (r record) parts(limit int) [][]byte {
	size := 0
	for _, e := range r.entries {
		size += entrySize(e.Key, e.Value)
	}
	r.last = true
	if size <= min(limit, maxSinglePart) {
		return [][]byte{r.encode()}
	}
	r.change = rand.Text()
	r.last = false
	rest := r.entries
	var parts [][]byte
	for len(rest) > 0 {
		n, bytes := 0, 0
		for n < len(rest) && (n == 0 || bytes+entrySize(rest[n].Key, rest[n].Value) <= limit) {
			bytes += entrySize(rest[n].Key, rest[n].Value)
			n++
		}
		r.entries, rest = rest[:n], rest[n:]
		parts = append(parts, r.encode())
		r.part++
	}
	r.entries, r.last = nil, true
	return append(parts, r.encode())
}

const (
	maxSinglePart = 64 << 10
	maxPart       = 256 << 10
)

// entrySize is at least what an entry takes in a record.
func entrySize(key string, value []byte) int { return len(key) + len(value) + 2*binary.MaxVarintLen32 }

// A replay makes the people of one node in a room of the records of its log.
type replay struct {
	node     string
	revision uint64
	people   map[string][]byte

	change  string // of which parts were seen
	next    uint64 // the part of it that comes next
	pending []hub.PresenceEntry
}

// apply takes the next record, of the life that counts.
func (p *replay) apply(r record) {
	p.node = r.node
	if r.change == "" {
		p.commit(r, r.entries)
		return
	}
	if r.part == 0 {
		p.change, p.next, p.pending = r.change, 0, nil
	}
	if r.change != p.change || r.part != p.next { // parts are missing: the change was never acknowledged
		return
	}
	p.next++
	p.pending = append(p.pending, r.entries...)
	if r.last {
		p.commit(r, p.pending)
		p.change, p.pending = "", nil
	}
}

func (p *replay) commit(r record, entries []hub.PresenceEntry) {
	if r.revision < p.revision { // it came late
		return
	}
	if r.snapshot || p.people == nil {
		p.people = make(map[string][]byte, len(entries))
	}
	p.revision = r.revision
	change(p.people, entries)
}

func change(people map[string][]byte, entries []hub.PresenceEntry) {
	for _, e := range entries {
		if e.Value == nil {
			delete(people, e.Key)
		} else {
			people[e.Key] = e.Value
		}
	}
}

// lastToken returns the last token of a subject.
func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// A writer appends fields to a message.
type writer []byte

func (w writer) number(n uint64) writer { return binary.AppendUvarint(w, n) }
func (w writer) text(s string) writer   { return append(w.number(uint64(len(s))), s...) }

// A reader takes fields from a message.
type reader struct {
	data []byte
	err  error
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.data)
	if size <= 0 {
		r.err = errRecord
		r.data = nil
		return 0
	}
	r.data = r.data[size:]
	return n
}

// bytes returns the next n bytes, never nil.
func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.err = errRecord
		r.data = nil
		return []byte{}
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

func (r *reader) text() []byte { return r.bytes(r.number()) }
