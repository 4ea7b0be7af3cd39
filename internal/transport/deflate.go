package transport

import (
	"sync/atomic"

	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// DeflateTerms says how the messages of one direction are compressed (RFC 7692, 7.1).
type DeflateTerms struct {
	Takeover   bool  // messages may be compressed with the context of earlier ones
	WindowBits uint8 // copies reach back at most 1<<WindowBits bytes: 8 to 15
}

// deflating is what a Conn has for permessage-deflate. The windows are taken out while they are
// used, and given back: so the socket may be closed, and the windows released, at any time. There
// is one user at a time: the holder of messageLock, and the reading goroutine.
type deflating struct {
	sends, receives DeflateTerms
	level           atomic.Int32 // of later messages, on the scale of package flate

	sent     atomic.Pointer[deflate.SendWindow]    // nil: none yet, taken out, or released
	received atomic.Pointer[deflate.ReceiveWindow] // likewise

	// The bytes of memory that the windows have, or had when they were last given back.
	sentMemory, receivedMemory atomic.Int32

	taken   *deflate.ReceiveWindow // which the reading goroutine has taken out
	arrives *deflate.Reader        // of the message that is inflated as it arrives; likewise
}

// UseDeflate says that permessage-deflate was negotiated (RFC 7692), and on which terms. It must be
// called before Open.
func (t *Conn) UseDeflate(sends, receives DeflateTerms) {
	t.deflating = &deflating{sends: sends, receives: receives}
}

// DeflateWindow returns the size of the window of messages that are written, as an exponent of 2.
// UseDeflate was called.
func (t *Conn) DeflateWindow() int { return int(t.deflating.sends.WindowBits) }

// WindowMemory returns how much memory the windows of context takeover have, in bytes. Any
// goroutine may call it.
func (t *Conn) WindowMemory() int64 {
	if t.deflating == nil {
		return 0
	}
	return int64(t.deflating.sentMemory.Load()) + int64(t.deflating.receivedMemory.Load())
}

// EnableCompression turns the compression of later messages on or off. It has no effect unless
// UseDeflate was called.
func (t *Conn) EnableCompression(enable bool) {
	if enable {
		t.flags.clear(writeUncompressed)
	} else {
		t.flags.set(writeUncompressed)
	}
}

// SetCompressionLevel sets the level of later messages, from flate.HuffmanOnly to
// flate.BestCompression. It has no effect unless UseDeflate was called.
func (t *Conn) SetCompressionLevel(level int) {
	if t.deflating != nil {
		t.deflating.level.Store(int32(level)) //nolint:gosec // levels are small
	}
}

// CompressionLevel returns the level of later messages. UseDeflate was called.
func (t *Conn) CompressionLevel() int { return int(t.deflating.level.Load()) }

// Compresses reports whether messages that are written are compressed.
func (t *Conn) Compresses() bool { return t.deflating != nil && !t.flags.has(writeUncompressed) }

// CompressesMessage reports whether a whole message of this size, in bytes, is compressed.
func (t *Conn) CompressesMessage(size int) bool {
	if !t.Compresses() {
		return false
	}
	if t.takesOver() {
		return size >= t.config.TakeoverThreshold
	}
	return size >= t.config.CompressionThreshold
}

// takesOver reports whether messages that are written have the context of those before.
func (t *Conn) takesOver() bool { return t.deflating != nil && t.deflating.sends.Takeover }

// writeDeflated compresses a message and writes it in one frame. messageLock is held.
func (t *Conn) writeDeflated(b *WriteDeadline, opcode byte, p []byte) error {
	write := func(p []byte) error { return t.writeFrame(b, opcode|wire.BitRSV1, p) }
	if !t.takesOver() {
		return deflate.CompressAlone(p, t.CompressionLevel(), t.DeflateWindow(), write)
	}
	w, err := t.takeSent()
	if err != nil {
		return err
	}
	defer t.giveBackSent(w)
	return w.Compress(p, t.CompressionLevel(), write)
}

// enterSent enters a message in the window, if there is one. It was sent compressed by itself.
// messageLock is held.
func (t *Conn) enterSent(message []byte) {
	if !t.takesOver() {
		return
	}
	if w, err := t.takeSent(); err == nil {
		defer t.giveBackSent(w)
		w.Enter(message)
	}
}

// takeSent takes the window of messages that are written. The caller must give it back.
func (t *Conn) takeSent() (*deflate.SendWindow, error) {
	d := t.deflating
	w := d.sent.Swap(nil)
	switch {
	case w != nil:
		return w, nil
	case t.isClosed(): // it may be released
		return nil, t.endError()
	default:
		return deflate.NewSendWindow(t.DeflateWindow()), nil
	}
}

// giveBackSent gives the window back that takeSent took.
func (t *Conn) giveBackSent(w *deflate.SendWindow) {
	t.deflating.sentMemory.Store(int32(w.MemorySize())) //nolint:gosec // it is small
	t.deflating.sent.Store(w)
	if t.isClosed() {
		t.releaseWindows()
	}
}

// takeReceived takes the window of messages that are read, nil if there is none. The reading
// goroutine must give it back.
func (t *Conn) takeReceived() (*deflate.ReceiveWindow, error) {
	d := t.deflating
	if !d.receives.Takeover {
		return nil, nil //nolint:nilnil // a nil window is one without content
	}
	d.taken = d.received.Swap(nil)
	switch {
	case d.taken != nil:
	case t.isClosed(): // it may be released
		return nil, t.endError()
	default:
		d.taken = deflate.NewReceiveWindow(int(d.receives.WindowBits))
	}
	return d.taken, nil
}

// giveBackReceived gives the window back that takeReceived took, if it did.
func (t *Conn) giveBackReceived() {
	d := t.deflating
	w := d.taken
	if w == nil {
		return
	}
	d.taken = nil
	d.receivedMemory.Store(int32(w.MemorySize())) //nolint:gosec // it is small
	d.received.Store(w)
	if t.isClosed() {
		t.releaseWindows()
	}
}

// releaseWindows releases the windows that nothing uses at the moment. The socket is closed, or
// about to be: nothing can be written or read any more.
func (t *Conn) releaseWindows() {
	d := t.deflating
	if d == nil {
		return
	}
	if w := d.sent.Swap(nil); w != nil {
		w.Release()
		d.sentMemory.Store(0)
	}
	if w := d.received.Swap(nil); w != nil {
		w.Release()
		d.receivedMemory.Store(0)
	}
}
