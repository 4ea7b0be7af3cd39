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
	// defaultWriteBuffer is how many bytes of a streamed message are collected before a frame
	// of it is sent. Without compression, a Write of more than twice as many is sent at once.
	defaultWriteBuffer = coalesceMax

	// maxMasked is how many bytes of a Write a client masks and sends at once. In contrast to a
	// server, a client must copy what it writes.
	maxMasked = 64 << 10
)

// ErrWriterClosed is the error of a Write or Close after Close.
var ErrWriterClosed = errors.New("websocket: write to a closed message")

// A Writer writes one message piece by piece, in frames. It holds messageLock from
// NextWriter to Close, and has a buffer only while that has something in it. One goroutine at a
// time may use it.
type Writer struct {
	t          *Conn
	ctx        context.Context
	opcode     byte            // of the next frame; with BitRSV1 in the first of a compressed message
	begun      bool            // a frame was sent
	compressor *deflate.Writer // nil: the message is not compressed, or is over
	deadline   WriteDeadline   // of the call under way

	small  *smallFrame // memory of the default size, or nil
	memory *[]byte     // memory of another size, or nil
	n      int         // bytes of payload that are collected, behind room for a header

	err error // of all later calls
}

// NextWriter returns a writer of a message of the given type, TextMessage or BinaryMessage. It
// waits until the message before is complete. Close must be called in any case: no other message
// can be written before.
func (t *Conn) NextWriter(b *WriteDeadline, messageType int) (*Writer, error) {
	if err := t.lockMessage(b); err != nil {
		return nil, err
	}
	w := &Writer{t: t, ctx: b.ctx, opcode: byte(messageType)} //nolint:gosec // it was checked
	if t.Compresses() {
		if err := w.compress(); err != nil {
			t.unlockMessage()
			return nil, err
		}
	}
	t.flags.set(writeStreamed)
	return w, nil
}

// compress makes the message a compressed one.
func (w *Writer) compress() (err error) {
	var window *deflate.SendWindow
	if w.t.takesOver() {
		if window, err = w.t.takeSent(); err != nil {
			return err
		}
		defer w.t.giveBackSent(window)
	}
	w.compressor, err = deflate.NewWriter((*compressedWriter)(w), w.t.CompressionLevel(), w.t.DeflateWindow(), window)
	w.opcode |= wire.BitRSV1
	return err
}

// Write adds p to the message. It sends a frame when the buffer is full, bounded by the context of
// NextWriter and WriteDeadline. After an error all calls return that error.
func (w *Writer) Write(p []byte) (int, error) { return w.write(w.t.WriteDeadline(w.ctx), p) }

// Close sends the last frame of the message. A second call returns ErrWriterClosed.
func (w *Writer) Close() error { return w.close(w.t.WriteDeadline(w.ctx)) }

