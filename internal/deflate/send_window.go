package deflate

import (
	"slices"

	"github.com/goyave-contrib/websocket/internal/bufpool"
)

const (
	// keptTableBits is the least size of a window, as an exponent of 2, that keeps the table of its
	// positions. For a smaller one, making it again for each message costs little.
	keptTableBits = 13

	// maxKeptTable is the most buckets of a table that a window keeps. Their 5,376 bytes are a size
	// that the allocator has, and leave room for the rest of a connection: see docs/operations.md.
	maxKeptTable = 1344

	// maxLater is the number of messages that a window keeps in their own memory. As many of half a
	// KiB are as long as the largest window.
	maxLater = 64
)

// A SendWindow is the end of what was sent compressed on a connection: the context for what is sent
// next (RFC 7692, 7.1.1). It takes memory as it fills, and keeps a table of its positions, of at
// most 3/16 of its size and at most 5,376 bytes. What is sent to many stays where it is until a
// message is compressed that may refer to it. Until its end, the connection must not use another
// one for what it sends. One goroutine at a time may use it.
//
// Its fields have small types, because each connection has one.
type SendWindow struct {
	past    bufpool.Buffer
	table   []bucket
	later   *laterMessages // behind past; nil: none yet
	entered int32          // bytes of past that are in table
	base    uint16         // of the positions in table: see matcher
	bits    uint8
}

// laterMessages are messages in memory that others share. The first may reach out of the window.
type laterMessages struct {
	all  [][]byte
	size int // bytes
}

// NewSendWindow returns an empty window of 1<<bits bytes.
func NewSendWindow(bits int) *SendWindow { return &SendWindow{bits: uint8(bits)} } //nolint:gosec // 8 to 15

// Release releases all memory. The window must not be used any more.
func (w *SendWindow) Release() {
	w.past.Release()
	*w = SendWindow{}
}

// MemorySize returns the memory that the window has for itself, in bytes.
func (w *SendWindow) MemorySize() int { return memorySize(&w.past) + 4*cap(w.table) }

func (w *SendWindow) size() int { return 1 << w.bits }

// Compress compresses a message and calls use with the result, as the function Compress does. The
// message is in the window afterwards, unless use returns an error: then it was not sent.
func (w *SendWindow) Compress(p []byte, level int, use func(p []byte) error) error {
	w.settle()
	e := newEncoder()
	if level == fastLevel && w.bits >= keptTableBits && len(p) <= w.size()/8 {
		return w.compressWithin(e, p, use)
	}
	e.begin(w.past.Bytes(), w.size(), level, len(p))
	e.compress(p)
	e.end()
	if err := e.use(use); err != nil {
		return err
	}
	w.add(p)
	return nil
}

// compressWithin is Compress in the memory of the window, with its own table. It releases e.
func (w *SendWindow) compressWithin(e *encoder, p []byte, use func(p []byte) error) error {
	w.makeRoom(len(p))
	if w.table == nil {
		w.table = make([]bucket, min(3*w.size()/64, maxKeptTable))
	}
	n := w.past.Len
	w.past.Len += copy((*w.past.Memory)[n:], p)
	e.matcher = matcher{data: w.past.Bytes(), base: w.base, window: w.size(), table: w.table, patience: fastPatience}
	e.matcher.enter(int(w.entered), n, 2)
	e.level, e.from = fastLevel, n
	e.compressTo(w.past.Len)
	e.flush()
	err := e.use(use)
	if err != nil {
		w.past.Len = n // positions behind it are harmless: what is found is compared
	}
	w.entered = int32(w.past.Len) //nolint:gosec // at most 1<<15
	return err
}

// Enter enters a message that was sent as CompressAlone made it. The message must not change any
// more: a large window keeps it as it is, because one that many connections share is most often
// followed by others, and is out of their windows before anything refers to it.
func (w *SendWindow) Enter(p []byte) {
	switch {
	case len(p) == 0:
		return
	case w.bits < keptTableBits || len(p) > w.size():
		w.settle()
		w.add(p)
		return
	case w.later == nil:
		w.later = new(laterMessages)
	case len(w.later.all) == maxLater:
		w.settle()
	}
	if w.later.add(p, w.size()) {
		w.past.Release()
		w.entered = 0
	}
}

// add adds a message, and drops what is out of a window of the given size. It reports whether what
// is left fills the window.
func (l *laterMessages) add(p []byte, window int) (full bool) {
	l.all = append(l.all, p)
	l.size += len(p)
	out := 0
	for ; l.size-len(l.all[out]) >= window; out++ {
		l.size -= len(l.all[out])
	}
	l.all = slices.Delete(l.all, 0, out)
	return l.size >= window
}

// settle copies the messages that are kept as they are to the memory of the window.
func (w *SendWindow) settle() {
	if w.later == nil || w.later.size == 0 {
		return
	}
	messages := w.later.all
	if out := w.later.size - w.size(); out > 0 {
		messages[0] = messages[0][out:]
		w.later.size -= out
	}
	w.makeRoom(w.later.size)
	for _, p := range messages {
		w.past.Len += copy((*w.past.Memory)[w.past.Len:], p)
	}
	w.forgetLater()
}

// forgetLater lets go of the messages that are kept as they are.
func (w *SendWindow) forgetLater() {
	if w.later != nil {
		clear(w.later.all)
		w.later.all, w.later.size = w.later.all[:0], 0
	}
}

// add copies a message to the memory of the window.
func (w *SendWindow) add(p []byte) {
	p = p[max(0, len(p)-w.size()):]
	w.makeRoom(len(p))
	w.past.Len += copy((*w.past.Memory)[w.past.Len:], p)
}

// replace makes p, or the end of it, all that the window has.
func (w *SendWindow) replace(p []byte) {
	w.forgetLater()
	w.past.Len, w.entered = 0, 0
	w.add(p)
}

// makeRoom makes room for a message of n bytes, of at most the size of the window. When the window
// is full, it drops what is oldest; a large window somewhat more, because it must move the rest.
func (w *SendWindow) makeRoom(n int) {
	switch {
	case w.past.Memory == nil:
		w.past.Memory = bufpool.Get(min(w.size(), max(firstWindow, n)))
	case w.past.Len+n <= min(len(*w.past.Memory), w.size()):
	case len(*w.past.Memory) < w.size():
		w.past.Grow(min(w.size(), w.past.Len+n))
	}
	if w.past.Len+n <= w.size() {
		return
	}
	kept := w.size() - n
	if w.bits >= keptTableBits {
		kept = min(kept, w.size()/8*7)
	}
	out := w.past.Len - kept
	p := w.past.Bytes()
	w.past.Len = copy(p, p[out:])
	w.base += uint16(out)                    //nolint:gosec // modulo 1<<16
	w.entered = max(0, w.entered-int32(out)) //nolint:gosec // likewise
}
