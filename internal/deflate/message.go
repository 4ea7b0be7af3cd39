package deflate

import (
	"io"
	"sync"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// Tail is what a sender takes from the end of a message, and a receiver
// adds (RFC 7692, 7.2.1 and 7.2.2).
const Tail = "\x00\x00\xff\xff"

// maxFinalBlocks is how many last blocks a message may have: two bytes make one, and going on
// after it costs more than they do.
const maxFinalBlocks = 256

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// Inflate inflates a message with its tail to as much memory as it needs, but not to
// more than limit bytes where that is not 0 or less.
func Inflate(p []byte, out *bufpool.Buffer, limit int64) error {
	f := inflaters.Get().(*inflater) //nolint:errcheck // it is
	defer func() {
		f.forget()
		*f = inflater{}
		inflaters.Put(f)
	}()
	for lasts := 0; ; {
		_ = out.Tail() // there is some now
		room := *out.Memory
		if limit > 0 && limit < int64(len(room)) {
			room = room[:limit+1]
		}
		n, used, err := f.run(room, out.Len, p)
		p = p[used:]
		out.Len = n
		switch {
		case limit > 0 && int64(n) > limit:
			return wire.ErrTooBig
		case err != nil:
			return err
		case f.betweenBlocks() && len(p) == 0:
			return nil
		case f.stage != atEnd && n < len(room): // it has no end
			return wire.ErrCorrupt
		case f.stage != atEnd:
			continue
		}
		lasts++
		switch err := afterFinalBlock(lasts, f.left()+len(p)); {
		case err == io.EOF: //nolint:errorlint // it is bare
			return nil
		case err != nil:
			return err
		}
		f.restart()
	}
}

// afterFinalBlock tells from the number of last blocks and of the bytes behind them
// whether the message ends: a sender may end blocks for good within a message (RFC
// 7692, 7.2.3.4). One that does at its end need not add the byte which makes a block
// of the tail, and the tail may be the end of that last block.
func afterFinalBlock(lasts, left int) error {
	switch {
	case left == 0, left == len(Tail):
		return io.EOF
	case left < len(Tail), lasts > maxFinalBlocks:
		return wire.ErrCorrupt
	default:
		return nil
	}
}
