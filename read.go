package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// noMessage is the message type that comes with an error, as gorilla has it.
const noMessage = -1

// ReadMessage reads the next message. The slice is the caller's. The type is
// TextMessage or BinaryMessage, -1 with an error.
//
// The error is a *CloseError, not wrapped, when the peer sent a close frame; it has
// code 1006 when the peer hung up without one. When the Endpoint shuts down, the error
// is ErrShutdown, and from the moment [Conn.Close] is called no message is returned.
// Every error is final: see [Conn].
func (c *Conn) ReadMessage() (messageType int, p []byte, err error) {
	return c.ReadMessageContext(context.Background())
}

// ReadMessageContext is ReadMessage bounded by a context. If ctx ends while the
// read waits, the connection ends with it: this read and every later one fail
// with an error that wraps the context's cause, and all that is left is to write
// and to close.
func (c *Conn) ReadMessageContext(ctx context.Context) (messageType int, p []byte, err error) {
	if messageType, p, err = c.readWhole(ctx, false); p != nil || err != nil {
		return messageType, p, err
	}
	return c.readAll(ctx)
}

// readAll reads the next message by way of gorilla. A context that has ended since the read
// began ends the connection, as it does while the read waits.
func (c *Conn) readAll(ctx context.Context) (messageType int, p []byte, err error) {
	if cause := c.t.endOfReads(ctx); cause != nil {
		return noMessage, nil, c.readFailed(&ioError{op: "read", err: &contextError{cause}})
	}
	messageType, r, err := c.NextReaderContext(ctx)
	if err != nil {
		return noMessage, nil, err
	}
	if inflating, ok := c.reader.r.(*deflate.Reader); ok {
		p, err = readInflated(r, inflating)
	} else {
		p, err = io.ReadAll(r)
	}
	if err != nil {
		return noMessage, nil, err
	}
	return messageType, p, nil
}

// readInflated reads a message that is inflated as it comes. It is kept where it comes
// out: what must be there of it for the rest is not there twice.
func readInflated(r io.Reader, inflating *deflate.Reader) ([]byte, error) {
	inflating.Keep()
	if err := discard(r, bufpool.MinChunk); err != nil {
		inflating.Close()
		return nil, err
	}
	return inflating.Message(), nil
}

// ReadSlice is ReadMessage without memory of its own for the message: the slice
// is lent, and valid only until the next read of the connection, whatever method
// that is, or until Serve returns; then its memory is used for other messages, of
// other connections, too. Writing to it is allowed. What is kept for longer must be
// copied. Built with the race detector, the memory is overwritten when the loan
// ends.
//
// Messages in one frame that is not compressed cost no allocation and, where they
// are small, no copy.
func (c *Conn) ReadSlice() (messageType int, p []byte, err error) {
	return c.ReadSliceContext(context.Background())
}

// ReadSliceContext is ReadSlice bounded by a context, as ReadMessageContext is.
func (c *Conn) ReadSliceContext(ctx context.Context) (messageType int, p []byte, err error) {
	if messageType, p, err = c.readWhole(ctx, true); p != nil || err != nil {
		return messageType, p, err
	}
	return c.readAll(ctx)
}

// readWhole returns the next message, nil if gorilla has to read it: the plain
// case goes beside gorilla.
func (c *Conn) readWhole(ctx context.Context, lend bool) (messageType int, p []byte, err error) {
	if err := c.unreadable(ctx); err != nil {
		return noMessage, nil, err
	}
	if c.reader != nil && !c.reader.done {
		return noMessage, nil, nil // gorilla is within a message
	}
	if ctx.Done() == nil {
		messageType, p, err = c.t.readWhole(c.validates(), lend)
	} else {
		messageType, p, err = c.readWholeBounded(ctx, lend)
	}
	switch {
	case err != nil:
		return noMessage, nil, c.readFailed(err)
	case p != nil && !c.t.delivers():
		return noMessage, nil, nil // nothing is delivered any more
	default:
		return messageType, p, nil
	}
}

func (c *Conn) readWholeBounded(ctx context.Context, lend bool) (messageType int, p []byte, err error) {
	release := c.t.boundRead(ctx)
	succeeded := false
	defer func() { release(succeeded) }() // a handler may panic
	messageType, p, err = c.t.readWhole(c.validates(), lend)
	succeeded = err == nil
	return messageType, p, err
}

// validates reports whether text must be UTF-8.
func (c *Conn) validates() bool { return !c.options.SkipUTF8Validation }

