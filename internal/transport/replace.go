package transport

import (
	"hash/maphash"

	ws "github.com/gorilla/websocket"
)

// A Tag says what may become of a frame while it waits in a queue. Many connections share it.
type Tag struct {
	key       string   // not empty: a later frame with the same key takes its place
	hash      uint32   // of key
	droppable bool     // it may be dropped to make room for a later one that is droppable, too
	content   *Content // of all frames with this tag whose message does not matter; never changed
}

// NewTag returns a Tag. The empty key is none.
func NewTag(key string, droppable bool) *Tag {
	hash := uint32(maphash.String(hashSeed, key)) //nolint:gosec // the lower half of its bits
	tag := &Tag{key: key, hash: hash, droppable: droppable, content: new(Content)}
	tag.content.tag = tag
	return tag
}

// Displaced counts what waits no longer because of a later frame.
type Displaced struct {
	Replaced int // by a frame with the same key: 0 or 1
	Dropped  int // the oldest ones, to make room
}

// minTaggedSize is what a tagged frame counts at least, in bytes, because small ones are not joined.
const minTaggedSize = 64

// tag returns the tag of a frame, nil if it has none.
func (s *segment) tag() *Tag {
	if s.content == nil {
		return nil
	}
	return s.content.tag
}

func (s *segment) untag() {
	if s.tag() != nil {
		s.content = &Content{Message: s.content.Message}
	}
}

// size returns what the segment counts in the queue, in bytes.
func (s *segment) size() int {
	if s.tag() == nil {
		return len(s.p)
	}
	return max(len(s.p), minTaggedSize)
}

// EnqueueTagged is Enqueue for one frame, which may take the place of waiting frames that have not
// begun to be written: the frame with the same key and, if there is no room and the new frame is
// droppable, the oldest droppable frames. With an error, the queue is as it was.
func (t *Conn) EnqueueTagged(limit QueueLimit, frame Frame, tag *Tag) (Displaced, error) {
	content := tag.content // segments without a tag, which are most, have no room for one
	if frame.Content != nil && t.takesOver() {
		content = &Content{Message: frame.Content.Message, tag: tag}
	}
	s := segment{p: frame.Bytes, content: content}
	return t.queue.Get(func() *queue { return new(queue) }).place(t, limit, s)
}

// place is Conn.EnqueueTagged.
func (q *queue) place(t *Conn, limit QueueLimit, s segment) (d Displaced, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch err := t.Unwritable(); {
	case err != nil:
		return d, err
	case t.has(factQueueClosed):
		return d, ws.ErrCloseSent // it is about to be
	case !limit.Allows(1, s.size()):
		return d, ErrFrameTooBig
	}
	messagesBefore, bytesBefore := q.messages, q.bytes
	messages, bytes := q.messages+1, q.bytes+s.size()
	old := q.find(s.tag())
	if old >= 0 {
		messages, bytes = messages-1, bytes-q.segments[old].size()
	}
	drop, end := q.droppable(limit, messages, bytes, old, s.tag())
	switch {
	case end < 0:
		return d, ErrQueueFull
	case old >= 0: // in the same place: the later one waits no longer than the earlier one would have
		q.bytes += s.size() - q.segments[old].size()
		q.segments[old] = s
		d.Replaced = 1
	default:
		if len(q.segments) == 0 {
			q.segments = q.inline[:0]
		}
		q.segments = append(q.segments, s)
		q.messages++
		q.bytes += s.size()
		if q.more != nil {
			q.more.added(q)
		}
	}
	q.drop(drop, end, old)
	d.Dropped = drop
	if q.more != nil && (q.messages < messagesBefore || q.bytes < bytesBefore) {
		notify(&q.more.room)
	}
	return d, nil
}

// find returns the index of the last frame with the key of a tag that has not begun to be written, -1
// without one.
func (q *queue) find(tag *Tag) int {
	switch {
	case tag.key == "":
		return -1
	case len(q.segments) >= indexFrom:
		return q.details().find(q, tag)
	}
	for i := len(q.segments) - 1; i >= int(q.taken); i-- {
		if q.segments[i].hasKeyOf(tag) {
			return i
		}
	}
	return -1
}

func (s *segment) hasKeyOf(tag *Tag) bool {
	own := s.tag()
	return own != nil && own.hash == tag.hash && own.key == tag.key
}

// droppable returns how many of the oldest droppable frames, except the one at an index, have to be
// dropped to bring a queue of the given size within the limit, and the index behind the last of
// them. That index is negative if dropping them all is not enough.
func (q *queue) droppable(limit QueueLimit, messages, bytes, except int, tag *Tag) (n, end int) {
	for i := int(q.taken); !limit.Allows(messages, bytes); i++ {
		if !tag.droppable || i >= len(q.segments) {
			return 0, -1
		}
		if i != except && q.isDroppable(i) {
			messages, bytes = messages-1, bytes-q.segments[i].size()
			n, end = n+1, i+1
		}
	}
	return n, end
}

func (q *queue) isDroppable(i int) bool {
	tag := q.segments[i].tag()
	return tag != nil && tag.droppable
}

// drop removes the n droppable frames before the index end, except the one at another index. The
// frames before end that stay move up to it: there are mostly fewer of them than of frames behind it.
func (q *queue) drop(n, end, except int) {
	if n == 0 {
		return
	}
	to := end
	for i := end - 1; i >= 0; i-- {
		if i >= int(q.taken) && i != except && q.isDroppable(i) {
			q.messages--
			q.bytes -= q.segments[i].size()
			continue
		}
		to--
		q.segments[to] = q.segments[i]
	}
	clear(q.segments[:to]) // lest the memory of segments keeps the frames
	q.segments = q.segments[to:]
	if q.more != nil {
		q.more.removed(to)
		if to < end {
			q.more.index = nil // frames have other numbers
		}
	}
}
