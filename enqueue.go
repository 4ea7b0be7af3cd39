package websocket

import (
	"context"
	"fmt"
	"math"

	"github.com/goyave-contrib/websocket/internal/transport"
)

// defaultQueueBytes has room for the longest message that is read by default, and as much again
// for what the application adds to it.
const defaultQueueBytes = 2 * defaultMaxMessageSize

// A QueueLimit bounds the messages that wait to be written to a connection: see
// [Conn.Enqueue]. The zero value is a limit of 2 MiB.
type QueueLimit struct {
	// Messages is the largest number of waiting messages. Zero or less means no limit. Set it
	// only for messages that are worthless when they are late: a burst may exceed it before
	// even a fast peer had a chance to read, most of all over TLS, where a goroutine has to
	// write first.
	Messages int

	// Bytes is the largest size of the waiting frames, after compression, in bytes. The queue
	// itself takes at most as much memory again, however small the messages are. Zero means
	// 2 MiB, enough for any message of the default Options.MaxMessageSize. Negative means no
	// limit.
	Bytes int
}

// Allows reports whether the given number of messages, with frames of the given size in bytes,
// may wait at the same time.
func (l QueueLimit) Allows(messages, bytes int) bool { return l.resolve().Allows(messages, bytes) }

// resolve returns the limit for the transport, in which zero has no special meaning.
func (l QueueLimit) resolve() transport.QueueLimit {
	r := transport.QueueLimit(l)
	if l.Messages <= 0 {
		r.Messages = math.MaxInt
	}
	switch {
	case l.Bytes == 0:
		r.Bytes = defaultQueueBytes
	case l.Bytes < 0:
		r.Bytes = math.MaxInt
	}
	return r
}

// Enqueue adds messages to the queue of the connection and returns without waiting. [Conn.Flush]
// starts to write the queue. Messages leave in the order in which they were enqueued, several
// frames in one write; other writes may be sent between them. Enqueue may be called from any
// goroutine, with a different limit each time. A goroutine that writes to many connections is
// never delayed by a peer that does not read.
//
// Enqueue takes all of the messages or none. It returns ErrQueueFull if more than the limit
// would be waiting: the caller may drop the messages or close the connection. It returns an
// error of [Conn.WriteMessage] if nothing can be written any more.
//
// WriteTimeout bounds the writes: a peer that takes nothing for so long is gone. [Conn.Close]
// and the end of Serve write the queue before the close frame, within the close timeout,
// unless a writer of [Conn.NextWriter] is open. Messages that still wait when the connection
// ends are dropped.
func (c *Conn) Enqueue(limit QueueLimit, messages ...*EncodedMessage) error {
	var one [1]transport.Frame // saves an allocation for a single message
	frames, err := c.framesFor(one[:0], messages)
	if err == nil {
		_, err = c.enqueueFrames(limit, frames)
	}
	return err
}

// enqueueFrames adds frames to the queue. If they don't fit now but will later, it returns a
// channel that is closed when there is more room.
func (c *Conn) enqueueFrames(limit QueueLimit, frames []transport.Frame) (room <-chan struct{}, err error) {
	room, err = c.t.Enqueue(limit.resolve(), frames)
	return room, queueError(err)
}

// queueError returns an error of the transport's queue as one of Enqueue.
func queueError(err error) error {
	switch err {
	case transport.ErrQueueFull: //nolint:errorlint // the transport does not wrap them
		return ErrQueueFull
	case transport.ErrFrameTooBig:
		return errMessageTooBig
	default:
		return err
	}
}

// EnqueueContext is Enqueue, but waits until there is room for the messages, and flushes the
// queue to make room. If ctx ends first, or has already ended, it enqueues none of the
// messages, and the error wraps the context's cause. If there can never be room for the
// messages, it returns ErrQueueFull at once.
func (c *Conn) EnqueueContext(ctx context.Context, limit QueueLimit, messages ...*EncodedMessage) error {
	var one [1]transport.Frame // saves an allocation for a single message
	frames, err := c.framesFor(one[:0], messages)
	if err != nil {
		return err
	}
	for {
		if ctx.Err() != nil {
			return fmt.Errorf("websocket: enqueue: %w", context.Cause(ctx))
		}
		room, err := c.enqueueFrames(limit, frames)
		if room == nil {
			return err
		}
		c.Flush()
		select {
		case <-room:
		case <-c.t.Closed():
		case <-ctx.Done():
		}
	}
}

// A Replacement says which waiting messages a message may take the place of: see
// [Conn.EnqueueReplacing]. [NewReplacement] makes one; the zero value replaces nothing. Any number of
// messages, connections and goroutines may use it.
type Replacement struct{ tag *transport.Tag }

// NewReplacement returns a Replacement. With a key, a message takes the place of the waiting message
// that was enqueued with the same key, such as an earlier price. The empty key is none. With
// dropOldest, a message that does not fit takes the place of the oldest waiting messages that were
// enqueued with dropOldest, too.
func NewReplacement(key string, dropOldest bool) *Replacement {
	return &Replacement{transport.NewTag(key, dropOldest)}
}

// Displaced counts the waiting messages that will not be sent, because a later one took their place.
type Displaced struct {
	Replaced int // messages with the same key: 0 or 1
	Dropped  int // the oldest messages
}

// EnqueueReplacing is [Conn.Enqueue] for one message, which may take the place of others that wait
// and have not begun to be written. A message with a key is written in the place of the earlier
// one, ahead of what was enqueued in between, so that it waits no longer than the earlier one would
// have. With a nil replacement, EnqueueReplacing is Enqueue.
//
// If there is no room nevertheless, EnqueueReplacing returns ErrQueueFull, and the queue is as it
// was. It returns the other errors of Enqueue as well. In the queue, a message that may be replaced or
// dropped counts at least 64 bytes.
func (c *Conn) EnqueueReplacing(limit QueueLimit, message *EncodedMessage, replacement *Replacement) (Displaced, error) {
	if replacement == nil || replacement.tag == nil {
		return Displaced{}, c.Enqueue(limit, message)
	}
	frame, err := message.frameFor(c)
	if err != nil {
		return Displaced{}, err
	}
	displaced, err := c.t.EnqueueTagged(limit.resolve(), frame, replacement.tag)
	return Displaced(displaced), queueError(err)
}

// Flush starts to write the queue, and returns without waiting. A goroutine writes what the
// socket does not take at once, and ends when the queue is empty. Flush may be called from any
// goroutine, any number of times.
func (c *Conn) Flush() { c.t.Flush() }

// Queued returns the size of the queue, in messages and in bytes of their frames, including
// what is being written. It may be called from any goroutine.
func (c *Conn) Queued() (messages, bytes int) { return c.t.Queued() }

// framesFor appends the frame of each message to frames.
func (c *Conn) framesFor(frames []transport.Frame, messages []*EncodedMessage) ([]transport.Frame, error) {
	for _, m := range messages {
		frame, err := m.frameFor(c)
		if err != nil {
			return nil, err
		}
		frames = append(frames, frame)
	}
	return frames, nil
}