// NextReader returns a reader of the next message, which is read as it comes.
// What is left of the message before is discarded, and its reader fails.
func (c *Conn) NextReader() (messageType int, r io.Reader, err error) {
	return c.NextReaderContext(context.Background())
}

// NextReaderContext is NextReader bounded by a context, which bounds the reader
// too. If ctx ends while one of them waits, the connection ends with it, as with
// ReadMessageContext.
func (c *Conn) NextReaderContext(ctx context.Context) (messageType int, r io.Reader, err error) {
	if err := c.unreadable(ctx); err != nil {
		return noMessage, nil, err
	}
	if err := c.skipMessage(ctx); err != nil {
		return noMessage, nil, err
	}
	release := c.t.boundRead(ctx)
	succeeded := false
	defer func() { release(succeeded) }() // a handler may panic
	messageType, wire, err := c.nextReader()
	succeeded = err == nil
	if err != nil {
		return noMessage, nil, err
	}
	m := &messageReader{c: c, r: wire, wire: wire, ctx: ctx, text: messageType == TextMessage && c.validates()}
	if c.t.packed {
		m.r = deflate.NewReader(wire, c.t.hasMore)
	}
	c.reader = m
	return messageType, m, nil
}

// skipMessage reads away what is left of a text, which must be valid though
// nobody wants it. The rest of other messages is not looked at.
func (c *Conn) skipMessage(ctx context.Context) error {
	m := c.reader
	if m == nil || m.done || !m.text {
		return nil
	}
	rest := *m
	rest.ctx = ctx
	c.reader = &rest // the caller's becomes stale, and does not look whole
	most := bufpool.MaxChunk
	if _, inflating := m.r.(*deflate.Reader); inflating { // which keeps some itself
		most = bufpool.MinChunk
	}
	return discard(c.reader, most)
}

// discard reads a message away, in pieces of at most so many bytes.
func discard(r io.Reader, most int) error {
	var scrap bufpool.Chunk
	defer scrap.Release()
	for come := 0; ; {
		n, err := r.Read(scrap.Next(come, most, false))
		come += n
		switch {
		case err == io.EOF: // a wrapped one is no end
			return nil
		case err != nil:
			return err
		}
	}
}

// nextReader is gorilla's NextReader, but for messages that come once we close the
// connection: these are discarded, up to the peer's close frame or another error. What
// is compressed stays so.
func (c *Conn) nextReader() (messageType int, wire io.Reader, err error) {
	if m := c.reader; m != nil && !m.done {
		m.release()
		_ = discard(m.wire, bufpool.MaxChunk) // what goes wrong is found again
	}
	c.reader = nil
	c.t.raw = true
	defer func() { c.t.raw = false }()
	for {
		c.t.packed = false
		messageType, wire, err = c.Conn.NextReader()
		switch {
		case err != nil:
			return noMessage, nil, c.readFailed(err)
		case !c.t.delivers():
			_ = discard(wire, bufpool.MaxChunk) // likewise
		default:
			return messageType, wire, nil
		}
	}
}

// unreadable returns the error of the read that failed before, or that of a
// context that has ended already.
func (c *Conn) unreadable(ctx context.Context) error {
	if err := c.readError(); err != nil {
		return err
	}
	if cause := c.t.endOfReads(ctx); cause != nil {
		return &ioError{op: "read", err: cause}
	}
	return nil
}

// readError is what every read returns from now on, nil if they still read.
func (c *Conn) readError() error {
	if err := c.readErr.Load(); err != nil {
		return *err
	}
	return nil
}

// readFailed finds out why a read of gorilla's failed, which its own error may
// hide, and makes that the error of every later read.
func (c *Conn) readFailed(err error) error {
	if c.t.failed != nil {
		err = c.t.failed
	}
	var ended *contextError
	if errors.As(err, &ended) {
		c.cancelContext(ended.error)
	}
	c.readErr.Store(&err)
	return err
}

// A messageReader reads one message. It never ends in io.EOF but where the
// message does.
type messageReader struct {
	c    *Conn
	r    io.Reader
	wire io.Reader // gorilla's, of the message as it is sent
	ctx  context.Context
	n    int64 // bytes read
	text bool  // to be checked
	utf8 wire.UTF8Validator
	done bool
}

var errStaleReader = errors.New("websocket: reader of an earlier message")

