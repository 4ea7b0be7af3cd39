package transport

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A waiting is a frame of the model of a queue.
type waiting struct {
	payload string
	tag     *Tag
}

func (w waiting) size() int {
	size := len(w.payload) + len(wire.AppendHeader(nil, wire.OpText, len(w.payload)))
	if w.tag != nil {
		size = max(size, minTaggedSize)
	}
	return size
}

// place is what EnqueueTagged should do.
func place(list []waiting, limit QueueLimit, w waiting) (placed []waiting, d Displaced, ok bool) {
	placed = slices.Clone(list)
	at := slices.IndexFunc(placed, func(o waiting) bool { return w.tag.key != "" && o.tag != nil && o.tag.key == w.tag.key })
	if at >= 0 {
		placed[at] = w
		d.Replaced = 1
	} else {
		placed = append(placed, w)
	}
	for {
		bytes := 0
		for _, o := range placed {
			bytes += o.size()
		}
		if limit.Allows(len(placed), bytes) {
			return placed, d, true
		}
		i := slices.IndexFunc(placed, func(o waiting) bool { return o.tag != nil && o.tag.droppable && o.payload != w.payload })
		if i < 0 || !w.tag.droppable {
			return list, Displaced{}, false
		}
		placed = slices.Delete(placed, i, i+1)
		d.Dropped++
	}
}

// Frames that are replaced and dropped leave the others as they were, and what has begun to be
// written is written.
func TestReplaceAndDrop(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test can be repeated
		client, tr := tcpPair(t)
		limit := QueueLimit{Messages: 20 + random.IntN(300), Bytes: 4 << 20}
		if seed%2 == 0 {
			limit = QueueLimit{Messages: math.MaxInt, Bytes: 2000 + random.IntN(20000)}
		}
		begun := fill(t, tr) // the socket takes nothing more
		_, base := tr.Queued()
		limit.Bytes += base
		limit.Messages += min(1, math.MaxInt-limit.Messages)
		inner := QueueLimit{Messages: limit.Messages, Bytes: limit.Bytes - base}
		if inner.Messages != math.MaxInt {
			inner.Messages--
		}
		var want []waiting
		for i := range 2000 {
			w := waiting{payload: fmt.Sprint(i, " ", strings.Repeat("x", random.IntN(200)))}
			frame := Frame{Bytes: append(wire.AppendHeader(nil, wire.OpText, len(w.payload)), w.payload...)}
			if random.IntN(4) == 0 {
				_, err := tr.Enqueue(limit, []Frame{frame})
				if err == nil {
					want = append(want, w)
				}
				continue
			}
			key, droppable := "", random.IntN(2) == 0
			if random.IntN(2) == 0 {
				key = fmt.Sprint("key ", random.IntN(30))
			}
			w.tag = NewTag(key, droppable)
			d, err := tr.EnqueueTagged(limit, frame, w.tag)
			placed, expected, ok := place(want, inner, w)
			require.Equal(t, ok, err == nil, "seed %d, %d: %v", seed, i, err)
			require.Equal(t, expected, d, "seed %d, %d", seed, i)
			want = placed
		}
		messages, _ := tr.Queued()
		assert.Equal(t, len(want)+1, messages)
		_, err := io.CopyN(io.Discard, client, int64(begun))
		require.NoError(t, err)
		for _, w := range want {
			require.Equal(t, w.payload, string(readFrame(t, client)), "seed %d", seed)
		}
		end(tr)
	}
}

// fill enqueues one frame that is longer than the socket takes, and returns its length.
func fill(t *testing.T, tr *Conn) int {
	t.Helper()
	frame, err := enqueue(tr, make([]byte, 0))
	require.NoError(t, err)
	long := Frame{Bytes: append(wire.AppendHeader(nil, wire.OpBinary, 32<<20), make([]byte, 32<<20)...)}
	_, err = tr.Enqueue(QueueLimit{Messages: math.MaxInt, Bytes: math.MaxInt}, []Frame{long})
	require.NoError(t, err)
	tr.Flush()
	before := -1
	require.Eventually(t, func() bool {
		_, now := tr.Queued()
		same := now == before
		before = now
		return same
	}, 20*time.Second, 50*time.Millisecond)
	return len(frame) + len(long.Bytes)
}

// The index finds what a search finds, whatever is added, replaced, dropped and written.
func TestIndexFindsWhatASearchFinds(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test can be repeated
		_, tr := tcpPair(t)
		q := tr.queue.Get(func() *queue { return new(queue) })
		limit := QueueLimit{Messages: 40 + random.IntN(400), Bytes: 1 << 20}
		key := func() string { return fmt.Sprint("key ", random.IntN(50+int(seed)*20)) }
		mixed := seed%2 == 0 // not all frames may be dropped
		indexed := 0
		for i := range 5000 {
			frame := Frame{Bytes: append(wire.AppendHeader(nil, wire.OpText, 100), make([]byte, 100)...)}
			switch n := random.IntN(50); {
			case n < 10 && mixed:
				_, _ = tr.Enqueue(limit, []Frame{frame})
			case n < 48:
				_, _ = tr.EnqueueTagged(limit, frame, NewTag(key(), !mixed || random.IntN(3) == 0))
			case len(q.segments) > 0:
				b := q.next(random.IntN(3) == 0)
				if n == 49 { // a frame comes while others with its key are being written
					_, _ = tr.EnqueueTagged(limit, frame, NewTag(key(), true))
				}
				q.written(tr, random.IntN(len(b.p)+1))
				b.release()
			}
			tag := NewTag(key(), false)
			want := -1
			for at := range q.segments[q.taken:] {
				if at += int(q.taken); q.segments[at].tag() != nil && q.segments[at].tag().key == tag.key {
					want = at
				}
			}
			require.Equal(t, want, q.find(tag), "seed %d, %d", seed, i)
			if q.more != nil && q.more.index != nil {
				indexed++
			}
		}
		assert.Positive(t, indexed, "seed %d", seed)
		end(tr)
	}
}

// A frame with a key costs about the same, however many frames wait, and an index takes memory in
// proportion to them.
func TestKeysTakeLittleMemory(t *testing.T) {
	const keys = 10_000
	_, tr := tcpPair(t)
	limit := QueueLimit{Messages: math.MaxInt, Bytes: math.MaxInt}
	tags := make([]*Tag, keys)
	frame := Frame{Bytes: append(wire.AppendHeader(nil, wire.OpText, 1), 0)}
	for i := range tags {
		tags[i] = NewTag(fmt.Sprint("key ", i), false)
		d, err := tr.EnqueueTagged(limit, frame, tags[i])
		require.NoError(t, err)
		require.Zero(t, d)
	}
	q := tr.queue.Made()
	assert.LessOrEqual(t, 4*len(q.more.index.slots), minTaggedSize*keys/4)
	assert.Zero(t, testing.AllocsPerRun(5, func() {
		for _, tag := range tags {
			if d, err := tr.EnqueueTagged(limit, frame, tag); err != nil || d.Replaced != 1 {
				t.Fatal(d, err)
			}
		}
	}))
}
