package bufpool

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSizes(t *testing.T) {
	for _, row := range []struct{ n, want int }{
		{0, 512}, {1, 512}, {512, 512}, {513, 1024}, {1 << 20, 1 << 20}, {1<<20 + 1, 1 << 21}, {1 << 24, 1 << 24}, {1<<24 + 1, 1<<24 + 1},
	} {
		p := Get(row.n)
		assert.Len(t, *p, row.want, "%d bytes", row.n)
		Put(p)
	}
}

// Memory of other sizes must not get into a pool: Get promises at least n bytes.
func TestPutOfForeignMemory(t *testing.T) {
	for _, n := range []int{0, 1, 511, 513, 1000} {
		p := make([]byte, n)
		Put(&p)
		for range 10 {
			assert.Len(t, *Get(n), 1<<(minSizeBits+classOf(n)))
		}
	}
}

func TestBufferGrows(t *testing.T) {
	var b Buffer
	var want []byte
	assert.Nil(t, b.Bytes())
	for n := range 300 {
		p := bytes.Repeat([]byte{byte(n)}, n)
		m, err := b.Write(p)
		require.NoError(t, err)
		require.Equal(t, n, m)
		want = append(want, p...)
		require.True(t, bytes.Equal(want, b.Bytes()), "after %d writes", n)
	}
	for range 3 { // the tail of a full buffer is not empty
		b.Len = len(*b.Memory)
		assert.NotEmpty(t, b.Tail())
	}
	b.Release()
	assert.Equal(t, Buffer{}, b)
	b.Release()
}

// Memory that belongs to another owner is neither pooled nor changed, unless poison does.
func TestBufferOfForeignMemory(t *testing.T) {
	memory := make([]byte, 1024)
	b := Buffer{Memory: &memory, Offset: 10, Len: 5, NotPooled: true}
	copy(b.Bytes(), "hello")
	assert.Equal(t, "hello", string(memory[10:15]))
	assert.Equal(t, 5, cap(b.Bytes()), "an append must not reach what follows")
	b.Release()
	assert.NotSame(t, &memory, Get(1024))
}

func TestChunkKeepsWithTheBound(t *testing.T) {
	var c Chunk
	defer c.Release()
	for received := 0; received < 100_000; received += 333 {
		p := c.Next(received, MaxChunk, false)
		assert.LessOrEqual(t, len(p), max(MinChunk, MaxKept(received)))
		assert.LessOrEqual(t, len(p), MaxChunk)
	}
	assert.Len(t, c.Next(0, MaxChunk, true), MaxChunk, "a piece that is there is read at once")
}
