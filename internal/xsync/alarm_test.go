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

// A sleeper notes the times at which its alarm went off.
type sleeper struct {
	alarm Alarm
	takes time.Duration
	again time.Duration // zero: it is not set again
	begun []time.Time
	ended int
	all   *Alarms[sleeper]
}

func (s *sleeper) ring() {
	s.begun = append(s.begun, time.Now())
	time.Sleep(s.takes)
	if s.again > 0 {
		s.all.Reset(s, s.again)
	}
	s.ended++
}

func newSleepers(shards int, sleepers ...*sleeper) *Alarms[sleeper] {
	all := NewAlarms(shards, func(s *sleeper) *Alarm { return &s.alarm }, (*sleeper).ring)
	for _, s := range sleepers {
		s.all = all
		all.Join(s)
	}
	return all
}

func (s *Alarms[T]) isEmpty() bool {
	for i := range s.shards {
		h := &s.shards[i]
		h.mu.Lock()
		empty := h.timer == nil && len(h.heap) == 0 && cap(h.heap) <= smallHeap
		h.mu.Unlock()
		if !empty {
			return false
		}
	}
	return true
}

func TestAlarmGoesOffOnceAtTheTimeThatWasSetLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sleeper
		all := newSleepers(1, &s)
		start := time.Now()
		all.Reset(&s, time.Second)
		all.Reset(&s, 3*time.Second)
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Equal(t, []time.Time{start.Add(3 * time.Second)}, s.begun)
		assert.True(t, all.isEmpty())
		all.Reset(&s, 3*time.Second)
		all.Reset(&s, time.Second)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Len(t, s.begun, 2, "it can be set again")
		all.Cancel(&s) // nothing
		all.Reset(&s, time.Second)
		all.Cancel(&s)
		assert.True(t, all.isEmpty())
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Len(t, s.begun, 2)
		all.Stop(&s)
	})
}

func TestAlarmStopWaitsForTheCallUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := sleeper{takes: time.Minute, again: time.Second}
		all := newSleepers(1, &s)
		start := time.Now()
		all.Reset(&s, time.Second)
		time.Sleep(2 * time.Second)
		all.Cancel(&s) // which does not wait
		assert.Equal(t, 2*time.Second, time.Since(start))
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { all.Stop(&s) })
		}
		both.Wait()
		assert.Equal(t, time.Minute+time.Second, time.Since(start))
		assert.Equal(t, 1, s.ended)
		all.Reset(&s, time.Second)
		assert.True(t, all.isEmpty(), "it is stopped for good")
		all.Stop(&s)
	})
}

func TestAlarmThatHasNotJoined(t *testing.T) {
	var s sleeper
	all := newSleepers(1)
	all.Reset(&s, 0)
	all.Cancel(&s)
	all.Stop(&s)
	assert.True(t, all.isEmpty())
	assert.Zero(t, s.alarm)
}

// Many alarms that are set, moved and taken back at random go off to the instant at which they
// should, each once.
func TestAlarmsGoOffToTheInstant(t *testing.T) {
	for _, shards := range []int{1, 7, 1000} {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(shards), 1))
			sleepers := make([]*sleeper, 2000)
			for i := range sleepers {
				sleepers[i] = new(sleeper)
			}
			all := newSleepers(shards, sleepers...)
			due := make([]time.Time, len(sleepers)) // zero: not at all
			want := make([][]time.Time, len(sleepers))
			for range 20_000 {
				i := random.IntN(len(sleepers))
				time.Sleep(time.Duration(random.IntN(2)))
				if !due[i].IsZero() && due[i].Before(time.Now()) {
					want[i] = append(want[i], due[i])
					due[i] = time.Time{}
				}
				if due[i].Equal(time.Now()) {
					continue // it may go off or not
				}
				if random.IntN(4) == 0 {
					all.Cancel(sleepers[i])
					due[i] = time.Time{}
					continue
				}
				d := time.Duration(1 + random.IntN(5000))
				all.Reset(sleepers[i], d)
				due[i] = time.Now().Add(d)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			gone := 0
			for i, s := range sleepers {
				if !due[i].IsZero() {
					want[i] = append(want[i], due[i])
				}
				require.Equal(t, want[i], s.begun)
				gone += len(s.begun)
			}
			assert.Greater(t, gone, 2000)
			assert.True(t, all.isEmpty())
		})
	}
}

// A counter counts how often its alarm went off.
type counter struct {
	alarm Alarm
	n     atomic.Int64
}

func TestAlarmsOfManyGoroutines(t *testing.T) {
	all := NewAlarms(3, func(c *counter) *Alarm { return &c.alarm }, func(c *counter) { c.n.Add(1) })
	var running sync.WaitGroup
	var gone atomic.Int64
	for seed := range uint64(8) {
		running.Go(func() {
			random := rand.New(rand.NewPCG(seed, 2))
			for range 200 {
				var c counter
				all.Join(&c)
				for range random.IntN(20) {
					all.Reset(&c, time.Duration(random.IntN(100))*time.Microsecond)
					if random.IntN(3) == 0 {
						all.Cancel(&c)
					}
					time.Sleep(time.Duration(random.IntN(50)) * time.Microsecond)
				}
				all.Stop(&c)
				n := c.n.Load()
				gone.Add(n)
				all.Reset(&c, 0)
				assert.Equal(t, n, c.n.Load())
			}
		})
	}
	running.Wait()
	for i := range all.shards {
		assert.Zero(t, all.shards[i].fires)
	}
	assert.Positive(t, gone.Load())
	assert.True(t, all.isEmpty())
}

// A Stop waits for the goroutine of the timer only while no alarm is set: the timer may be set to
// another one, and would go off hours later.
func TestAlarmStopDoesNotWaitForAnotherAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends, begins sleeper
		all := newSleepers(1, &ends, &begins)
		late := make(chan struct{})
		shard := &all.shards[0]
		shard.fire = func() { // a goroutine that takes its time to begin
			<-late
			all.fire(shard)
		}
		all.Reset(&ends, time.Second)
		time.Sleep(2 * time.Second)
		all.Cancel(&ends)
		start := time.Now()
		stopped := make(chan time.Time, 1)
		go func() {
			all.Stop(&ends)
			stopped <- time.Now()
		}()
		synctest.Wait()
		all.Reset(&begins, time.Hour)
		close(late)
		assert.Equal(t, start, <-stopped)
		all.Stop(&begins)
		assert.True(t, all.isEmpty())
		assert.Zero(t, shard.fires)
	})
}
