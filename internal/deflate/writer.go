package deflate

import (
	"bytes"
	"io"
	"sync"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/klauspost/compress/flate"
)

// A Writer compresses one message piece by piece, and writes the result to another writer. One
// goroutine at a time may use it.
type Writer struct {
	flate *flate.Writer // writes to the sink
	level int
	dst   io.Writer
	out   bufpool.Buffer // the result of Compress
}

// sink is what the flate.Writer of a Writer writes to.
type sink Writer

func (s *sink) Write(p []byte) (int, error) { return s.dst.Write(p) }

// writers has a pool of Writers for each level, from flate.HuffmanOnly on.
var writers [flate.BestCompression - flate.HuffmanOnly + 1]sync.Pool

// NewWriter returns a Writer to dst. The level is one of package flate, from HuffmanOnly to
// BestCompression; it panics for another one. Release must be called in any case.
func NewWriter(dst io.Writer, level int) (*Writer, error) {
	w, ok := writers[level-flate.HuffmanOnly].Get().(*Writer)
	if !ok {
		w = &Writer{level: level}
		compressor, err := flate.NewWriter((*sink)(w), level)
		if err != nil {
			return nil, err
		}
		w.flate = compressor
	}
	w.flate.Reset((*sink)(w))
	w.dst = dst
	return w, nil
}

// Write compresses the next part of the message. The Writer may keep some of it until Flush.
func (w *Writer) Write(p []byte) (int, error) { return w.flate.Write(p) }

// Flush writes the rest of the message. The result ends in Tail, which is not to be sent.
func (w *Writer) Flush() error { return w.flate.Flush() }

// Release returns the Writer to its pool. It must not be used any more.
func (w *Writer) Release() {
	w.dst = nil
	writers[w.level-flate.HuffmanOnly].Put(w)
}

// Compress compresses a message and calls use with the result, without Tail, whose memory must not
// be retained. It returns the error of use. NewWriter says what level means.
func Compress(p []byte, level int, use func(p []byte) error) error {
	w, err := NewWriter(nil, level)
	if err != nil {
		return err
	}
	defer w.Release()
	w.out = bufpool.Buffer{Memory: bufpool.Get(len(p))}
	defer w.out.Release()
	w.dst = &w.out
	_, _ = w.Write(p) // to memory
	_ = w.Flush()
	return use(bytes.TrimSuffix(w.out.Bytes(), []byte(Tail)))
}