// ReadFrom adds all that it reads from r to the message, up to io.EOF.
func (w *Writer) ReadFrom(r io.Reader) (n int64, err error) {
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

// write is Write with a bound.
func (w *Writer) write(b WriteDeadline, p []byte) (n int, err error) {
	if w.err != nil {
		return 0, w.err
	}
	w.deadline = b
	if w.compressor != nil {
		n, err = w.compressor.Write(p)
	} else {
		n, err = w.collect(p)
	}
	return n, w.failed(err)
}

// close is Close with a bound. It unlocks messageLock.
func (w *Writer) close(b WriteDeadline) error {
	if errors.Is(w.err, ErrWriterClosed) {
		return w.err
	}
	err := w.err
	if err == nil {
		w.deadline = b
		if err = w.finish(); err == nil && w.compressor != nil {
			w.enterSent()
		}
	}
	w.release()
	w.err = ErrWriterClosed
	w.t.flags.clear(writeStreamed)
	w.t.unlockMessage()
	return err
}

// enterSent enters the message in the window.
func (w *Writer) enterSent() {
	if !w.t.takesOver() {
		return
	}
	if window, err := w.t.takeSent(); err == nil {
		defer w.t.giveBackSent(window)
		w.compressor.Enter(window)
	}
}

// finish sends the last frame. If no other frame was sent, it is the whole message, and may be
// held back.
func (w *Writer) finish() error {
	if w.compressor != nil {
		if err := w.compressor.Flush(); err != nil {
			return w.failed(err)
		}
		w.n -= len(deflate.Tail) // send has kept so much in the buffer
	}
	if w.begun {
		return w.failed(w.send(true, nil))
	}
	if err := w.t.lockStreamed(&w.deadline); err != nil {
		return err
	}
	defer w.t.unlockFrame()
	return w.t.writeLocked(&w.deadline, w.opcode, w.payload())
}

// failed releases all memory after an error, which all later calls return.
func (w *Writer) failed(err error) error {
	if err != nil {
		w.release()
		w.err = err
	}
	return err
}

func (w *Writer) release() {
	if w.compressor != nil {
		w.compressor.Release()
		w.compressor = nil
	}
	w.releaseBuffer()
}

// compressedWriter is what the compressor writes to.
type compressedWriter Writer

func (c *compressedWriter) Write(p []byte) (int, error) { return (*Writer)(c).collect(p) }

// collect adds p to the payload of the next frame. It sends frames that are full.
func (w *Writer) collect(p []byte) (int, error) {
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

// room returns the memory for the payload of a frame, which it makes if there is none.
func (w *Writer) room() []byte {
	size := w.t.writeBufferSize()
	if w.compressor != nil && size < 2*len(deflate.Tail) { // send keeps the size of a tail in it
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

// buffer returns the memory for a frame. The header is put right before the payload, which begins
// at MaxHeaderSize.
func (w *Writer) buffer() []byte {
	switch {
	case w.small != nil:
		return w.small[:]
	case w.memory != nil:
		return *w.memory
	default:
		return nil
	}
}

// payload returns what is collected.
func (w *Writer) payload() []byte {
	if w.n == 0 {
		return nil
	}
	return w.buffer()[wire.MaxHeaderSize:][:w.n]
}

func (w *Writer) releaseBuffer() {
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

// sendLarge sends a frame of what is collected and, behind it, p or the beginning of it. It returns
// how many bytes of p were sent.
func (w *Writer) sendLarge(p []byte) (int, error) {
	if !w.t.client {
		return len(p), w.send(false, p)
	}
	p = p[:min(len(p), maxMasked)]
	masked := bufpool.Buffer{Memory: bufpool.Get(wire.MaxHeaderSize + w.n + len(p)), Len: wire.MaxHeaderSize}
	defer masked.Release()
	_, _ = masked.Write(w.payload()) // to memory
	_, _ = masked.Write(p)           // likewise
	w.releaseBuffer()
	return len(p), w.sendFrame(false, masked.Bytes(), nil)
}

// send sends a frame of what is collected and, on a server, of the bytes behind it. It keeps the
// end of a compressed message, which may be the tail that is not to be sent.
func (w *Writer) send(fin bool, behind []byte) error {
	var tail [len(deflate.Tail)]byte
	held := 0
	if w.compressor != nil && !fin {
		held = len(tail)
	}
	w.room()
	frame := w.buffer()[:wire.MaxHeaderSize+w.n]
	copy(tail[:held], frame[len(frame)-held:])
	err := w.sendFrame(fin, frame[:len(frame)-held], behind)
	w.releaseBuffer()
	if held > 0 {
		w.n = copy(w.room(), tail[:held])
	}
	return err
}

// sendFrame sends a frame. Its payload is in frame, after room for the header, and goes on in
// behind. A client masks it in place, and has nothing behind.
func (w *Writer) sendFrame(fin bool, frame, behind []byte) error {
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
	if err := w.t.writeFragment(&w.deadline, frame, behind, fin); err != nil {
		return err
	}
	w.begun, w.opcode = true, wire.OpContinuation
	return nil
}

// writeFragment writes a frame of a streamed message.
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

// lockStreamed acquires frameLock for a frame of a streamed message. If the frame can't be written
// in time, the connection has failed: frames of the message may have been sent.
func (t *Conn) lockStreamed(b *WriteDeadline) error {
	err := t.lockFrame(b)
	var waited *Error
	if t.Unwritable() == nil && errors.As(err, &waited) {
		return t.Fail(&Error{Op: "write", Err: waited.Err, Gone: !b.fromCaller && b.ctx.Err() == nil})
	}
	return err
}

// writeBufferSize returns how many bytes of a streamed message are collected for a frame.
func (t *Conn) writeBufferSize() int {
	if t.config.WriteBufferSize > 0 {
		return t.config.WriteBufferSize
	}
	return defaultWriteBuffer
}
