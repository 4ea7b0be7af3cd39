package bufpool

// A message that is read in pieces is read in such of so many bytes.
const (
	MinChunk = 1 << 10
	MaxChunk = 32 << 10
)

// A Chunk is memory for a piece of a message, as large as may be kept while the peer is
// waited for. The zero value has none yet.
type Chunk struct {
	memory *[]byte
	size   int // that may be kept
}

// Next returns the memory for the next piece, of at most so many bytes, when so many have
// come. It is large where the piece is there already.
func (c *Chunk) Next(come, most int, there bool) []byte {
	c.size = max(c.size, MinChunk)
	for c.size < most && 2*c.size <= come {
		c.size *= 2
	}
	size := c.size
	if there {
		size = most
	}
	if c.memory == nil || len(*c.memory) != size {
		c.Release()
		c.memory = Get(size)
	}
	return *c.memory
}

func (c *Chunk) Release() {
	if c.memory != nil {
		Put(c.memory)
		c.memory = nil
	}
}
