package websocket

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrQueueFull is the error of [Conn.Enqueue] when more would wait than its limit
// allows.
var ErrQueueFull = errors.New("websocket: too much waits to be written")

const (
	defaultQueueMessages = 256
	defaultQueueBytes    = 1 << 20
)

// A QueueLimit bounds what waits to be written to a connection: see [Conn.Enqueue].
type QueueLimit struct {
	Messages int // zero means 256
	Bytes    int // of frames, compressed where they are; zero means 1 MiB
}

func (l QueueLimit) allows(messages, bytes int) bool {
	return messages <= orDefault(l.Messages, defaultQueueMessages) && bytes <= orDefault(l.Bytes, defaultQueueBytes)
}

// Enqueue has messages written without waiting for anything: [Conn.Flush] begins to
// write them, and what the socket does not take at once leaves as soon as it does, in
// the order of the calls, several frames in one write. Between them, other writes may
// pass. It may be called by any goroutine, with any limit; one that writes to many
// connections is not held up by a peer that does not read.
//
// Either all of the messages are taken or none. ErrQueueFull means that more than the
// limit would wait then: drop them, or close the connection. Another error means that
// nothing can be written any more; it is that of [Conn.WriteMessage].
//
// Each write is bounded by WriteTimeout: a peer that takes nothing for so long is gone.
// [Conn.Close], and the end of Serve, send what waits before the close frame, within
// the close timeout.
func (c *Conn) Enqueue(limit QueueLimit, messages ...*EncodedMessage) error {
	_, err := c.enqueue(limit, messages)
	return err
}

// EnqueueContext is Enqueue, but waits until there is room for the messages. If ctx
// ends first, none is taken, and the error wraps the context's cause. Messages for
// which there can be no room are refused at once, with ErrQueueFull. Flush must have
// been called for what waits, or there will be no room.
func (c *Conn) EnqueueContext(ctx context.Context, limit QueueLimit, messages ...*EncodedMessage) error {
	for {
		room, err := c.enqueue(limit, messages)
		if room == nil {
			return err
		}
		select {
		case <-room:
		case <-c.t.closed:
		case <-ctx.Done():
			return fmt.Errorf("websocket: enqueue: %w", context.Cause(ctx))
		}
	}
}

// Flush begins to write what was enqueued. It does not wait: what the socket does not
// take at once is left to a goroutine, which lives until the queue is empty.
func (c *Conn) Flush() {
	if q := c.queue.Load(); q != nil && q.begin() {
		c.flush(q)
	}
}

// Queued tells how much waits to be written.
func (c *Conn) Queued() (messages, bytes int) {
	q := c.queue.Load()
	if q == nil {
		return 0, 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.frames), q.bytes
}

// enqueue returns, with ErrQueueFull, a channel that is closed when there is more room;
// nil if there will never be enough.
func (c *Conn) enqueue(limit QueueLimit, messages []*EncodedMessage) (room <-chan struct{}, err error) {
	q := c.queue.Load()
	if q == nil {
		c.queue.CompareAndSwap(nil, new(queue))
		q = c.queue.Load()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if c.closing.Load() != nil {
		return nil, ErrCloseSent // it is as good as that
	}
	if err := c.t.unwritable(); err != nil {
		return nil, err
	}
	return q.add(c, limit, messages)
}

// A queue is what waits to be written to a connection. One goroutine at a time, the
// flusher, writes it.
type queue struct {
	mu       sync.Mutex
	frames   [][]byte
	few      [2][]byte // memory for frames, which suffices a quiet connection
	bytes    int       // of frames
	flushing bool
	idle     chan struct{} // closed when nobody is flushing; nil unless somebody waits
	room     chan struct{} // closed when there is more room; nil unless somebody waits
}

// add takes in all of the messages or none. The mutex is held.
func (q *queue) add(c *Conn, limit QueueLimit, messages []*EncodedMessage) (room <-chan struct{}, err error) {
	before, bytes := len(q.frames), 0
	if before == 0 {
		q.frames = q.few[:0]
	}
	for _, m := range messages {
		frame, err := m.frameFor(c)
		if err != nil {
			q.takeBack(before)
			return nil, err
		}
		q.frames = append(q.frames, frame)
		bytes += len(frame)
	}
	if limit.allows(len(q.frames), q.bytes+bytes) {
		q.bytes += bytes
		return nil, nil
	}
	q.takeBack(before)
	if !limit.allows(len(messages), bytes) {
		return nil, ErrQueueFull
	}
	if q.room == nil {
		q.room = make(chan struct{})
	}
	return q.room, ErrQueueFull
}

func (q *queue) takeBack(n int) {
	clear(q.frames[n:])
	q.frames = q.frames[:n]
}

// begin makes the caller the flusher, if there is something to do and nobody does it.
func (q *queue) begin() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.flushing || len(q.frames) == 0 {
		return false
	}
	q.flushing = true
	return true
}

// batchMax is how many bytes of frames are written at once; one longer frame is.
const batchMax = 32 << 10

type batchBuffer [batchMax]byte

var batchBuffers = sync.Pool{New: func() any { return new(batchBuffer) }}

// A batch is frames that are written at once.
type batch struct {
	p      []byte
	frames int
	joined *batchBuffer // p's memory; nil for that of a single frame
}

func (b batch) giveBack() {
	if b.joined != nil {
		batchBuffers.Put(b.joined)
	}
}

// next takes out of the queue what was written and returns what is to be written now.
// Where there is nothing, the caller is not the flusher any more.
func (q *queue) next(written batch) (b batch, ok bool) {
	written.giveBack()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(written.frames)
	switch {
	case len(q.frames) == 0:
		q.rest()
		return batch{}, false
	case len(q.frames) == 1, len(q.frames[0])+len(q.frames[1]) > batchMax:
		return batch{p: q.frames[0], frames: 1}, true
	}
	b.joined = batchBuffers.Get().(*batchBuffer) //nolint:errcheck // it is
	b.p = b.joined[:0]
	for _, frame := range q.frames {
		if len(b.p)+len(frame) > batchMax {
			break
		}
		b.p = append(b.p, frame...)
		b.frames++
	}
	return b, true
}

// abandon forgets what waits, because nothing can be written any more.
func (q *queue) abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(len(q.frames))
	q.rest()
}

// drop takes out the first n frames. The mutex is held.
func (q *queue) drop(n int) {
	for i := range n {
		q.bytes -= len(q.frames[i])
		q.frames[i] = nil
	}
	q.frames = q.frames[n:]
	if n > 0 && q.room != nil {
		close(q.room)
		q.room = nil
	}
}

// rest ends the flushing. The mutex is held.
func (q *queue) rest() {
	q.frames = nil
	q.flushing = false
	if q.idle != nil {
		close(q.idle)
		q.idle = nil
	}
}

// flushed returns a channel that is closed when nobody is flushing any more, nil if
// nobody is.
func (q *queue) flushed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.flushing && q.idle == nil {
		q.idle = make(chan struct{})
	}
	return q.idle
}
