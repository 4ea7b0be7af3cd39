package transport

import (
	"context"
	"errors"
	"io"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/wire"
)

const (
	// defaultWriteBuffer is how much of a streamed message is collected, in bytes, before
	// a frame of it leaves. More that is written at once leaves with it.
	defaultWriteBuffer = coalesceMax

	// maxMasked is how much a client masks at once: in contrast to a server, it must copy
	// what it writes.
	maxMasked = 64 << 10
)

var ErrWriterClosed = errors.New("websocket: write to a closed message")

// A messageWriter writes one message as it grows, in frames. It holds the message lock from
// its making to Close, and a buffer only with something in it. It is for one goroutine.
type messageWriter struct {
	t          *Conn
	ctx        context.Context
	opcode     byte // of the next frame, with RSV1 in the first one that is compressed
	begun      bool // a frame has left
	compressor *deflate.Writer
	bound      WriteDeadline // of the call under way

	small  *smallFrame // memory for the default size, or nil
	memory *[]byte     // for another one, or nil
	n      int         // bytes of payload that are collected, behind room for a header

	err error // of all later calls
}

// NextWriter begins a message of the given type, in its turn.
func (t *Conn) NextWriter(b *WriteDeadline, messageType int) (*messageWriter, error) {
	if err := t.lockMessage(b); err != nil {
		return nil, err
	}
	w := &messageWriter{t: t, ctx: b.ctx, opcode: byte(messageType)} //nolint:gosec // it was checked
	if t.Compresses() {
		compressor, err := deflate.NewWriter((*compressedWriter)(w), int(t.level.Load()))
		if err != nil {
			t.unlockMessage()
			return nil, err
		}
		w.compressor = compressor
		w.opcode |= wire.BitRSV1
	}
	t.under.set(writeStreamed)
	return w, nil
}

// Write takes in what comes next of the message.
func (w *messageWriter) Write(p []byte) (int, error) { return w.write(w.t.WriteDeadline(w.ctx), p) }

// Close writes the rest of the message. A second call is an error.
func (w *messageWriter) Close() error { return w.close(w.t.WriteDeadline(w.ctx)) }

// ReadFrom takes in all that r has, in pieces of memory that is lent.
func (w *messageWriter) ReadFrom(r io.Reader) (n int64, err error) {
	piece := bufpool.Get(bufpool.MaxChunk)
	defer bufpool.Put(piece)
	for {
		m, err := r.Read(*piece)
		if m > 0 {
			n += int64(m)
			if _, err := w.Write((*piece)[:m]); err != nil {
				return n, err
			}
		}
		switch {
		case err == io.EOF: // a wrapped one is no end
			return n, nil
		case err != nil:
			return n, err
		}
	}
}

// write takes in what comes next of the message, within a bound.
func (w *messageWriter) write(b WriteDeadline, p []byte) (n int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	w.bound = b
	if w.compressor != nil {
		n, err = w.compressor.Write(p)
	} else {
		n, err = w.collect(p)
	}
	return n, w.failed(err)
}

// close writes the rest of the message and gives the message lock back. A second call is an
// error.
func (w *messageWriter) close(b WriteDeadline) error {
	if errors.Is(w.err, ErrWriterClosed) {
		return w.err
	}
	err := w.err
	if err == nil {
		w.bound = b
		err = w.finish()
	}
	w.release()
	w.err = ErrWriterClosed
	w.t.under.clear(writeStreamed)
	w.t.unlockMessage()
	return err
}

func (w *messageWriter) finish() error {
	if w.compressor != nil {
		if err := w.compressor.Flush(); err != nil {
			return w.failed(err)
		}
		w.n -= len(deflate.Tail) // which is there: so much is held back
	}
	if w.begun {
		return w.failed(w.send(true, nil))
	}
	if err := w.t.lockStreamed(&w.bound); err != nil {
		return err
	}
	defer w.t.unlockFrame()
	return w.t.writeLocked(&w.bound, w.opcode, w.payload())
}

// failed gives all memory back after an error, which all later calls return.
func (w *messageWriter) failed(err error) error {
	if err != nil {
		w.release()
		w.err = err
	}
	return err
}

func (w *messageWriter) release() {
	if w.compressor != nil {
		w.compressor.Release()
		w.compressor = nil
	}
	w.giveBuffer()
}

// compressedWriter is where the compressor writes to.
type compressedWriter messageWriter

func (c *compressedWriter) Write(p []byte) (int, error) { return (*messageWriter)(c).collect(p) }

// collect adds to the payload of the next frame. Full ones leave.
func (w *messageWriter) collect(p []byte) (int, error) {
	all := len(p)
	for len(p) > 0 {
		if w.compressor == nil && len(p) > 2*w.t.writeBufferSize() {
			n, err := w.sendLarge(p)
			if err != nil {
				return 0, err
			}
			p = p[n:]
			continue
		}
		room := w.room()
		if w.n == len(room) {
			if err := w.send(false, nil); err != nil {
				return 0, err
			}
			continue
		}
		n := copy(room[w.n:], p)
		w.n += n
		p = p[n:]
	}
	return all, nil
}

