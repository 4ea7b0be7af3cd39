package websocket

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestTurnIsOnesAtATime has many goroutines try, wait and give up at random: there
// are never two who have the turn, and nobody waits for ever.
func TestTurnIsOnesAtATime(t *testing.T) {
	var lock turn
	var holders, taken, left atomic.Int64
	have := func(random *rand.Rand) {
		assert.EqualValues(t, 1, holders.Add(1))
		for range random.IntN(100) {
			taken.Add(0) // it takes a moment
		}
		taken.Add(1)
		holders.Add(-1)
		lock.give()
	}
	var running sync.WaitGroup
	for seed := range uint64(16) {
		running.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for range 5000 {
				switch random.IntN(4) {
				case 0:
					if lock.try() {
						have(random)
					}
				case 1:
					lock.queue()
					lock.leave() // whether or not it has come
					left.Add(1)
				case 2:
					impatient := make(chan struct{})
					close(impatient)
					select {
					case <-lock.queue():
						have(random)
					case <-impatient:
						lock.leave()
						left.Add(1)
					}
				default:
					<-lock.queue()
					have(random)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() {
		running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		require.FailNow(t, "somebody was forgotten", "taken: %d, left: %d, now: %d", taken.Load(), left.Load(), lock.n.Load())
	}
	assert.Positive(t, taken.Load())
	assert.Positive(t, left.Load())
	assert.True(t, lock.try(), "it is free at last")
	assert.Empty(t, *lock.pass.Load())
}

func TestTurnIsPassedOnInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lock turn
		require.True(t, lock.try())
		require.False(t, lock.try())
		var order []int
		giveUp := make(chan struct{})
		for i := range 10 {
			go func() {
				var patience chan struct{}
				if i%3 == 1 {
					patience = giveUp
				}
				select {
				case <-lock.queue():
					order = append(order, i)
					lock.give()
				case <-patience:
					lock.leave()
				}
			}()
			synctest.Wait()
		}
		close(giveUp)
		synctest.Wait()
		assert.Empty(t, order)
		assert.False(t, lock.try(), "who leaves frees nothing")
		lock.give()
		synctest.Wait()
		assert.Equal(t, []int{0, 2, 3, 5, 6, 8, 9}, order)
		assert.True(t, lock.try())
	})
}

// TestTurnThatComesToOneWhoLeaves is passed on, or free again.
func TestTurnThatComesToOneWhoLeaves(t *testing.T) {
	var lock turn
	lock.queue() // free: the turn has come
	lock.leave()
	require.True(t, lock.try())
	lock.queue()
	next := lock.queue()
	lock.give() // to one of the two
	lock.leave()
	select {
	case <-next:
	default:
		require.Fail(t, "the turn is lost")
	}
	assert.False(t, lock.try())
	lock.give()
	assert.True(t, lock.try())
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		lock.give()
		if !lock.try() {
			panic("not free")
		}
	}))
}
