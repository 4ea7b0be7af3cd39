package conformance_test

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
)

// tail is what a sender removes from the end of a compressed message (RFC 7692, 7.2.1).
const tail = "\x00\x00\xff\xff"

// A flush is how a part of compressed data ends.
type flush int

const (
	byFlush flush = iota // with an empty stored block
	forGood              // with a final block
)

// compressed returns s as DEFLATE data.
func compressed(s string, level int, end flush) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write([]byte(s)) // to memory, which never fails
	if end == byFlush {
		_ = w.Flush()
	} else {
		_ = w.Close()
	}
	return b.String()
}

// deflated returns the message as a compressed one.
func (f frame) deflated(level int) frame {
	f.rsv |= rsv1
	f.payload = strings.TrimSuffix(compressed(f.payload, level, byFlush), tail)
	return f
}

// holding returns a compressed message with the given bytes as its payload.
func holding(payload string) frame { return text(payload).bits(rsv1) }

// inflate inflates a message, without the window of the messages before it (RFC 7692, 7.1.1.1).
func inflate(payload string) (string, error) {
	const end = "\x01\x00\x00\xff\xff" // an empty final block, so that the reader finds the end
	b, err := io.ReadAll(flate.NewReader(strings.NewReader(payload + tail + end)))
	return string(b), err
}
