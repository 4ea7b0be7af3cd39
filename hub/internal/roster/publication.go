package roster

import "encoding/binary"

// A publication is what a node tells the others of people in a room. Its changes lead from any
// revision between previous and revision to revision: they are all that has changed since previous. If
// previous is 0, the node had nobody in the room before.
type publication struct {
	node               string
	previous, revision uint64
	changes            []Entry
}

func (p *publication) size() int {
	n := len(p.node)
	for _, c := range p.changes {
		n += len(c.Key) + len(c.Value) + 2*binary.MaxVarintLen32
	}
	return n
}

// encode returns the body of a notice:
//
//	node         a length and that many bytes
//	previous     an unsigned LEB128, like all lengths
//	revision     likewise
//	changes      each: the length of the key, the key; 0 for a person that is gone, or the length of
//	             the entry plus 1 and the entry: see stamped
func (p *publication) encode() []byte {
	body := make([]byte, 0, p.size()+3*binary.MaxVarintLen64)
	body = binary.AppendUvarint(body, uint64(len(p.node)))
	body = append(body, p.node...)
	body = binary.AppendUvarint(body, p.previous)
	body = binary.AppendUvarint(body, p.revision)
	for _, c := range p.changes {
		body = binary.AppendUvarint(body, uint64(len(c.Key)))
		body = append(body, c.Key...)
		if c.Value == nil {
			body = append(body, 0)
			continue
		}
		body = binary.AppendUvarint(body, uint64(len(c.Value))+1)
		body = append(body, c.Value...)
	}
	return body
}

// decode reads what encode returns, and reports whether it is well-formed. It copies what it keeps.
func (p *publication) decode(body []byte) bool {
	r := reader{rest: append([]byte(nil), body...)}
	p.node = string(r.bytes(r.number()))
	p.previous, p.revision = r.number(), r.number()
	for len(r.rest) > 0 && !r.failed {
		c := Entry{Key: string(r.bytes(r.number()))}
		if n := r.number(); n > 0 {
			c.Value = r.bytes(n - 1)
		}
		p.changes = append(p.changes, c)
	}
	return !r.failed && p.node != "" && p.previous < p.revision
}

// A reader reads parts of a body until it fails.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) number() uint64 {
	n, length := binary.Uvarint(r.rest)
	if length <= 0 {
		r.failed, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[length:]
	return n
}

// bytes returns the next n bytes. The result is not nil.
func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.failed, r.rest = true, nil
		return []byte{}
	}
	part := r.rest[:n:n]
	r.rest = r.rest[n:]
	return part
}