// room is the memory for the payload of a frame.
func (w *messageWriter) room() []byte {
	size := w.t.writeBufferSize()
	if w.compressor != nil && size < 2*len(deflate.Tail) { // some of which is what may be the tail
		size += len(deflate.Tail)
	}
	switch {
	case w.small != nil, w.memory != nil:
	case size <= coalesceMax:
		w.small = smallFrames.Get().(*smallFrame) //nolint:errcheck // it is
	default:
		w.memory = bufpool.Get(wire.MaxHeaderSize + size)
	}
	return w.buffer()[wire.MaxHeaderSize:][:size]
}

// buffer is the memory for a frame, its header at the end of the first bytes.
func (w *messageWriter) buffer() []byte {
	switch {
	case w.small != nil:
		return w.small[:]
	case w.memory != nil:
		return *w.memory
	default:
		return nil
	}
}

// payload is what is collected.
func (w *messageWriter) payload() []byte {
	if w.n == 0 {
		return nil
	}
	return w.buffer()[wire.MaxHeaderSize:][:w.n]
}

func (w *messageWriter) giveBuffer() {
	if w.small != nil {
		smallFrames.Put(w.small)
		w.small = nil
	}
	if w.memory != nil {
		bufpool.Put(w.memory)
		w.memory = nil
	}
	w.n = 0
}

// sendLarge writes what is collected, and p or the beginning of it, as a frame. It returns
// how much of p left.
func (w *messageWriter) sendLarge(p []byte) (int, error) {
	if !w.t.client {
		return len(p), w.send(false, p)
	}
	p = p[:min(len(p), maxMasked)]
	masked := bufpool.Buffer{Memory: bufpool.Get(wire.MaxHeaderSize + w.n + len(p)), Len: wire.MaxHeaderSize}
	defer masked.Release()
	_, _ = masked.Write(w.payload()) // to memory
	_, _ = masked.Write(p)           // likewise
	w.giveBuffer()
	return len(p), w.sendFrame(false, masked.Bytes(), nil)
}

// send writes a frame of what is collected and, on a server, of what is behind it. What may
// be the tail of a compressed message stays.
func (w *messageWriter) send(fin bool, behind []byte) error {
	var tail [len(deflate.Tail)]byte
	held := 0
	if w.compressor != nil && !fin {
		held = len(tail)
	}
	w.room()
	frame := w.buffer()[:wire.MaxHeaderSize+w.n]
	copy(tail[:held], frame[len(frame)-held:])
	err := w.sendFrame(fin, frame[:len(frame)-held], behind)
	w.giveBuffer()
	if held > 0 {
		w.n = copy(w.room(), tail[:held])
	}
	return err
}

// sendFrame writes a frame whose payload is behind room for the header, and goes on with
// what is behind it. It is masked where it stands.
func (w *messageWriter) sendFrame(fin bool, frame, behind []byte) error {
	payload := frame[wire.MaxHeaderSize:]
	var memory [wire.MaxHeaderSize]byte
	header := wire.AppendHeader(memory[:0], w.opcode, len(payload)+len(behind))
	if !fin {
		header[0] &^= wire.BitFin
	}
	if w.t.client {
		key := wire.NewMaskKey()
		header[1] |= wire.BitMask
		header = append(header, key[:]...)
		wire.Mask(payload, key)
	}
	frame = frame[wire.MaxHeaderSize-len(header):]
	copy(frame, header)
	if err := w.t.writeFragment(&w.bound, frame, behind, fin); err != nil {
		return err
	}
	w.begun, w.opcode = true, wire.OpContinuation
	return nil
}

// writeFragment writes a frame of a message in several.
func (t *Conn) writeFragment(b *WriteDeadline, frame, behind []byte, fin bool) error {
	if err := t.lockStreamed(b); err != nil {
		return err
	}
	defer t.unlockFrame()
	if t.corked() {
		if err := t.uncork(b, nil, nil); err != nil {
			return err
		}
	}
	_, err := t.send(b, frame, behind)
	if err == nil && fin {
		t.sent(1)
	}
	return err
}

// lockStreamed takes the write lock for a frame of a streamed message. Where the frame can't
// be written in time, there is no going on: the message may have begun.
func (t *Conn) lockStreamed(b *WriteDeadline) error {
	err := t.lockFrame(b)
	var waited *Error
	if t.Unwritable() == nil && errors.As(err, &waited) {
		return t.Fail(&Error{Op: "write", Err: waited.Err, Gone: !b.fromCaller && b.ctx.Err() == nil})
	}
	return err
}

func (t *Conn) writeBufferSize() int {
	if t.config.WriteBufferSize > 0 {
		return t.config.WriteBufferSize
	}
	return defaultWriteBuffer
}
