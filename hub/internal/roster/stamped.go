package roster

import (
	"encoding/binary"
	"math"
	"strings"
)

// A stamped is a value of a person, with the time at which it was set and the node that set it. It is
// never changed, so many can share it.
type stamped struct {
	time  uint64 // nanoseconds since 1970, or one more than an earlier time that is known; 0 if it was never set
	node  string
	value []byte // nil if it is empty
}

// unset is the value of a person that has none.
var unset = new(stamped)

func (s *stamped) isBefore(other *stamped) bool {
	if s.time != other.time {
		return s.time < other.time
	}
	return strings.Compare(s.node, other.node) < 0
}

func newest(a, b *stamped) *stamped {
	if a.isBefore(b) {
		return b
	}
	return a
}

// encode returns the value as brokers keep it: 8 bytes of time, a byte for the length of the node's
// name, the name, and the value. docs/hub.md has the format.
func (s *stamped) encode() []byte {
	p := make([]byte, 0, 9+len(s.node)+len(s.value))
	p = binary.BigEndian.AppendUint64(p, s.time)
	p = append(p, byte(len(s.node))) //nolint:gosec // a node has a short name, also after decode
	p = append(p, s.node...)
	return append(p, s.value...)
}

// decodeStamped reads what encode returns. It copies what it keeps.
func decodeStamped(p []byte) (s *stamped, ok bool) {
	if len(p) < 9 || len(p) < 9+int(p[8]) {
		return nil, false
	}
	s = &stamped{time: binary.BigEndian.Uint64(p), node: string(p[9 : 9+int(p[8])])}
	switch {
	case s.time == 0:
		return unset, true
	case s.time > math.MaxInt64: // no clock shows that, and no later time would be left
		return nil, false
	}
	if value := p[9+int(p[8]):]; len(value) > 0 {
		s.value = append([]byte(nil), value...)
	}
	return s, true
}
