package deflate

import (
	"bytes"
	"sync"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/klauspost/compress/flate"
)

// A compressor deflates whole messages.
type compressor struct {
	w   *flate.Writer
	out bufpool.Buffer
}

// compressors are pools by level, of which flate.HuffmanOnly is the lowest.
var compressors [flate.BestCompression - flate.HuffmanOnly + 1]sync.Pool

// Compress calls use with a message's compressed form, whose memory is used again.
func Compress(p []byte, level int, use func(p []byte) error) error {
	pool := &compressors[level-flate.HuffmanOnly]
	f, ok := pool.Get().(*compressor)
	if !ok {
		w, err := flate.NewWriter(nil, level)
		if err != nil {
			return err
		}
		f = &compressor{w: w}
	}
	defer pool.Put(f)
	f.out = bufpool.Buffer{Memory: bufpool.Get(len(p))}
	defer f.out.Release()
	f.w.Reset(&f.out)
	_, _ = f.w.Write(p) // to memory
	_ = f.w.Flush()
	return use(bytes.TrimSuffix(f.out.Bytes(), []byte(Tail)))
}
