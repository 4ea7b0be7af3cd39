package transport

import (
	"errors"
	"io"
	"math"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// A messageReader reads one message as it comes. It is for the reading goroutine, and stale
// once the next message is asked for.
type messageReader struct {
	t           *Conn
	MessageType int
	content     content
	inflater    *deflate.Reader // nil: there was nothing to inflate yet, or there will not be
	piece       []byte          // of what it inflated, not handed on yet
	deflated    bool            // the message is compressed
	ended       bool            // all is handed on
}

var errStaleReader = errors.New("websocket: reader of an earlier message")

// nextMessage waits for the next message and gives it to m, with nothing read of it. What is
// left of the message before is read away.
func (t *Conn) nextMessage(m *messageReader) error {
	if err := t.skipMessage(); err != nil {
		return err
	}
	for {
		h, met, err := t.nextMessageLocked()
		if met.messageType != 0 && err == nil {
			if err = t.events.Control(met.messageType, met.data); err == nil {
				continue
			}
		}
		if err != nil {
			return t.readEnded(err)
		}
		*m = messageReader{t: t, MessageType: int(h.Opcode), deflated: h.RSV != 0, content: content{text: t.isChecked(h.Opcode)}}
		t.current = m
		return nil
	}
}

// nextMessageLocked begins the first frame of a message, unless it meets a ping or pong.
func (t *Conn) nextMessageLocked() (h wire.Header, met control, err error) {
	if err := t.lockReadable(); err != nil {
		return h, met, err
	}
	defer t.unlockRead()
	if err := t.peek(2); err != nil { // the stack of a connection that waits stays small
		return h, met, err
	}
	if h, err = t.nextFrame(); err != nil {
		return h, met, err
	}
	if h.IsControl() {
		p, err := t.control(h)
		return h, control{messageType: int(h.Opcode), data: string(p)}, err
	}
	t.beginFrame(h)
	t.consumed(0)
	return h, met, nil
}

// skipMessage reads away what is left of the current message. A text must be valid though
// nobody wants it; the rest of other messages is not looked at.
func (t *Conn) skipMessage() error {
	m := t.current
	t.current = nil
	if m == nil || m.ended {
		return nil
	}
	rest := *m // m itself is stale, and does not look whole
	m.inflater, m.piece = nil, nil
	if rest.content.text {
		return rest.discard()
	}
	rest.release()
	for {
		_, err := t.readPayload(nil)
		switch {
		case err == io.EOF: //nolint:errorlint // a wrapped one is no end
			return nil
		case err != nil:
			return err
		}
	}
}

// discard reads the rest of the message away.
func (m *messageReader) discard() error {
	var scrap bufpool.Chunk
	defer scrap.Release()
	for {
		_, err := m.next(&scrap)
		switch {
		case err == io.EOF: //nolint:errorlint // a wrapped one is no end
			return nil
		case err != nil:
			return err
		}
	}
}

// read reads on in the message, to its end, which is io.EOF. No other error is.
func (m *messageReader) read(p []byte) (n int, err error) {
	switch {
	case m.ended:
		return 0, io.EOF
	case !m.deflated:
		n, err = m.readPlain(p)
	default:
		if len(m.piece) == 0 {
			m.piece, err = m.inflateNext()
		}
		n = copy(p, m.piece)
		m.piece = m.piece[n:]
	}
	if err != nil {
		return 0, m.end(err)
	}
	return n, nil
}

// next is read into memory that is there: where the message is not compressed, that of a
// chunk. What it returns is valid until the next call.
func (m *messageReader) next(scrap *bufpool.Chunk) (p []byte, err error) {
	switch {
	case m.ended:
		return nil, io.EOF
	case !m.deflated:
		n := 0
		p = scrap.Next(int(min(m.content.n, math.MaxInt)), bufpool.MaxChunk, m.t.hasMore())
		n, err = m.readPlain(p)
		p = p[:n]
	case len(m.piece) > 0:
		p, m.piece = m.piece, nil
	default:
		p, err = m.inflateNext()
	}
	if err != nil {
		return nil, m.end(err)
	}
	return p, nil
}

// end ends the reading with an error, and returns that of the connection.
func (m *messageReader) end(err error) error {
	m.release()
	if err == io.EOF { //nolint:errorlint // a wrapped one is no end
		m.ended = true
		m.t.current = nil
		return err
	}
	return m.t.RefuseMessage(err)
}

func (m *messageReader) readPlain(p []byte) (int, error) {
	if p == nil { // which would drop some
		p = []byte{}
	}
	n, err := m.t.readPayload(p)
	if err == io.EOF { //nolint:errorlint // likewise
		if invalid := m.content.end(); invalid != nil {
			return 0, invalid
		}
		return 0, err
	}
	if err == nil {
		err = m.content.take(p[:n], m.t.limit.Load())
	}
	return n, err
}

func (m *messageReader) inflateNext() ([]byte, error) {
	if m.inflater == nil {
		m.inflater = deflate.NewReader((*compressedPayload)(m.t), false)
	}
	return m.t.inflateNext(m.inflater, &m.content)
}

// release gives back what the message is inflated with.
func (m *messageReader) release() {
	if m.inflater != nil {
		m.inflater.Close()
		m.inflater, m.piece = nil, nil
	}
}
