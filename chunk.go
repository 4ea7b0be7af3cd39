package websocket

// A message that is read in pieces is read in such of so many bytes.
const (
	minChunk = 1 << 10
	maxChunk = 32 << 10
)

// A chunk is memory for a piece of a message, as large as may be kept while the peer is
// waited for. The zero value has none yet.
type chunk struct {
	memory *[]byte
	size   int // that may be kept
}

// room returns the memory for the next piece, of at most so many bytes, when so many have
// come. It is large where the piece is there already.
func (c *chunk) room(come, most int, there bool) []byte {
	c.size = max(c.size, minChunk)
	for c.size < most && 2*c.size <= come {
		c.size *= 2
	}
	size := c.size
	if there {
		size = most
	}
	if c.memory == nil || len(*c.memory) != size {
		c.end()
		c.memory = borrow(size)
	}
	return *c.memory
}

func (c *chunk) end() {
	if c.memory != nil {
		giveBack(c.memory)
		c.memory = nil
	}
}
