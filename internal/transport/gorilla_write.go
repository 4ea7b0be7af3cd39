package transport

import (
	"time"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// A viewedFrame is a frame that gorilla writes. Gorilla writes one at a time, by a lock of its own.
type viewedFrame struct {
	deadline time.Time // set by gorilla before the frame

	header  [wire.MaxHeaderSize]byte
	n       int // bytes of header that are known
	payload bufpool.Buffer

	message *Writer // of the fragmented message under way; nil without one
}

// SetWriteDeadline sets the deadline of the next frame: gorilla calls it before each. Conn's
// SetWriteDeadline sets another one.
func (v *GorillaView) SetWriteDeadline(d time.Time) error {
	t := (*Conn)(v)
	if !t.open {
		return nil
	}
	t.ensureGorilla().write.deadline = d
	return nil
}

// Write takes a frame, or a part of one, and has the engine write it once it is complete. The
// engine compresses it if that was agreed on.
func (v *GorillaView) Write(p []byte) (n int, err error) {
	t := (*Conn)(v)
	if !t.open {
		return len(p), nil
	}
	f := &t.ensureGorilla().write
	for len(p) > 0 {
		m := f.take(p)
		n += m
		p = p[m:]
		if !f.isWhole() {
			continue
		}
		err := t.writeViewed(f)
		f.n = 0
		f.payload.Release()
		if err != nil {
			t.abandonViewed(f, err)
			return n, err
		}
	}
	return n, nil
}

// abandonViewed ends the connection if a control frame failed within a message: gorilla writes
// nothing after an error, so the message will never be complete.
func (t *Conn) abandonViewed(f *viewedFrame, err error) {
	if f.message == nil {
		return
	}
	if t.Unwritable() == nil {
		_ = t.Fail(&Error{Op: "write", Err: err})
	}
	_ = f.message.close(t.ownDeadline()) // it releases the lock
	f.message = nil
}

// take takes what belongs to the frame: its header first, and what is there of its payload. It
// returns the number of bytes.
func (f *viewedFrame) take(p []byte) (n int) {
	for ; n < len(p) && !wire.HasHeader(f.header[:f.n]); n++ {
		f.header[f.n] = p[n]
		f.n++
	}
	if wire.HasHeader(f.header[:f.n]) {
		rest := wire.ParseHeader(f.header[:]).Length - uint64(f.payload.Len) //nolint:gosec // a length
		m, _ := f.payload.Write(p[n:][:min(uint64(len(p)-n), rest)])         // to memory
		n += m
	}
	return n
}

// isWhole reports whether the frame is complete.
func (f *viewedFrame) isWhole() bool {
	return wire.HasHeader(f.header[:f.n]) && wire.ParseHeader(f.header[:]).Length == uint64(f.payload.Len) //nolint:gosec // likewise
}

// writeViewed writes a frame of gorilla's.
func (t *Conn) writeViewed(f *viewedFrame) error {
	h := wire.ParseHeader(f.header[:])
	payload := f.payload.Bytes()
	if h.Masked {
		wire.Mask(payload, h.Key)
	}
	b := t.WriteDeadlineAt(f.deadline)
	switch {
	case h.Opcode == wire.OpClose:
		return t.WriteCloseMessage(&b, payload)
	case h.IsControl():
		return t.writeFrame(&b, h.Opcode, payload)
	case f.message == nil && h.Fin:
		return t.WriteMessage(&b, h.Opcode, payload)
	default:
		return t.writeViewedFragment(f, b, h, payload)
	}
}

// writeViewedFragment writes a frame of a fragmented message. messageLock is held from the first
// frame to the last, or to an error, after which gorilla writes nothing more.
func (t *Conn) writeViewedFragment(f *viewedFrame, b WriteDeadline, h wire.Header, payload []byte) (err error) {
	if f.message == nil {
		if f.message, err = t.NextWriter(&b, int(h.Opcode)); err != nil {
			return err
		}
	}
	if _, err = f.message.write(b, payload); err == nil && !h.Fin {
		return nil
	}
	if closed := f.message.close(b); err == nil {
		err = closed
	}
	f.message = nil
	return err
}
