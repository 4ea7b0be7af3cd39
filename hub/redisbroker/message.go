package redisbroker

import (
	"crypto/rand"
	"strconv"
	"strings"

	"github.com/goyave-contrib/websocket/hub"
)

// An origin is the first part of each message and identifies the Broker that has published it, so
// that a Broker can ignore its own messages. Its first bit is 0. Other programs publish with zeros.
type origin [8]byte

func newOrigin() (o origin) {
	_, _ = rand.Read(o[:]) // never fails
	o[0] &= 0x7f
	return o
}

// entryMark is what an entry of a history has in the place of an origin. The script append.lua
// writes it. After it come the epoch, the offset and the previous offset in decimal, each with a space
// behind it, and then the payload.
const entryMark = "\xff\xff\xff\xff\xff\xff\xff\xff"

// maxEpoch is the greatest length of an epoch, in bytes.
const maxEpoch = 128

// parseEntry parses what follows the mark of an entry.
func parseEntry(s string) (e hub.Entry, ok bool) {
	var fields [3]string
	for i := range fields {
		if fields[i], s, ok = strings.Cut(s, " "); !ok || fields[i] == "" {
			return hub.Entry{}, false
		}
	}
	e.Epoch, e.Payload = fields[0], []byte(s)
	if len(e.Epoch) > maxEpoch {
		return hub.Entry{}, false
	}
	var err error
	if e.Offset, err = strconv.ParseUint(fields[1], 10, 64); err != nil || e.Offset == 0 {
		return hub.Entry{}, false
	}
	if e.Previous, err = strconv.ParseUint(fields[2], 10, 64); err != nil || e.Previous >= e.Offset {
		return hub.Entry{}, false
	}
	return e, true
}
