package conformance_test

import (
	"bytes"
	"compress/flate"
	"io"
	"strconv"
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

// inflate inflates a message. past is the end of the earlier messages, which it may refer to (RFC 7692,
// 7.1.1).
func inflate(payload, past string) (string, error) {
	const end = "\x01\x00\x00\xff\xff" // an empty final block, so that the reader finds the end
	b, err := io.ReadAll(flate.NewReaderDict(strings.NewReader(payload+tail+end), []byte(past)))
	return string(b), err
}

// takenOver returns how many bytes of its earlier messages a side may refer to, "server" or "client", by
// the server's answer to an offer.
func takenOver(answer, side string) int {
	if answer == "" || strings.Contains(answer, side+"_no_context_takeover") {
		return 0
	}
	bits := 15
	if _, value, found := strings.Cut(answer, side+"_max_window_bits="); found {
		value, _, _ = strings.Cut(value, ";")
		bits, _ = strconv.Atoi(value) // zero is wrong enough
	}
	return 1 << bits
}

func lastBytes(s string, n int) string { return s[max(0, len(s)-n):] }

// chained returns messages, each compressed with the context of the messages before it. The context is
// so short that no copy reaches back farther than the window (RFC 7692, 7.1.2.2).
func chained(window int, messages ...frame) (chain all) {
	past := ""
	for _, m := range messages {
		var b bytes.Buffer
		w, err := flate.NewWriterDict(&b, 9, []byte(lastBytes(past, max(0, window-len(m.payload)))))
		if err != nil {
			panic(err)
		}
		_, _ = w.Write([]byte(m.payload)) // to memory, which never fails
		_ = w.Flush()
		past += m.payload
		m.rsv |= rsv1
		m.payload = strings.TrimSuffix(b.String(), tail)
		chain = append(chain, m)
	}
	return chain
}
