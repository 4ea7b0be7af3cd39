package websocket

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
)

// An inflatingReader inflates a message as it comes, in fragments or in a frame that
// is too long to wait for.
type inflatingReader struct{ s *streamInflater } // nil at the end

// A streamInflater is what an inflatingReader takes from a pool.
type streamInflater struct {
	in     bufio.Reader
	r      io.ReadCloser // also a flate.Resetter
	last   bool          // a last block has ended
	lasts  int           // such blocks of the message
	window []byte        // at its end is what was inflated last
}

var streamInflaters = sync.Pool{New: func() any { return &streamInflater{r: flate.NewReader(nil)} }}

// newInflatingReader returns a reader of the message whose compressed form r is.
func newInflatingReader(r io.Reader) *inflatingReader {
	s := streamInflaters.Get().(*streamInflater) //nolint:errcheck // it is
	s.in.Reset(io.MultiReader(r, strings.NewReader(deflateTail+deflateEnd)))
	s.last, s.lasts, s.window = false, 0, s.window[:0]
	_ = s.reset(nil) // always nil
	return &inflatingReader{s: s}
}

func (r *inflatingReader) Read(p []byte) (int, error) {
	if r.s == nil {
		return 0, io.EOF
	}
	n, err := r.s.read(p)
	if err == io.EOF { //nolint:errorlint // a wrapped one is no end
		r.s.in.Reset(nil)
		streamInflaters.Put(r.s)
		r.s = nil
	}
	return n, err
}

func (s *streamInflater) read(p []byte) (int, error) {
	if s.last {
		if err := s.goOn(); err != nil {
			return 0, err
		}
	}
	n, err := s.r.Read(p)
	s.remember(p[:n])
	if err == io.EOF {
		s.last, err = true, nil
	}
	return n, err
}

// goOn waits for what follows a last block.
func (s *streamInflater) goOn() error {
	s.last = false
	s.lasts++
	left, err := s.in.Peek(len(deflateTail) + len(deflateEnd) + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := afterLast(s.lasts, len(left)); err != nil {
		return err
	}
	return s.reset(s.window[max(0, len(s.window)-windowSize):])
}

func (s *streamInflater) reset(window []byte) error {
	return s.r.(flate.Resetter).Reset(&s.in, window) //nolint:errcheck // it is one
}

// remember keeps at least a window of what was inflated.
func (s *streamInflater) remember(p []byte) {
	p = p[max(0, len(p)-windowSize):]
	if len(s.window)+len(p) > 2*windowSize {
		s.window = append(s.window[:0], s.window[len(s.window)-windowSize:]...)
	}
	s.window = append(s.window, p...)
}
