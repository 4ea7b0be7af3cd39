package deflate

import "github.com/goyave-contrib/websocket/internal/bufpool"

// A ReceiveWindow is the end of what was received compressed on a connection: the context for what
// is received next. It takes memory as it fills. One goroutine at a time may use it. Its fields have
// small types, because each connection has one.
type ReceiveWindow struct {
	past bufpool.Buffer // a ring once it is full
	next int32          // where the next byte goes
	bits uint8
}

// NewReceiveWindow returns an empty window of 1<<bits bytes.
func NewReceiveWindow(bits int) *ReceiveWindow { return &ReceiveWindow{bits: uint8(bits)} } //nolint:gosec // 8 to 15

// Release releases all memory. The window must not be used any more.
func (w *ReceiveWindow) Release() {
	w.past.Release()
	*w = ReceiveWindow{}
}

// MemorySize returns the memory that the window has, in bytes.
func (w *ReceiveWindow) MemorySize() int { return memorySize(&w.past) }

func (w *ReceiveWindow) size() int { return 1 << w.bits }

// length returns how many bytes are in the window. A nil window is empty.
func (w *ReceiveWindow) length() int {
	if w == nil {
		return 0
	}
	return w.past.Len
}

// enter enters what was received.
func (w *ReceiveWindow) enter(p []byte) {
	p = p[max(0, len(p)-w.size()):]
	if len(p) == 0 {
		return
	}
	needed := min(w.size(), w.past.Len+len(p))
	if w.past.Memory == nil {
		w.past.Memory = bufpool.Get(min(w.size(), max(firstWindow, needed)))
	} else if len(*w.past.Memory) < needed {
		w.past.Grow(needed)
	}
	ring := (*w.past.Memory)[:min(w.size(), len(*w.past.Memory))]
	n := copy(ring[w.next:], p)
	copy(ring, p[n:])
	w.next = int32((int(w.next) + len(p)) & (w.size() - 1)) //nolint:gosec // at most 1<<15
	w.past.Len = needed
}

// copyTo copies to p what is in the window from back bytes before its end on, back being at most
// its length. It returns the number of bytes, which is less than len(p) at the end of the window.
func (w *ReceiveWindow) copyTo(p []byte, back int) int {
	p = p[:min(len(p), back)]
	from := (int(w.next) - back) & (w.size() - 1)
	n := copy(p, (*w.past.Memory)[from:w.past.Len])
	return n + copy(p[n:], w.past.Bytes())
}
