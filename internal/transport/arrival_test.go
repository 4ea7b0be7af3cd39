package transport

import (
	"testing"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A message that is longer than what comes from pools, and drips, does not claim new
// memory with each byte.
func TestArrivalsThatDrip(t *testing.T) {
	for _, come := range []int{0, 1, 100, 5000, 70_000, 1 << 20, 3 << 20, 9 << 20, 17 << 20} {
		a := newArrival(true)
		a.expect(1<<30, true)
		for a.n < come {
			a.n += min(len(a.room()), come-a.n)
		}
		a.settle()
		last := a.memory
		for range 100 {
			p := a.room()
			require.NotEmpty(t, p)
			if a.memory != last {
				assert.LessOrEqual(t, len(*a.memory), max(1<<bufpool.MaxSizeBits, bufpool.MaxKept(a.n)), "%d bytes have come", come)
			}
			a.n++
			a.settle()
			last = a.memory
			held := a.aside.Memory
			if last != nil {
				assert.Nil(t, held, "%d bytes have come", come)
				held = last
			}
			require.NotNil(t, held)
			assert.LessOrEqual(t, len(*held), bufpool.MaxKept(a.n), "%d bytes have come", come)
		}
		a.end()
	}
}
