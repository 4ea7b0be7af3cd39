package deflate

import (
	"io"
	"sync"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/wire"
)

const (
	// Tail is what a sender takes from the end of a message, and a receiver adds
	// (RFC 7692, 7.2.1 and 7.2.2).
	Tail = "\x00\x00\xff\xff"

	// maxFinalBlocks is how many last blocks a message may have: two bytes make one, and going
	// on after it costs more than they do.
	maxFinalBlocks = 256

	// outSize is what a message is inflated to in parts: windows and what comes next.
	outSize = 2 * WindowSize

	// tables is what those of the codes take, in bytes.
	tables = 8 << 10
)

// A Source is the compressed form of a message that comes in parts. Its Read
// ends in io.EOF.
type Source interface {
	io.Reader
	// HasMore reports whether the next Read returns without waiting for the peer.
	HasMore() bool
}

// A Reader inflates one message: one that is in memory, or one that comes in parts. What
// it inflates to is lent. Where the peer is waited for and too little has come for that
// memory, it is given back: then a window of what came out is kept, and the tables of the
// codes are made again.
type Reader struct {
	source Source // nil: what follows src is the tail
	src    []byte // has come and is not used yet

	inflater inflater
	lasts    int  // last blocks of the message that have ended
	whole    bool // all of the message is in src, with its tail
	ended    bool

	out   bufpool.Buffer // what came out, of which a window is enough unless all of it is kept
	least int            // bytes of memory for it, at first
	total int            // bytes that came out
	keeps bool           // all of it is kept

	in [1 << 10]byte // memory for src, more than what makes the codes of a block takes
}

var readers = sync.Pool{New: func() any { return new(Reader) }}

// NewReader returns a reader of a message that comes in parts. With keeps, all that
// comes out is kept, for Take.
func NewReader(source Source, keeps bool) *Reader {
	z := readers.Get().(*Reader) //nolint:errcheck // it is
	z.source, z.keeps, z.least = source, keeps, outSize
	return z
}

// NewBytesReader returns a reader of a message that has come, without its tail. All
// that comes out is kept.
func NewBytesReader(p []byte) *Reader {
	z := readers.Get().(*Reader) //nolint:errcheck // it is
	z.src, z.keeps, z.least = p, true, 4*len(p)
	return z
}

// Close gives all memory back.
func (z *Reader) Close() {
	z.inflater.forget()
	z.out.Release()
	*z = Reader{}
	readers.Put(z)
}

// Take returns all that came out.
func (z *Reader) Take() (out bufpool.Buffer) {
	if z.out.Memory == nil {
		z.out.Memory = bufpool.Get(0)
	}
	out, z.out = z.out, bufpool.Buffer{}
	return out
}

// Next returns what comes out next, which stays where it is until the next call: at the end
// nothing, with io.EOF. Other errors may come with something, too.
func (z *Reader) Next() ([]byte, error) {
	for !z.ended {
		if z.inflater.stage == atEnd {
			if err := z.goOnBehindLast(); err != nil {
				return nil, err
			}
			continue
		}
		if z.out.Memory == nil || !z.keeps { // otherwise, only what needs more memory is to have it
			z.makeRoom()
		}
		n, used, err := z.inflater.run(*z.out.Memory, z.out.Len, z.src)
		p := (*z.out.Memory)[z.out.Len:n]
		z.src = z.src[used:]
		z.out.Len = n
		z.total += len(p)
		full := n == len(*z.out.Memory)
		switch {
		case err != nil, len(p) > 0:
			return p, err
		case z.inflater.stage == atEnd:
		case !z.whole && (len(z.src) == 0 || !full):
			if err := z.fetch(); err != nil {
				return nil, err
			}
		case z.inflater.betweenBlocks() && len(z.src) == 0:
			z.ended = true
		case full:
			z.makeRoom()
		default:
			return nil, wire.ErrCorrupt // it has no end
		}
	}
	return nil, io.EOF
}

// goOnBehindLast goes on after a last block, if there is more: a sender may end blocks for
// good within a message (RFC 7692, 7.2.3.4). One that does at its end need not add the byte
// which makes a block of the tail, and the tail may be the end of that last block.
func (z *Reader) goOnBehindLast() error {
	left := z.inflater.left() + len(z.src)
	if !z.whole && left <= len(Tail) {
		return z.fetch()
	}
	z.lasts++
	switch {
	case left == 0, left == len(Tail):
		z.ended = true
	case left < len(Tail), z.lasts > maxFinalBlocks:
		return wire.ErrCorrupt
	default:
		z.inflater.restart()
	}
	return nil
}

// makeRoom has room for what comes out, behind a window.
func (z *Reader) makeRoom() {
	size := 0
	if z.out.Memory != nil {
		size = len(*z.out.Memory)
	}
	switch {
	case z.out.Len < size && (z.keeps || size >= outSize):
	case z.keeps:
		z.out.Grow(max(z.least, 2*z.out.Len))
	case size < outSize:
		z.out.Grow(outSize)
	default:
		z.out.Len = copy(*z.out.Memory, z.window())
	}
}

// window is what must be kept of what came out: a copy may reach it.
func (z *Reader) window() []byte {
	p := z.out.Bytes()
	if z.keeps {
		return p
	}
	return p[max(0, len(p)-WindowSize):]
}

// fetch has more of the compressed message in src, or its tail. Little is kept where the
// peer is waited for.
func (z *Reader) fetch() error {
	n := copy(z.in[:], z.src)
	if z.source != nil {
		if bufpool.MaxKept(z.total) < z.held() && !z.source.HasMore() {
			z.shrink()
		}
		m, err := z.source.Read(z.in[n : len(z.in)-len(Tail)])
		n += m
		z.src = z.in[:n]
		if err != io.EOF { //nolint:errorlint // a wrapped one is no end
			return err
		}
	}
	z.whole = true
	n += copy(z.in[n:], Tail)
	z.src = z.in[:n]
	return nil
}

// held is the memory that would be kept, in bytes.
func (z *Reader) held() int {
	if z.out.Memory == nil {
		return tables
	}
	return tables + len(*z.out.Memory)
}

// shrink keeps a window, in memory of its size.
func (z *Reader) shrink() {
	z.inflater.forget()
	var kept bufpool.Buffer
	if window := z.window(); len(window) > 0 {
		_, _ = kept.Write(window) // to memory
	}
	z.out.Release()
	z.out = kept
}
