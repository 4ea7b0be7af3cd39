package transport

import "github.com/goyave-contrib/websocket/internal/wire"

const (
	// Sizes of read buffers, in bytes.
	defaultReadBuffer = 16<<10 + wire.MaxHeaderSize // of one that is held only with bytes in it
	plainReadBuffer   = 4 << 10                     // of one that is held while a read waits
	minReadBuffer     = 256                         // a whole control frame fits
	smallReadBuffer   = minReadBuffer               // of one that is held with the beginning of a frame
)

// A readBuffer contains bytes of the stream that were read from the socket and not consumed yet:
// b[r:w]. Nil is an empty one. A connection has a buffer only while there are bytes in it. One
// whose socket can't be waited for without a buffer also has it while a read waits.
type readBuffer struct {
	b    []byte
	r, w int

	n   int   // number of bytes that the socketRead has read
	err error // likewise
}

func newReadBuffer(size int) *readBuffer { return &readBuffer{b: make([]byte, size)} }

// bytes returns the bytes that were not consumed yet.
func (b *readBuffer) bytes() []byte {
	if b == nil {
		return nil
	}
	return b.b[b.r:b.w]
}

// buffered returns the number of these bytes.
func (b *readBuffer) buffered() int {
	if b == nil {
		return 0
	}
	return b.w - b.r
}

// hasFrame reports whether the buffer contains a whole frame.
func (b *readBuffer) hasFrame() bool {
	p := b.bytes()
	if !wire.HasHeader(p) {
		return false
	}
	h := wire.ParseHeader(p)
	return h.Length <= uint64(len(p)-h.Size)
}

// reserve moves the bytes so that there is space for n bytes from r on.
func (b *readBuffer) reserve(n int) {
	if b.r == b.w {
		b.r, b.w = 0, 0
	}
	if len(b.b)-b.r < n {
		b.r, b.w = 0, copy(b.b, b.b[b.r:b.w])
	}
}

// bufferSize returns the size of a buffer that the connection reads into, in bytes.
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

// bufferWith returns a buffer of at least the given size that contains early, nil if early is
// empty.
func bufferWith(early []byte, size int) *readBuffer {
	if len(early) == 0 {
		return nil
	}
	b := newReadBuffer(max(size, len(early)))
	b.w = copy(b.b, early)
	return b
}

// getBuffer returns the buffer to read into, with space for n bytes from r on. It takes one from
// the pool if there is none, or only a small one.
func (t *Conn) getBuffer(n int) *readBuffer {
	if b, size := t.buffer, t.bufferSize(); b == nil || len(b.b) < size {
		t.buffer, _ = t.config.ReadBuffers.Get().(*readBuffer)
		if t.buffer == nil || len(t.buffer.b) != size { // the connections that share the pool may differ
			t.buffer = newReadBuffer(size)
		}
		t.buffer.w = copy(t.buffer.b, b.bytes())
	}
	t.buffer.reserve(n)
	return t.buffer
}

// shrinkBuffer moves what the buffer contains to a small one, before a wait within a header or a
// control frame.
func (t *Conn) shrinkBuffer() {
	if b := t.buffer; b.buffered() > 0 && b.buffered() < smallReadBuffer && len(b.b) > smallReadBuffer {
		small := newReadBuffer(smallReadBuffer)
		small.w = copy(small.b, b.bytes())
		b.r = b.w
		t.putBuffer()
		t.buffer = small
	}
}

// putBuffer puts the buffer back into its pool if it is empty. It calls no function of ours that
// is not inlined: every idle connection has called it, and a deeper call would grow the stack of
// each.
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

// dropBuffer empties the buffer and puts it back: nothing more is read. A buffer of which a part
// is lent stays.
func (t *Conn) dropBuffer() {
	t.putSocketRead()
	if t.buffer != nil && !t.lent.NotPooled {
		t.buffer.r = t.buffer.w
		t.putBuffer()
	}
}

// detachBuffer copies the bytes that were not consumed yet to a new buffer. The caller of
// ReadMessage still holds a loan that is a part of the old one, and may write to it.
func (t *Conn) detachBuffer() {
	if b := t.buffer; b != nil {
		t.buffer = newReadBuffer(len(b.b))
		t.buffer.w = copy(t.buffer.b, b.bytes())
	}
}
