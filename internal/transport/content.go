package transport

import (
	"math"

	"github.com/goyave-contrib/websocket/internal/wire"
)

// content is what was received of a message, inflated. Two rules hold for every message: its
// content is not longer than the limit, and text is valid UTF-8 (RFC 6455, 8.1).
type content struct {
	n    int64 // number of bytes
	text bool  // it must be valid UTF-8
	utf8 wire.UTF8Validator
}

// take counts and checks the next bytes. A limit of zero or less is none.
func (c *content) take(p []byte, limit int64) error {
	c.n += int64(len(p))
	if limit > 0 && c.n > limit {
		return wire.ErrTooBig
	}
	if c.text && !c.utf8.Valid(p) {
		return wire.ErrInvalidText
	}
	return nil
}

// end checks that the message may end here, and not within a rune.
func (c *content) end() error {
	if c.text && !c.utf8.Complete() {
		return wire.ErrInvalidText
	}
	return nil
}

// measure adds the length of a data frame to its message. If the message is longer than the
// limit, it fails it, before any of the payload is read. A compressed message may be a little
// longer on the wire than its content, whose size is checked when it is inflated. The read lock
// is held.
func (t *Conn) measure(length uint64) error {
	limit := uint64(math.MaxInt64)
	if n := t.readLimit(); n > 0 {
		limit = uint64(n)
		if t.deflated {
			limit = min(limit+limit/8+1024, math.MaxInt64)
		}
	}
	if length > limit || t.messageSize > limit-length {
		return t.failProtocol(wire.ErrTooBig)
	}
	t.messageSize += length
	return nil
}
