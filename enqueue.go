package websocket

import (
	"context"
	"fmt"
	"math"

	"github.com/goyave-contrib/websocket/internal/transport"
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

// Allows reports whether so many messages, of so many bytes in their frames, may wait.
func (l QueueLimit) Allows(messages, bytes int) bool { return l.resolve().Allows(messages, bytes) }

// resolve returns what the transport's queue takes for the limit.
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
		_, err = c.add(limit, frames)
	}
	return err
}

// add adds frames to the queue. Where there is no room now, but will be, it returns a
// channel that is closed then.
func (c *Conn) add(limit QueueLimit, frames [][]byte) (room <-chan struct{}, err error) {
	room, err = c.t.Enqueue(limit.resolve(), frames)
	switch err {
	case transport.ErrQueueFull: //nolint:errorlint // they are bare
		err = ErrQueueFull
	case transport.ErrFrameTooBig:
		err = errMessageTooBig
	}
	return room, err
}

// EnqueueContext is Enqueue, but waits until there is room for the messages; what is
// in their way is flushed. If ctx ends first, or has ended, none is taken, and the error
// wraps the context's cause. Messages for which there can be no room are refused at
// once, with ErrQueueFull.
func (c *Conn) EnqueueContext(ctx context.Context, limit QueueLimit, messages ...*EncodedMessage) error {
	var few [1][]byte
	frames, err := c.framesFor(few[:0], messages)
	if err != nil {
		return err
	}
	for {
		if ctx.Err() != nil {
			return fmt.Errorf("websocket: enqueue: %w", context.Cause(ctx))
		}
		room, err := c.add(limit, frames)
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

// Flush begins to write what was enqueued. It does not wait: what the socket does not
// take at once is left to a goroutine, which lives until the queue is empty. It may be
// called by any goroutine, and again and again.
func (c *Conn) Flush() { c.t.Flush() }

// Queued tells how much waits to be written, in messages and in bytes of their frames.
// What is being written is part of it.
func (c *Conn) Queued() (messages, bytes int) { return c.t.Queued() }

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
