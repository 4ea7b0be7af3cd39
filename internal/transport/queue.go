package transport

import (
	"errors"
	"slices"
	"sync"

	ws "github.com/gorilla/websocket"
)

// A queue has the frames that wait to be written to a connection. Any goroutine may add to it; one
// at a time, the flusher, writes it: see flush.go. The zero value is empty.
type queue struct {
	mu       sync.Mutex // held over memory only; guards all fields
	segments []segment
	inline   [1]segment // memory for segments, enough for a quiet connection
	messages int
	bytes    int      // of frames
	more     *details // nil for most
	taken    int32    // segments at the front that are being written
	flushing bool     // there is a flusher
}

// A Frame is a whole message as it is written, in one frame. It is in the memory of the
// message, which many connections share.
type Frame struct {
	Bytes   []byte   // with its header
	Content *Content // nil if the message is not compressed
}

// Content is what was compressed, by deflate.CompressAlone.
type Content struct {
	Message []byte

	joined int  // frames of a segment in memory of its own
	tag    *Tag // of one frame; nil: it waits until it is written
}

// A segment is one frame, or what is left of it. In a long queue it is several small frames, in
// memory of its own.
type segment struct {
	p       []byte   // which is not written yet
	content *Content // nil: it is one frame without a tag, whose content is not needed
}

// frames returns the number of frames.
func (s *segment) frames() int {
	if s.content == nil {
		return 1
	}
	return max(s.content.joined, 1)
}

const (
	// joinFrom is how many segments a queue has before it joins small frames.
	joinFrom = 64

	// joinedFrameMax is the length in bytes up to which a frame is joined with others: a segment
	// of its own would take as much memory, with what append reserves. joinedContentMax bounds
	// its content likewise.
	joinedFrameMax, joinedContentMax = 64, 128

	// joinedSize is the size in bytes of a segment of joined frames.
	joinedSize = 1 << 10
)

// A QueueLimit bounds what waits in a queue. Zero allows nothing.
type QueueLimit struct{ Messages, Bytes int }

// Allows reports whether a queue may have this many messages and bytes of frames.
func (l QueueLimit) Allows(messages, bytes int) bool {
	return messages <= l.Messages && bytes <= l.Bytes
}

// Errors of Conn.Enqueue, which has taken none of the frames then.
var (
	ErrQueueFull   = errors.New("websocket: queue is full")
	ErrFrameTooBig = errors.New("websocket: frame is longer than the limit of the queue")
)

// details are what few queues have. A channel is nil if no goroutine waits for it.
type details struct {
	idle  chan struct{} // closed when there is no flusher any more
	room  chan struct{} // closed when there is more room
	index *index        // nil: it is not needed
}

// Enqueue adds whole frames, each of them a message, to the queue, or none of them. Flush begins
// to write them. The frames must not be changed later. Any goroutine may call it.
//
// If it returns ErrQueueFull, room is closed when there is more room, and nil if there will never
// be enough. ErrFrameTooBig means that a single frame exceeds the limit. Other errors say why
// nothing can be written any more.
func (t *Conn) Enqueue(limit QueueLimit, frames []Frame) (room <-chan struct{}, err error) {
	return t.queue.Get(func() *queue { return new(queue) }).add(t, limit, frames)
}

