package bufpool

// Sizes of the pieces in which a message is read, in bytes.
const (
	MinChunk = 1 << 10
	MaxChunk = 32 << 10
)

// A Chunk is memory for one piece of a message after the other. It is as large as may be kept
// while the peer is waited for. The zero value has no memory. One goroutine may use it at a
// time.
type Chunk struct {
	memory *[]byte
	size   int // that may be kept, in bytes
}

// Next returns memory for the next piece of a message of which received bytes have been read.
// It has at most most bytes: all of them if the piece can be read without waiting for the
// peer, and no more than twice what was received otherwise, but at least MinChunk.
func (c *Chunk) Next(received, most int, ready bool) []byte {
	c.size = max(c.size, MinChunk)
	for c.size < most && 2*c.size <= received {
		c.size *= 2
	}
	size := c.size
	if ready {
		size = most
	}
	if c.memory == nil || len(*c.memory) != size {
		c.Release()
		c.memory = Get(size)
	}
	return *c.memory
}

// Release gives the memory back. The Chunk can be used again.
func (c *Chunk) Release() {
	if c.memory != nil {
		Put(c.memory)
		c.memory = nil
	}
}
