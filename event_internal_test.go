package websocket

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

func isClosedChannel(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestEvent(t *testing.T) {
	var waited, unnoticed event
	assert.False(t, waited.hasHappened())
	first := waited.wait()
	assert.False(t, isClosedChannel(first))
	assert.Equal(t, first, waited.wait())
	for range 2 { // once is enough
		for _, e := range []*event{&waited, &unnoticed} {
			e.happen()
			assert.True(t, e.hasHappened())
			assert.True(t, isClosedChannel(e.wait()))
		}
	}
	assert.True(t, isClosedChannel(first))
}

// Whoever waits is woken, whatever comes first.
func TestEventHappensWhileManyBeginToWait(*testing.T) {
	for range 1000 {
		var e event
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { <-e.wait() })
		}
		all.Go(e.happen)
		all.Wait()
	}
}