// Read reads on in the message, to its end, which is io.EOF.
func (m *messageReader) Read(p []byte) (int, error) {
	c := m.c
	switch {
	case m.done:
		return 0, io.EOF
	case c.reader != m && c.readError() == nil:
		return 0, errStaleReader
	}
	if err := c.readError(); err != nil {
		return 0, err
	}
	if cause := c.t.endOfReads(m.ctx); cause != nil { // in the middle of a message: there is no way back
		return 0, c.readFailed(&ioError{op: "read", err: &contextError{cause}})
	}
	release := c.t.boundRead(m.ctx)
	succeeded := false
	defer func() { release(succeeded) }() // a handler may panic
	n, err := m.read(p)
	succeeded = err == nil || m.done
	return n, err
}

func (m *messageReader) read(p []byte) (int, error) {
	c := m.c
	n, err := m.r.Read(p)
	if !c.t.delivers() {
		_, _, err = c.nextReader() // what is left of this message and those after it
		return 0, err
	}
	m.n += int64(n)
	switch limit := c.t.limit.Load(); {
	case limit > 0 && m.n > limit:
		return 0, m.refuse(wire.ErrTooBig)
	case m.text && !m.utf8.Valid(p[:n]):
		return 0, m.refuse(wire.ErrInvalidText)
	case err == nil:
		return n, nil
	case err == io.EOF && m.text && !m.utf8.Complete(): //nolint:errorlint // a wrapped one is no end
		return 0, m.refuse(wire.ErrInvalidText)
	case err == io.EOF: //nolint:errorlint // likewise
		m.done = true
		return n, err
	case corrupt(err) && c.t.failed == nil:
		return 0, m.refuse(&wire.ProtocolError{Code: CloseInvalidFramePayloadData, Reason: "corrupt compressed data", Err: err})
	default:
		return 0, c.readFailed(err) // what came with it belongs to a message without an end
	}
}

// refuse ends the connection, with the message's memory given back by then.
func (m *messageReader) refuse(breach *wire.ProtocolError) error {
	m.release()
	return m.c.refuse(breach)
}

// release gives back what the message is inflated with: it is not read any more.
func (m *messageReader) release() {
	if inflating, ok := m.r.(*deflate.Reader); ok {
		inflating.Close()
	}
}

// hasMore reports whether the next Read returns without waiting for the peer.
func (m *messageReader) hasMore() bool {
	if inflating, ok := m.r.(*deflate.Reader); ok {
		return inflating.HasMore()
	}
	return m.c.t.hasMore()
}

// corrupt reports whether an error is the inflater's own.
func corrupt(err error) bool {
	return errors.Is(err, wire.ErrCorrupt) || err == io.ErrUnexpectedEOF //nolint:errorlint // bare, as it comes from there
}

// refuse ends the connection because of what a message contains.
func (c *Conn) refuse(breach *wire.ProtocolError) error {
	var err error = breach
	if c.t.lockRead() {
		err = c.t.refuse(breach)
		c.t.unlockRead()
	}
	c.readErr.Store(&err)
	return err
}

// ReadJSON reads the next message and decodes the value that it begins with into
// v, as encoding/json does. A message that is no JSON is an error, but not one of
// the connection's: the next one can be read.
func (c *Conn) ReadJSON(v any) error { return c.ReadJSONContext(context.Background(), v) }

// ReadJSONContext is ReadJSON bounded by a context, as ReadMessageContext is.
func (c *Conn) ReadJSONContext(ctx context.Context, v any) error {
	_, r, err := c.NextReaderContext(ctx)
	if err != nil {
		return err
	}
	switch err = json.NewDecoder(r).Decode(v); {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF // the message was empty
	case err != nil:
		return err
	}
	return discard(r, bufpool.MinChunk) // a message without an end is none
}

// JoinMessages returns a reader of all the messages to come, each followed by
// term. It ends with the error of the connection, never in io.EOF.
func JoinMessages(c *Conn, term string) io.Reader { return &joinedReader{c: c, term: term} }

type joinedReader struct {
	c    *Conn
	term string
	r    io.Reader
}

func (j *joinedReader) Read(p []byte) (int, error) {
	if j.r == nil {
		_, r, err := j.c.NextReader()
		if err != nil {
			return 0, err
		}
		j.r = io.MultiReader(r, strings.NewReader(j.term))
	}
	n, err := j.r.Read(p)
	if err == io.EOF { // a wrapped one is no end
		j.r, err = nil, nil
	}
	return n, err
}
