package xsync

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
	var lock Lock
	var holders, taken, left atomic.Int64
	have := func(random *rand.Rand) {
		assert.EqualValues(t, 1, holders.Add(1))
		for range random.IntN(100) {
			taken.Add(0) // it takes a moment
		}
		taken.Add(1)
		holders.Add(-1)
		lock.Unlock()
	}
	var running sync.WaitGroup
	for seed := range uint64(16) {
		running.Go(func() {
			random := rand.New(rand.NewPCG(seed, 0))
			for range 5000 {
				switch random.IntN(4) {
				case 0:
					if lock.TryLock() {
						have(random)
					}
				case 1:
					lock.Wait()
					lock.Cancel() // whether or not it has come
					left.Add(1)
				case 2:
					impatient := make(chan struct{})
					close(impatient)
					select {
					case <-lock.Wait():
						have(random)
					case <-impatient:
						lock.Cancel()
						left.Add(1)
					}
				default:
					<-lock.Wait()
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
		require.FailNow(t, "somebody was forgotten", "taken: %d, left: %d, now: %d", taken.Load(), left.Load(), lock.line.Load().n.Load())
	}
	assert.Positive(t, taken.Load())
	assert.Positive(t, left.Load())
	assert.True(t, lock.TryLock(), "it is free at last")
	assert.Empty(t, lock.line.Load().pass)
}

func TestTurnIsPassedOnInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lock Lock
		require.True(t, lock.TryLock())
		require.False(t, lock.TryLock())
		var order []int
		giveUp := make(chan struct{})
		for i := range 10 {
			go func() {
				var patience chan struct{}
				if i%3 == 1 {
					patience = giveUp
				}
				select {
				case <-lock.Wait():
					order = append(order, i)
					lock.Unlock()
				case <-patience:
					lock.Cancel()
				}
			}()
			synctest.Wait()
		}
		close(giveUp)
		synctest.Wait()
		assert.Empty(t, order)
		assert.False(t, lock.TryLock(), "who leaves frees nothing")
		lock.Unlock()
		synctest.Wait()
		assert.Equal(t, []int{0, 2, 3, 5, 6, 8, 9}, order)
		assert.True(t, lock.TryLock())
	})
}

// TestTurnThatComesToOneWhoLeaves is passed on, or free again.
func TestTurnThatComesToOneWhoLeaves(t *testing.T) {
	var lock Lock
	lock.Wait() // free: the turn has come
	lock.Cancel()
	require.True(t, lock.TryLock())
	lock.Wait()
	next := lock.Wait()
	lock.Unlock() // to one of the two
	lock.Cancel()
	select {
	case <-next:
	default:
		require.Fail(t, "the turn is lost")
	}
	assert.False(t, lock.TryLock())
	lock.Unlock()
	assert.True(t, lock.TryLock())
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		lock.Unlock()
		if !lock.TryLock() {
			panic("not free")
		}
	}))
}

// The first who wait for a lock make its line, while its holder unlocks it, or nobody has it.
func TestLineThatBegins(t *testing.T) {
	const many = 4
	for range 2000 {
		var lock Lock
		held := 0
		var running sync.WaitGroup
		for i := range many {
			running.Go(func() {
				if i%2 == 0 || !lock.TryLock() {
					<-lock.Wait()
				}
				held++ // the race detector knows whether this is guarded
				lock.Unlock()
			})
		}
		running.Wait()
		require.Equal(t, many, held)
		require.True(t, lock.TryLock(), "it is free at last")
		require.False(t, lock.HasWaiters())
	}
}
