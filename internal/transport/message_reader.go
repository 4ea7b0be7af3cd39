package transport

import (
	"errors"
	"io"
	"math"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// A messageReader reads one message piece by piece. Only the reading goroutine may use it. It is
// stale once the next message is asked for.
type messageReader struct {
	t           *Conn
	messageType int
	content     content
	inflater    *deflate.Reader // nil before the first read of a compressed message, and after its end
	piece       []byte          // inflated bytes that were not returned yet
	deflated    bool            // the message is compressed
	ended       bool            // the end was returned
}

var errStaleReader = errors.New("websocket: reader of an earlier message")

// nextMessage waits for the next message and makes m its reader. It drops what is left of the
// message before.
func (t *Conn) nextMessage(m *messageReader) error {
	if err := t.skipMessage(); err != nil {
		return err
	}
	for {
		h, ctrl, err := t.nextMessageLocked()
		if ctrl.messageType != 0 && err == nil {
			if err = t.events.Control(ctrl.messageType, ctrl.data); err == nil {
				continue
			}
		}
		if err != nil {
			return t.endReads(err)
		}
		*m = messageReader{
			t: t, messageType: int(h.Opcode), deflated: h.RSV != 0,
			content: content{text: t.isChecked(h.Opcode)},
		}
		t.current = m
		return nil
	}
}

// nextMessageLocked begins the first frame of a message. If a ping or pong comes first, it
// returns that instead.
func (t *Conn) nextMessageLocked() (h wire.Header, ctrl controlFrame, err error) {
	if err := t.lockReadable(); err != nil {
		return h, ctrl, err
	}
	defer t.unlockRead()
	if err := t.peek(2); err != nil { // here, where the stack is shallow: see readWholeLocked
		return h, ctrl, err
	}
	if h, err = t.nextFrame(); err != nil {
		return h, ctrl, err
	}
	if h.IsControl() {
		p, err := t.readControl(h)
		return h, controlFrame{messageType: int(h.Opcode), data: string(p)}, err
	}
	t.beginFrame(h)
	t.consume(0)
	return h, ctrl, nil
}

// skipMessage reads and drops what is left of the current message. The rest of a text must be
// valid all the same. The rest of another message is inflated only if it is context of later ones.
func (t *Conn) skipMessage() error {
	m := t.current
	if m == nil || m.ended {
		t.current = nil
		return nil
	}
	t.keepViewed(m)
	rest := *m // m is stale now, and must not look complete
	m.inflater, m.piece = nil, nil
	t.current = &rest // if a handler panics, the next read goes on here
	var err error
	if rest.content.text || rest.deflated && t.deflating.receives.Takeover {
		err = rest.discard()
	} else {
		rest.release()
		err = t.skipPayload()
	}
	t.current = nil
	return err
}

// skipPayload reads and drops what is left of the current message, without a look at it.
func (t *Conn) skipPayload() error {
	for {
		_, err := t.readPayload(nil)
		switch {
		case err == io.EOF: //nolint:errorlint // a wrapped io.EOF is an error
			return nil
		case err != nil:
			return err
		}
	}
}

// discard reads, checks and drops the rest of the message.
func (m *messageReader) discard() error {
	var scrap bufpool.Chunk
	defer scrap.Release()
	for {
		_, err := m.next(&scrap)
		switch {
		case err == io.EOF: //nolint:errorlint // a wrapped io.EOF is an error
			return nil
		case err != nil:
			return err
		}
	}
}

// read is Read of an io.Reader. Only the end of the message is io.EOF.
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

// next returns the next bytes of the message, which are valid until the next call. It reads
// into scrap, or returns what the inflater has in its own memory.
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

// end ends the reading of the message because of err, and returns the error for the caller.
func (m *messageReader) end(err error) error {
	m.release()
	if err == io.EOF { //nolint:errorlint // a wrapped io.EOF is an error
		m.ended = true
		m.t.current = nil
		return err
	}
	return m.t.RefuseMessage(err)
}

// readPlain reads from a message that is not compressed.
func (m *messageReader) readPlain(p []byte) (int, error) {
	if p == nil { // readPayload would drop bytes
		p = []byte{}
	}
	n, err := m.t.readPayload(p)
	if err == io.EOF { //nolint:errorlint // as above
		if invalid := m.content.end(); invalid != nil {
			return 0, invalid
		}
		return 0, err
	}
	if err == nil {
		err = m.content.take(p[:n], m.t.readLimit())
	}
	return n, err
}

// inflateNext returns the next inflated bytes of a compressed message.
func (m *messageReader) inflateNext() ([]byte, error) {
	if m.inflater == nil {
		var err error
		if m.inflater, err = m.t.newInflater(false); err != nil {
			return nil, err
		}
	}
	return m.t.inflateNext(m.inflater, &m.content)
}

// release releases the inflater.
func (m *messageReader) release() {
	if m.inflater != nil {
		m.t.closeInflater(m.inflater)
		m.inflater, m.piece = nil, nil
	}
}
