package xsync

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// fires notes the times at which a timer fires, each of which takes a while.
type fires struct {
	timer Timer
	takes time.Duration
	again time.Duration // 0: it is not set again
	begun []time.Time
	ended int
}

func (f *fires) Fire() {
	f.begun = append(f.begun, time.Now())
	time.Sleep(f.takes)
	if f.again > 0 {
		f.timer.Reset(f.again, f)
	}
	f.ended++
}

func TestTimerFiresOnceAtTheTimeThatWasSetLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fires
		start := time.Now()
		f.timer.Reset(time.Second, &f)
		f.timer.Reset(3*time.Second, &f)
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Equal(t, []time.Time{start.Add(3 * time.Second)}, f.begun)
		f.timer.Reset(time.Second, &f)
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Len(t, f.begun, 2, "it can be set again")
		f.timer.Stop()
	})
}

func TestTimerThatIsCanceledCanBeSetAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fires
		f.timer.Cancel() // nothing
		f.timer.Reset(time.Second, &f)
		f.timer.Cancel()
		f.timer.Cancel()
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Empty(t, f.begun)
		f.timer.Reset(time.Second, &f)
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Len(t, f.begun, 1)
		f.timer.Stop()
	})
}

func TestTimerStopWaitsForTheCallUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fires{takes: time.Minute, again: time.Second}
		start := time.Now()
		f.timer.Reset(time.Second, &f)
		time.Sleep(2 * time.Second)
		f.timer.Cancel() // which does not wait
		assert.Equal(t, 2*time.Second, time.Since(start))
		f.timer.Stop()
		assert.Equal(t, time.Minute+time.Second, time.Since(start))
		assert.Equal(t, 1, f.ended)
		f.timer.Reset(time.Second, &f)
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Len(t, f.begun, 1, "it is stopped for good")
		f.timer.Stop()
	})
}
