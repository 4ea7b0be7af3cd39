package xsync

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
	var waited, unnoticed Event
	assert.False(t, waited.IsSet())
	first := waited.Done()
	assert.False(t, isClosedChannel(first))
	assert.Equal(t, first, waited.Done())
	for range 2 { // once is enough
		for _, e := range []*Event{&waited, &unnoticed} {
			e.Set()
			assert.True(t, e.IsSet())
			assert.True(t, isClosedChannel(e.Done()))
		}
	}
	assert.True(t, isClosedChannel(first))
}

// Whoever waits is woken, whatever comes first.
func TestEventHappensWhileManyBeginToWait(*testing.T) {
	for range 1000 {
		var e Event
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() { <-e.Done() })
		}
		all.Go(e.Set)
		all.Wait()
	}
}
