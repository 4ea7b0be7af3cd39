package websocket

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// defaultQueueBytes holds the longest message that is read by default, with as much
// again for what the application puts around it.
const defaultQueueBytes = 2 * defaultMaxMessageSize

// A QueueLimit bounds what waits to be written to a connection: see [Conn.Enqueue]. Bytes
// bounds the memory of the queue, too, however small the messages are: besides the frames
// it takes no more than Bytes once again.
type QueueLimit struct {
	// Messages bounds the number of messages. Zero or less means no bound. Set it only
	// where messages are worth nothing when they are late: a burst may exceed it before a
	// peer that reads at once had a chance to, most of all over TLS, where a goroutine
	// has to write first.
	Messages int

	// Bytes bounds the bytes of the frames, compressed where they are. Zero means 2 MiB,
	// which holds any message of the default Options.MaxMessageSize; negative means no
	// bound.
	Bytes int
}

func (l QueueLimit) allows(messages, bytes int) bool {
	return (l.Messages <= 0 || messages <= l.Messages) &&
		(l.Bytes < 0 || bytes <= orDefault(l.Bytes, defaultQueueBytes))
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
// Writes are bounded by WriteTimeout: a peer that takes nothing for so long is gone.
// [Conn.Close], and the end of Serve, send what waits before the close frame, within
// the close timeout, unless a [Conn.NextWriter] is open. What still waits when the
// connection ends is dropped.
func (c *Conn) Enqueue(limit QueueLimit, messages ...*EncodedMessage) error {
	var few [1][]byte
	frames, err := c.framesFor(few[:0], messages)
	if err == nil {
		_, err = c.ownQueue().add(c, limit, frames)
	}
	return err
}

// EnqueueContext is Enqueue, but waits until there is room for the messages; what is
// in their way is flushed. If ctx ends first, or has ended, none is taken, and the error
// wraps the context's cause. Messages for which there can be no room are refused at
// once, with ErrQueueFull.
func (c *Conn) EnqueueContext(ctx context.Context, limit QueueLimit, messages ...*EncodedMessage) error {
	q := c.ownQueue()
	var few [1][]byte
	frames, err := c.framesFor(few[:0], messages)
	if err != nil {
		return err
	}
	for {
		if ctx.Err() != nil {
			return fmt.Errorf("websocket: enqueue: %w", context.Cause(ctx))
		}
		room, err := q.add(c, limit, frames)
		if room == nil {
			return err
		}
		c.Flush()
		select {
		case <-room:
		case <-c.t.closed.Done():
		case <-ctx.Done():
		}
	}
}

// Flush begins to write what was enqueued. It does not wait: what the socket does not
// take at once is left to a goroutine, which lives until the queue is empty. It may be
// called by any goroutine, and again and again.
func (c *Conn) Flush() {
	if q := c.queue.Load(); q != nil && q.begin() {
		c.flush(q)
	}
}

// Queued tells how much waits to be written, in messages and in bytes of their frames.
// What is being written is part of it.
func (c *Conn) Queued() (messages, bytes int) {
	q := c.queue.Load()
	if q == nil {
		return 0, 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.messages, q.bytes
}

// ownQueue returns the connection's queue, which is made when it is first needed.
func (c *Conn) ownQueue() *queue {
	if q := c.queue.Load(); q != nil {
		return q
	}
	c.queue.CompareAndSwap(nil, new(queue))
	return c.queue.Load()
}

// framesFor appends the frames of messages to frames.
func (c *Conn) framesFor(frames [][]byte, messages []*EncodedMessage) ([][]byte, error) {
	for _, m := range messages {
		frame, err := m.frameFor(c)
		if err != nil {
			return nil, err
		}
		frames = append(frames, frame)
	}
	return frames, nil
}

// A queue is what waits to be written to a connection. One goroutine at a time, the
// flusher, writes it.
type queue struct {
	mu       sync.Mutex
	strips   []strip
	one      [1]strip // memory for strips, enough for a quiet connection
	messages int
	bytes    int      // of frames
	awaited  *awaited // nil unless somebody waits
	taken    int32    // strips at the front that are being written
	flushing bool
}

// A strip is one frame, in memory that all connections share that it is written to. In a
// long queue it is several small frames, in memory of its own.
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

// awaited is what somebody waits for.
type awaited struct {
	idle chan struct{} // closed when nobody is flushing any more; nil if that is not awaited
	room chan struct{} // closed when there is more room; likewise
}

// add takes in frames, or none. With ErrQueueFull it returns a channel that is closed
// when there is more room; nil if there will never be enough.
func (q *queue) add(c *Conn, limit QueueLimit, frames [][]byte) (room <-chan struct{}, err error) {
	bytes := 0
	for _, frame := range frames {
		bytes += len(frame)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := c.t.unwritable(); err != nil {
		return nil, err
	}
	if c.t.has(factCloseCalled) && c.group.begun.IsSet() {
		return nil, ErrCloseSent // it is as good as that
	}
	if !limit.allows(q.messages+len(frames), q.bytes+bytes) {
		switch {
		case slices.ContainsFunc(frames, func(frame []byte) bool { return !limit.allows(1, len(frame)) }):
			return nil, errMessageTooBig
		case !limit.allows(len(frames), bytes):
			return nil, ErrQueueFull
		}
		return awaitIn(&q.await().room), ErrQueueFull
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
	p              []byte
	strips, frames int
	joined         *batchBuffer // p's memory; nil for that of a single strip
}

func (b batch) giveBack() {
	if b.joined != nil {
		batchBuffers.Put(b.joined)
	}
}

// take returns what is to be written now; there is something. It stays in the queue.
func (q *queue) take() (b batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.strips) == 1 || len(q.strips[0].p)+len(q.strips[1].p) > batchMax {
		return q.takeFirst()
	}
	b.joined = batchBuffers.Get().(*batchBuffer) //nolint:errcheck // it is
	b.p = b.joined[:0]
	for _, s := range q.strips {
		if len(b.p)+len(s.p) > batchMax {
			break
		}
		b.p = append(b.p, s.p...)
		b.strips++
		b.frames += s.frames
	}
	q.taken = int32(b.strips)
	return b
}

// takeFirst returns the first strip as a batch. The mutex is held.
func (q *queue) takeFirst() batch {
	q.taken = 1
	return batch{p: q.strips[0].p, strips: 1, frames: q.strips[0].frames}
}

// trim removes the strips of a batch that are within its first n bytes, and says how many
// frames they were. It returns the next strip as a batch, with the number of its bytes that
// are within them too. The batch needs no memory but the strip's, and gives its own back.
func (q *queue) trim(b batch, n int) (rest batch, written, whole int) {
	b.giveBack()
	q.mu.Lock()
	defer q.mu.Unlock()
	strips := 0
	for ; n >= len(q.strips[strips].p); strips++ {
		n -= len(q.strips[strips].p)
		whole += q.strips[strips].frames
	}
	q.drop(strips)
	return q.takeFirst(), n, whole
}

// written takes a batch out of the queue and reports whether there is more. If not, the
// caller is not the flusher any more.
func (q *queue) written(b batch) (more bool) {
	b.giveBack()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(b.strips)
	if len(q.strips) == 0 {
		q.rest()
		return false
	}
	return true
}

// abandon forgets what waits, because nothing can be written any more.
func (q *queue) abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drop(len(q.strips))
	q.rest()
}

// drop takes out the first n strips, and all that were taken have been written. The mutex
// is held.
func (q *queue) drop(n int) {
	for i := range n {
		q.bytes -= len(q.strips[i].p)
		q.messages -= q.strips[i].frames
		q.strips[i] = strip{}
	}
	q.strips = q.strips[n:]
	q.taken = 0
	if n > 0 && q.awaited != nil {
		tell(&q.awaited.room)
	}
}

func (q *queue) await() *awaited {
	if q.awaited == nil {
		q.awaited = new(awaited)
	}
	return q.awaited
}

// awaitIn returns the channel, which it makes for the first who waits.
func awaitIn(c *chan struct{}) <-chan struct{} {
	if *c == nil {
		*c = make(chan struct{})
	}
	return *c
}

// tell wakes who waits on the channel, if anybody does.
func tell(c *chan struct{}) {
	if *c != nil {
		close(*c)
		*c = nil
	}
}

// rest ends the flushing. The mutex is held.
func (q *queue) rest() {
	q.strips, q.one = nil, [1]strip{} // which keeps what it had when it became too small
	q.flushing = false
	if q.awaited != nil {
		tell(&q.awaited.idle)
		if q.awaited.room == nil {
			q.awaited = nil
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
	return awaitIn(&q.await().idle)
}