// Queued returns the number of messages in the queue, and of bytes of their frames. A message
// that is being written counts until it is written. Any goroutine may call it.
func (t *Conn) Queued() (messages, bytes int) {
	q := t.queue.Made()
	if q == nil {
		return 0, 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.messages, q.bytes
}

// add is Conn.Enqueue.
func (q *queue) add(t *Conn, limit QueueLimit, frames []Frame) (room <-chan struct{}, err error) {
	bytes := 0
	for _, frame := range frames {
		bytes += len(frame.Bytes)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch err := t.Unwritable(); {
	case err != nil:
		return nil, err
	case t.has(factQueueClosed):
		return nil, ws.ErrCloseSent // it is about to be
	case limit.Allows(q.messages+len(frames), q.bytes+bytes):
	case slices.ContainsFunc(frames, func(frame Frame) bool { return !limit.Allows(1, len(frame.Bytes)) }):
		return nil, ErrFrameTooBig
	case !limit.Allows(len(frames), bytes):
		return nil, ErrQueueFull
	default:
		return waitChan(&q.details().room), ErrQueueFull
	}
	if len(q.segments) == 0 {
		q.segments = q.inline[:0]
	}
	q.segments = slices.Grow(q.segments, min(len(frames), joinFrom)) // small frames may need no more
	for _, frame := range frames {
		if !t.takesOver() {
			frame.Content = nil
		}
		q.push(segment{p: frame.Bytes, content: frame.Content})
	}
	q.messages += len(frames)
	q.bytes += bytes
	return nil, nil
}

// push appends a frame. In a long queue it joins small ones, because their segments would need
// more memory than the frames themselves. The mutex is held.
func (q *queue) push(frame segment) {
	if len(q.segments) >= joinFrom && len(q.segments) > int(q.taken) && frame.canJoin() {
		last := &q.segments[len(q.segments)-1]
		switch {
		case last.frames() > 1 && len(last.p)+len(frame.p) <= joinedSize:
			last.join(frame)
			return
		case last.frames() == 1 && last.canJoin():
			first := *last
			*last = segment{p: make([]byte, 0, joinedSize), content: new(Content)}
			last.join(first)
			last.join(frame)
			return
		}
	}
	q.segments = append(q.segments, frame)
}

// canJoin reports whether a frame is small enough to be joined with others.
func (s *segment) canJoin() bool {
	return s.tag() == nil && len(s.p) <= joinedFrameMax && (s.content == nil || len(s.content.Message) <= joinedContentMax)
}

// join appends a frame to the segment, which has memory of its own.
func (s *segment) join(frame segment) {
	s.p = append(s.p, frame.p...)
	s.content.joined++
	if frame.content != nil {
		s.content.Message = append(s.content.Message, frame.content.Message...)
	}
}

// begin makes the caller the flusher. It reports false if there is one, or nothing to write.
func (q *queue) begin() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.flushing || len(q.segments) == 0 {
		return false
	}
	q.flushing = true
	return true
}

// batchMax is how many bytes of frames are written at once. A longer frame is a batch of its own.
const batchMax = 32 << 10

type batchBuffer [batchMax]byte

var batchBuffers = sync.Pool{New: func() any { return new(batchBuffer) }}

// A batch is segments that are written at once.
type batch struct {
	p      []byte
	joined *batchBuffer // the memory of p; nil if that is the memory of a single segment
}

func (b batch) release() {
	if b.joined != nil {
		batchBuffers.Put(b.joined)
	}
}

// next returns what the flusher is to write next, or the first segment alone, which takes no
// memory. It stays in the queue, which is not empty, until written removes it.
func (q *queue) next(single bool) (b batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if single || len(q.segments) == 1 || len(q.segments[0].p)+len(q.segments[1].p) > batchMax {
		q.taken = 1
		return batch{p: q.segments[0].p}
	}
	b.joined = batchBuffers.Get().(*batchBuffer) //nolint:errcheck // it is
	b.p = b.joined[:0]
	q.taken = 0
	for _, s := range q.segments {
		if len(b.p)+len(s.p) > batchMax {
			break
		}
		b.p = append(b.p, s.p...)
		q.taken++
	}
	return b
}

// written removes the first n bytes of the queue, which the flusher has written, and counts the
// messages that end in them. It reports whether there is more. If there is not, the caller is
// not the flusher any more.
func (q *queue) written(t *Conn, n int) (more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	whole, messages := 0, 0
	for whole < len(q.segments) && n >= len(q.segments[whole].p) {
		s := &q.segments[whole]
		n -= len(s.p)
		messages += s.frames()
		if s.content != nil && len(s.content.Message) > 0 {
			t.enterSent(s.content.Message)
		}
		whole++
	}
	q.remove(whole)
	if n > 0 {
		s := &q.segments[0]
		q.bytes -= s.size()
		s.p = s.p[n:]
		s.untag() // a frame that has begun stays
		q.bytes += s.size()
	}
	t.sent(uint64(messages)) //nolint:gosec // it is not negative
	if len(q.segments) == 0 {
		q.endFlush()
		return false
	}
	return true
}

// abandon empties the queue because nothing can be written any more. The caller was the flusher.
func (q *queue) abandon() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remove(len(q.segments))
	q.endFlush()
}

// remove removes the first n segments. No segment is being written any more. The mutex is held.
func (q *queue) remove(n int) {
	for i := range n {
		q.bytes -= q.segments[i].size()
		q.messages -= q.segments[i].frames()
		q.segments[i] = segment{} // lest the memory of segments keeps the frame
	}
	q.segments = q.segments[n:]
	q.taken = 0
	if n > 0 && q.more != nil {
		q.more.removed(n)
		notify(&q.more.room)
	}
}

// endFlush notes that there is no flusher any more. The queue is empty, the mutex is held.
func (q *queue) endFlush() {
	q.segments, q.inline = nil, [1]segment{} // inline keeps a frame where segments has outgrown it
	q.flushing = false
	if q.more != nil {
		notify(&q.more.idle)
		q.more.index = nil
		if q.more.room == nil {
			q.more = nil
		}
	}
}

// flushed returns a channel that is closed when there is no flusher any more, nil if there is
// none.
func (q *queue) flushed() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.flushing {
		return nil
	}
	return waitChan(&q.details().idle)
}

// details returns the details, which are made when they are needed. The mutex is held.
func (q *queue) details() *details {
	if q.more == nil {
		q.more = new(details)
	}
	return q.more
}

// waitChan returns a channel to wait on, which is made for the first waiter.
func waitChan(c *chan struct{}) <-chan struct{} {
	if *c == nil {
		*c = make(chan struct{})
	}
	return *c
}

// notify wakes the goroutines that wait on a channel, if there are any.
func notify(c *chan struct{}) {
	if *c != nil {
		close(*c)
		*c = nil
	}
}
