package transport

import (
	"errors"
	"slices"
	"sync"

	ws "github.com/gorilla/websocket"
)

// A queue is what waits to be written to a connection. One goroutine at a time, the
// flusher, writes it. The zero value is empty.
type queue struct {
	mu       sync.Mutex
	strips   []strip
	one      [1]strip // memory for strips, enough for a quiet connection
	messages int
	bytes    int      // of frames
	waiters  *waiters // nil without any
	taken    int32    // strips at the front that are being written
	flushing bool
}

// A strip is one frame, in memory that all connections share that it is written to, or what
// is left of one. In a long queue it is several small frames, in memory of its own.
type strip struct {
	p      []byte
	frames int
}

const (
	// fewStrips is how many strips a queue may have before it joins small frames.
	fewStrips = 64

	// smallFrameMax is the length in bytes up to which a frame is copied to a strip: one
	// of its own would take as much memory, with what append reserves.
	smallFrameMax = 64

	// stripMax is the length in bytes up to which a strip is filled with small frames.
	stripMax = 1 << 10
)

// A QueueLimit bounds what waits in a queue.
type QueueLimit struct{ Messages, Bytes int }

func (l QueueLimit) Allows(messages, bytes int) bool {
	return messages <= l.Messages && bytes <= l.Bytes
}

// Errors of enqueue. None of the frames was taken.
var (
	ErrQueueFull   = errors.New("websocket: queue is full")
	ErrFrameTooBig = errors.New("websocket: frame is longer than the limit of the queue")
)

// waiters are the channels of those who wait for something, nil where nobody does.
type waiters struct {
	idle chan struct{} // closed when nobody is flushing any more
	room chan struct{} // closed when there is more room
}

// Enqueue takes in whole frames that are to be written, or none of them. With ErrQueueFull it
// returns a channel that is closed when there is more room, nil if there will never be
// enough. ErrFrameTooBig means that a single frame exceeds the limit. Other errors say why
// nothing can be written any more.
func (t *Conn) Enqueue(limit QueueLimit, frames [][]byte) (room <-chan struct{}, err error) {
	q := t.Queue.Load()
	if q == nil {
		t.Queue.CompareAndSwap(nil, new(queue))
		q = t.Queue.Load()
	}
	return q.add(t, limit, frames)
}

// Queued returns how much waits to be written, in messages and in bytes of their frames.
// What is being written is part of it.
func (t *Conn) Queued() (messages, bytes int) {
	q := t.Queue.Load()
	if q == nil {
		return 0, 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.messages, q.bytes
}

// add is enqueue.
func (q *queue) add(t *Conn, limit QueueLimit, frames [][]byte) (room <-chan struct{}, err error) {
	bytes := 0
	for _, frame := range frames {
		bytes += len(frame)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch err := t.Unwritable(); {
	case err != nil:
		return nil, err
	case t.has(factQueueClosed):
		return nil, ws.ErrCloseSent // it is as good as that
	case limit.Allows(q.messages+len(frames), q.bytes+bytes):
	case slices.ContainsFunc(frames, func(frame []byte) bool { return !limit.Allows(1, len(frame)) }):
		return nil, ErrFrameTooBig
	case !limit.Allows(len(frames), bytes):
		return nil, ErrQueueFull
	default:
		return waitChan(&q.ownWaiters().room), ErrQueueFull
	}
	if len(q.strips) == 0 {
		q.strips = q.one[:0]
	}
	q.strips = slices.Grow(q.strips, min(len(frames), fewStrips)) // small ones may need no more
	for _, frame := range frames {
		q.put(frame)
	}
	q.messages += len(frames)
	q.bytes += bytes
	return nil, nil
}

// put appends a frame: many small ones would need more memory for their strips than for
// themselves. The mutex is held.
func (q *queue) put(frame []byte) {
	if len(q.strips) >= fewStrips && len(q.strips) > int(q.taken) && len(frame) <= smallFrameMax {
		last := &q.strips[len(q.strips)-1]
		switch {
		case last.frames > 1 && len(last.p)+len(frame) <= stripMax:
			last.p = append(last.p, frame...)
			last.frames++
			return
		case last.frames == 1 && len(last.p) <= smallFrameMax:
			last.p = append(append(make([]byte, 0, stripMax), last.p...), frame...)
			last.frames++
			return
		}
	}
	q.strips = append(q.strips, strip{p: frame, frames: 1})
}

// begin makes the caller the flusher, if there is something to do and nobody does it.
func (q *queue) begin() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.flushing || len(q.strips) == 0 {
		return false
	}
	q.flushing = true
	return true
}

// batchMax is how many bytes of frames are written at once; one longer frame is.
const batchMax = 32 << 10

type batchBuffer [batchMax]byte

var batchBuffers = sync.Pool{New: func() any { return new(batchBuffer) }}

// A batch is strips that are written at once.
type batch struct {
	p      []byte
	joined *batchBuffer // p's memory; nil for that of a single strip
}

func (b batch) giveBack() {
	if b.joined != nil {
		batchBuffers.Put(b.joined)
	}
}

// batch returns what the flusher is to write now; there is something. It stays in the
// queue.
func (q *queue) batch() (b batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.strips) == 1 || len(q.strips[0].p)+len(q.strips[1].p) > batchMax {
		q.taken = 1
		return batch{p: q.strips[0].p}
	}
	b.joined = batchBuffers.Get().(*batchBuffer) //nolint:errcheck // it is
	b.p = b.joined[:0]
	q.taken = 0
	for _, s := range q.strips {
		if len(b.p)+len(s.p) > batchMax {
			break
		}
		b.p = append(b.p, s.p...)
		q.taken++
	}
	return b
}

