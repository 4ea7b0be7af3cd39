package transport

import (
	"math"

	"github.com/goyave-contrib/websocket/internal/wire"
)

// content is what has come of a message, after decompression. Two rules hold for it: it is
// not longer than the limit, and text is UTF-8 (RFC 6455, 8.1).
type content struct {
	n    int64 // bytes
	text bool  // that must be UTF-8
	utf8 wire.UTF8Validator
}

// take counts and checks what comes next. Zero or less is no limit.
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

// end checks whether the message may end here.
func (c *content) end() error {
	if c.text && !c.utf8.Complete() {
		return wire.ErrInvalidText
	}
	return nil
}

// SetReadLimit bounds the messages that are read from now on, in bytes. Zero or less means
// no limit.
func (t *Conn) SetReadLimit(limit int64) { t.limit.Store(limit) }

// measure counts a data frame towards its message and refuses one that is too
// long. A compressed message may be longer on the wire than its content, a
// little; the content is measured where it is inflated.
func (t *Conn) measure(length uint64) error {
	limit := uint64(math.MaxInt64)
	if n := t.limit.Load(); n > 0 {
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
