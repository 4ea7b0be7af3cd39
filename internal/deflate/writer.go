package deflate

import (
	"bytes"
	"io"
	"sync"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/klauspost/compress/flate"
)

// A Writer compresses one message as it grows. What it makes goes to another writer, in
// pieces.
type Writer struct {
	flate *flate.Writer // which writes to the sink
	level int
	dst   io.Writer
	out   bufpool.Buffer // what Compress makes
}

// sink is where a Writer's compressor writes to.
type sink Writer

func (s *sink) Write(p []byte) (int, error) { return s.dst.Write(p) }

// writers are pools by level, of which flate.HuffmanOnly is the lowest.
var writers [flate.BestCompression - flate.HuffmanOnly + 1]sync.Pool

// NewWriter returns a Writer to dst, of a level of package flate from HuffmanOnly to
// BestCompression. Release must follow.
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

// Write compresses what comes next. Some of it may stay with the Writer.
func (w *Writer) Write(p []byte) (int, error) { return w.flate.Write(p) }

// Flush writes what is left of the message. It ends in Tail, which is not to be sent.
func (w *Writer) Flush() error { return w.flate.Flush() }

// Release has the Writer used again.
func (w *Writer) Release() {
	w.dst = nil
	writers[w.level-flate.HuffmanOnly].Put(w)
}

// Compress calls use with a message's compressed form, whose memory is used again.
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