// first is batch for the first strip alone, which needs no more memory.
func (q *queue) first() batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taken = 1
	return batch{p: q.strips[0].p}
}

// written takes out the first n bytes, which the flusher has written, counts the messages
// that end in them, and reports whether there is more. If not, the caller is not the flusher
// any more.
func (q *queue) written(t *Conn, n int) (more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	whole, messages := 0, 0
	for whole < len(q.strips) && n >= len(q.strips[whole].p) {
		n -= len(q.strips[whole].p)
		messages += q.strips[whole].frames
		whole++
	}
	q.drop(whole)
	if n > 0 {
		q.strips[0].p = q.strips[0].p[n:]
		q.bytes -= n
	}
	t.sent(uint64(messages)) //nolint:gosec // it is not negative
	if len(q.strips) == 0 {
		q.endFlush()
		return false
	}
	return true
}

// abandon forgets what waits, because nothing can be written any more. The caller was the
// flusher.
func (q *queue) abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(len(q.strips))
	q.endFlush()
}

// drop takes out the first n strips. All that were taken have been written, as far as they
// ever will. The mutex is held.
func (q *queue) drop(n int) {
	for i := range n {
		q.bytes -= len(q.strips[i].p)
		q.messages -= q.strips[i].frames
		q.strips[i] = strip{}
	}
	q.strips = q.strips[n:]
	q.taken = 0
	if n > 0 && q.waiters != nil {
		notify(&q.waiters.room)
	}
}

// endFlush ends the flushing of a queue that is empty. The mutex is held.
func (q *queue) endFlush() {
	q.strips, q.one = nil, [1]strip{} // which keeps what it had when it became too small
	q.flushing = false
	if q.waiters != nil {
		notify(&q.waiters.idle)
		if q.waiters.room == nil {
			q.waiters = nil
		}
	}
}

// flushed returns a channel that is closed when nobody is flushing any more, nil if
// nobody is.
func (q *queue) flushed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.flushing {
		return nil
	}
	return waitChan(&q.ownWaiters().idle)
}

// ownWaiters returns the waiters, which are made for the first one. The mutex is held.
func (q *queue) ownWaiters() *waiters {
	if q.waiters == nil {
		q.waiters = new(waiters)
	}
	return q.waiters
}

// waitChan returns the channel, which it makes for the first who waits.
func waitChan(c *chan struct{}) <-chan struct{} {
	if *c == nil {
		*c = make(chan struct{})
	}
	return *c
}

// notify wakes those who wait on the channel, if anybody does.
func notify(c *chan struct{}) {
	if *c != nil {
		close(*c)
		*c = nil
	}
}
