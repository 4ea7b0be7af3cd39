package deflate

import (
	"bytes"
	"io"
	"sync"

	"github.com/goyave-contrib/websocket/internal/bufpool"
)

// An Reader inflates a message as it comes, in fragments or in a frame that
// is too long to wait for.
type Reader struct{ s *stream } // nil at the end

// A stream is what an Reader takes from a pool. What it inflates to is
// lent, and given back while the peer is waited for: then it keeps a window of what came
// out, and the tables of codes are made again.
type stream struct {
	wire io.Reader // of the compressed message
	more func() bool

	f     inflater
	lasts int  // last blocks of the message that have ended
	whole bool // all of the message has come
	ended bool

	in   [1 << 10]byte
	from int // in[from:to] is not used yet
	to   int

	out   bufpool.Buffer // what came out, of which a window is enough
	given int            // so many bytes of it are handed on
	total int            // bytes that came out
	keeps bool           // all of it is kept
}

const (
	// outSize is what a message is inflated to in parts: windows and what comes next.
	outSize = 2 * WindowSize

	// tables is what those of the codes take, in bytes.
	tables = 8 << 10
)

var streams = sync.Pool{New: func() any { return new(stream) }}

// NewReader returns a reader of the message whose compressed form wire is. More
// reports whether that has something to return that has come.
func NewReader(wire io.Reader, more func() bool) *Reader {
	s := streams.Get().(*stream) //nolint:errcheck // it is
	s.wire, s.more = wire, more
	return &Reader{s: s}
}

// end gives all memory back.
func (s *stream) end() {
	s.f.forget()
	s.out.Release()
	*s = stream{}
	streams.Put(s)
}

func (r *Reader) Read(p []byte) (int, error) {
	if r.s == nil {
		return 0, io.EOF
	}
	n, err := r.s.read(p)
	if err != nil && !r.s.keeps {
		r.Close()
	}
	return n, err
}

// Keep has all that comes out kept, from the beginning on, for message.
func (r *Reader) Keep() { r.s.keeps = true }

// Message returns all that came out, once Read has come to the end.
func (r *Reader) Message() []byte {
	defer r.Close()
	if p := bytes.Clone(r.s.out.Bytes()); p != nil {
		return p
	}
	return []byte{}
}

// Close gives all memory back: nothing more is read.
func (r *Reader) Close() {
	if r.s != nil {
		r.s.end()
		r.s = nil
	}
}

// HasMore reports whether something that came out is not handed on yet.
func (r *Reader) HasMore() bool { return r.s != nil && r.s.given < r.s.out.Len }

func (s *stream) read(p []byte) (int, error) {
	for s.given == s.out.Len && !s.ended {
		if err := s.goOn(); err != nil {
			return 0, err
		}
	}
	if s.given == s.out.Len {
		return 0, io.EOF
	}
	n := copy(p, s.out.Bytes()[s.given:])
	s.given += n
	return n, nil
}

// goOn inflates what has come and is not used yet, or waits for more.
func (s *stream) goOn() error {
	if s.f.stage == atEnd {
		return s.goOnBehind()
	}
	s.makeRoom()
	n, used, err := s.f.run(*s.out.Memory, s.out.Len, s.in[s.from:s.to])
	s.from += used
	s.total += n - s.out.Len
	switch {
	case err != nil:
		return err
	case n > s.out.Len || s.f.stage == atEnd:
		s.out.Len = n
		return nil
	case s.whole && s.f.betweenBlocks() && s.from == s.to:
		s.ended = true
		return nil
	case s.whole:
		return io.ErrUnexpectedEOF
	default:
		return s.fetch()
	}
}

// goOnBehind goes on after a last block, if there is more.
func (s *stream) goOnBehind() error {
	left := s.f.left() + s.to - s.from
	if !s.whole && left <= len(Tail) {
		return s.fetch()
	}
	s.lasts++
	err := afterFinalBlock(s.lasts, left)
	if err == io.EOF { //nolint:errorlint // it is bare
		s.ended = true
		return nil
	}
	s.f.restart()
	return err
}

// makeRoom has room for what comes out, behind a window.
func (s *stream) makeRoom() {
	switch {
	case s.out.Memory == nil || len(*s.out.Memory) < outSize:
		s.out.Grow(outSize)
	case s.out.Len < len(*s.out.Memory):
	case s.keeps:
		s.out.Grow(2 * s.out.Len)
	default:
		s.out.Len = copy(*s.out.Memory, s.window())
	}
	s.given = s.out.Len
}

// window is what must be kept of what came out: a copy may reach it.
func (s *stream) window() []byte {
	p := s.out.Bytes()
	if s.keeps {
		return p
	}
	return p[max(0, len(p)-WindowSize):]
}

// fetch reads more of the compressed message, and keeps little where that is waited for.
func (s *stream) fetch() error {
	if bufpool.MaxKept(s.total) < s.held() && !s.more() {
		s.shrink()
	}
	s.to = copy(s.in[:], s.in[s.from:s.to])
	s.from = 0
	n, err := s.wire.Read(s.in[s.to : len(s.in)-len(Tail)])
	if err == io.EOF { // a wrapped one is no end
		s.whole, err = true, nil
		n += copy(s.in[s.to+n:], Tail)
	}
	s.to += n
	return err
}

// held is the memory that would be kept, in bytes.
func (s *stream) held() int {
	if s.out.Memory == nil {
		return tables
	}
	return tables + len(*s.out.Memory)
}

// shrink keeps a window, in memory of its size, all of which is handed on.
func (s *stream) shrink() {
	s.f.forget()
	var kept bufpool.Buffer
	if window := s.window(); len(window) > 0 {
		_, _ = kept.Write(window) // to memory
	}
	s.out.Release()
	s.out = kept
	s.given = s.out.Len
}
