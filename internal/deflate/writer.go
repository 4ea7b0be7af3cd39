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
	flate *flate.Writer // writes to the sink; nil: own is used
	level int
	dst   io.Writer
	out   bufpool.Buffer // the result of Compress

	own *encoder
}

// sink is what the flate.Writer of a Writer writes to.
type sink Writer

func (s *sink) Write(p []byte) (int, error) { return s.dst.Write(p) }

// writers has a pool of Writers for each level, from flate.HuffmanOnly on.
var writers [flate.BestCompression - flate.HuffmanOnly + 1]sync.Pool

// NewWriter returns a Writer to dst, of a message whose copies reach back at most 1<<windowBits
// bytes. The message is compressed with the context of window, which has that size, or by itself
// if window is nil. The level is one of package flate, from HuffmanOnly to BestCompression; it
// panics for another one. Release must be called in any case.
func NewWriter(dst io.Writer, level, windowBits int, window *SendWindow) (*Writer, error) {
	if window == nil && windowBits == MaxWindowBits {
		return newFlateWriter(dst, level)
	}
	w := &Writer{level: level, dst: dst, own: newEncoder()}
	var past []byte
	if window != nil {
		window.settle()
		past = window.past.Bytes()
	}
	w.own.begin(past, 1<<windowBits, level, chunkSize)
	return w, nil
}

// newFlateWriter returns a Writer that uses package flate.
func newFlateWriter(dst io.Writer, level int) (*Writer, error) {
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
func (w *Writer) Write(p []byte) (int, error) {
	if w.own == nil {
		return w.flate.Write(p)
	}
	w.own.compress(p)
	return len(p), w.writeOwn()
}

// Flush writes the rest of the message. The result ends in Tail, which is not to be sent.
func (w *Writer) Flush() error {
	if w.own == nil {
		return w.flate.Flush()
	}
	w.own.end()
	w.own.out = append(w.own.out, Tail...)
	return w.writeOwn()
}

// writeOwn writes what the encoder has made.
func (w *Writer) writeOwn() error {
	if len(w.own.out) == 0 {
		return nil
	}
	_, err := w.dst.Write(w.own.out)
	w.own.out = w.own.out[:0]
	return err
}

// Enter enters the message, which was flushed and sent, in the window that NewWriter was given.
func (w *Writer) Enter(window *SendWindow) { window.replace(w.own.matcher.data) }

// Release returns the Writer to its pool. It must not be used any more.
func (w *Writer) Release() {
	w.dst = nil
	if w.own != nil {
		w.own.release()
		w.own = nil
		return
	}
	writers[w.level-flate.HuffmanOnly].Put(w)
}

// Compress compresses a message and calls use with the result, without Tail, whose memory must not
// be retained. It returns the error of use. NewWriter says what level means.
func Compress(p []byte, level int, use func(p []byte) error) error {
	w, err := newFlateWriter(nil, level)
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
