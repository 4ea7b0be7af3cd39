package transport

import "github.com/goyave-contrib/websocket/internal/wire"

const (
	defaultReadBuffer = 16<<10 + wire.MaxHeaderSize // where it is held only with something in it
	plainReadBuffer   = 4 << 10                     // where it is held while the peer is waited for
	minReadBuffer     = 256                         // a whole control frame fits
	smallReadBuffer   = minReadBuffer               // where it is held with the beginning of a frame
)

// A readBuffer is what was read of the stream and not handed on yet: b[r:w]. Nil is an
// empty one: a connection has one only with something in it or, where the socket can't
// be waited for without, while it is read from.
type readBuffer struct {
	b    []byte
	r, w int

	n   int // what the last try to read got
	err error
}

func newReadBuffer(size int) *readBuffer { return &readBuffer{b: make([]byte, size)} }

// bytes are those to hand on.
func (b *readBuffer) bytes() []byte {
	if b == nil {
		return nil
	}
	return b.b[b.r:b.w]
}

// buffered is the number of bytes to hand on.
func (b *readBuffer) buffered() int {
	if b == nil {
		return 0
	}
	return b.w - b.r
}

// hasFrame reports whether there is a whole frame.
func (b *readBuffer) hasFrame() bool {
	p := b.bytes()
	if !wire.HasHeader(p) {
		return false
	}
	h := wire.ParseHeader(p)
	return h.Length <= uint64(len(p)-h.Size)
}

// reserve has room for n bytes from r on.
func (b *readBuffer) reserve(n int) {
	if b.r == b.w {
		b.r, b.w = 0, 0
	}
	if len(b.b)-b.r < n {
		b.r, b.w = 0, copy(b.b, b.b[b.r:b.w])
	}
}

// bufferSize is the size of the buffer that the connection reads into, in bytes.
func (t *Conn) bufferSize() int {
	switch {
	case t.config.ReadBufferSize > 0:
		return max(t.config.ReadBufferSize, minReadBuffer)
	case t.socket != nil:
		return defaultReadBuffer
	default:
		return plainReadBuffer
	}
}

// bufferWith returns a buffer of at least the given size with what came before anything
// was read, nil if nothing did.
func bufferWith(early []byte, size int) *readBuffer {
	if len(early) == 0 {
		return nil
	}
	b := newReadBuffer(max(size, len(early)))
	b.w = copy(b.b, early)
	return b
}

// getBuffer returns the buffer to read into, with room for n bytes to hand on.
func (t *Conn) getBuffer(n int) *readBuffer {
	if b, size := t.buffer, t.bufferSize(); b == nil || len(b.b) < size {
		t.buffer, _ = t.config.ReadBuffers.Get().(*readBuffer)
		if t.buffer == nil || len(t.buffer.b) != size { // it is one of a connection with another size
			t.buffer = newReadBuffer(size)
		}
		t.buffer.w = copy(t.buffer.b, b.bytes())
	}
	t.buffer.reserve(n)
	return t.buffer
}

// shrinkBuffer gives the buffer back, and keeps what is in it in a small one: a frame
// has begun, and its header or a control frame is not all there.
func (t *Conn) shrinkBuffer() {
	if b := t.buffer; b.buffered() > 0 && b.buffered() < smallReadBuffer && len(b.b) > smallReadBuffer {
		small := newReadBuffer(smallReadBuffer)
		small.w = copy(small.b, b.bytes())
		b.r = b.w
		t.putBuffer()
		t.buffer = small
	}
}

// putBuffer gives the buffer back, if there is nothing in it. It calls no other function
// of ours that is not inlined: every idle connection has been here, and the stack has its price.
func (t *Conn) putBuffer() {
	b := t.buffer
	if b == nil || b.r != b.w {
		return
	}
	t.buffer = nil
	if len(b.b) == t.bufferSize() {
		b.r, b.w, b.err = 0, 0, nil
		t.config.ReadBuffers.Put(b)
	}
}

// dropBuffer gives the buffer back, with what is in it: nothing more is read.
func (t *Conn) dropBuffer() {
	if t.buffer != nil && !t.lent.NotPooled {
		t.buffer.r = t.buffer.w
		t.putBuffer()
	}
}

// detachBuffer goes on in another one. What was handed on is left to whoever has it, and
// may be writing to it.
func (t *Conn) detachBuffer() {
	if b := t.buffer; b != nil {
		t.buffer = newReadBuffer(len(b.b))
		t.buffer.w = copy(t.buffer.b, b.bytes())
	}
}
