package conformance_test

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
)

// tail is what a sender takes from the end of a compressed message (RFC 7692,
// 7.2.1).
const tail = "\x00\x00\xff\xff"

// How a part of compressed data ends.
type flush int

const (
	byFlush flush = iota // with an empty stored block
	forGood              // with a block that is the last
)

// compressed is deflated data.
func compressed(s string, level int, end flush) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write([]byte(s)) // to memory
	if end == byFlush {
		_ = w.Flush()
	} else {
		_ = w.Close()
	}
	return b.String()
}

// deflated is a message, compressed.
func (f frame) deflated(level int) frame {
	f.rsv |= rsv1
	f.payload = strings.TrimSuffix(compressed(f.payload, level, byFlush), tail)
	return f
}

// holding is a compressed message with these bytes.
func holding(payload string) frame { return text(payload).bits(rsv1) }

// inflate inflates a message by itself: nothing of those before it counts (RFC
// 7692, 7.1.1.1).
func inflate(payload string) (string, error) {
	const end = "\x01\x00\x00\xff\xff" // an empty last block, lest the end is missed
	b, err := io.ReadAll(flate.NewReader(strings.NewReader(payload + tail + end)))
	return string(b), err
}
