package transport

import (
	"testing"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A message that is longer than pooled memory, and drips, does not allocate new memory with each
// byte.
func TestArrivalsThatDrip(t *testing.T) {
	for _, received := range []int{0, 1, 100, 5000, 70_000, 1 << 20, 3 << 20, 9 << 20, 17 << 20} {
		a := newArrival(true)
		a.expect(1<<30, true)
		for a.received < received {
			a.received += min(len(a.space()), received-a.received)
		}
		a.stall()
		last := a.memory
		for range 100 {
			p := a.space()
			require.NotEmpty(t, p)
			if a.memory != last {
				assert.LessOrEqual(t, len(*a.memory), max(1<<bufpool.MaxSizeBits, bufpool.MaxKept(a.received)), "%d bytes were received", received)
			}
			a.received++
			a.stall()
			last = a.memory
			held := a.saved.Memory
			if last != nil {
				assert.Nil(t, held, "%d bytes were received", received)
				held = last
			}
			require.NotNil(t, held)
			assert.LessOrEqual(t, len(*held), bufpool.MaxKept(a.received), "%d bytes were received", received)
		}
		a.end()
	}
}
