package brokertest

import (
	"sync"
	"sync/atomic"
	"time"
)

// A lateness measures how late goroutines of this process run, because others use the machine. It is no fault
// of the hubs.
type lateness struct {
	worst     atomic.Int64
	over      chan struct{}
	measuring sync.WaitGroup
}

func (l *lateness) begin() {
	l.over = make(chan struct{})
	l.measuring.Go(func() {
		const interval = 10 * time.Millisecond
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for last := time.Now(); ; last = time.Now() {
			select {
			case <-ticker.C:
				l.worst.Store(max(l.worst.Load(), int64(time.Since(last)-interval)))
			case <-l.over:
				return
			}
		}
	})
}

func (l *lateness) end() {
	close(l.over)
	l.measuring.Wait()
}

// allowance returns how much longer something may take because of that: as long again if goroutines are late by
// 100 ms.
func (l *lateness) allowance(bound time.Duration) time.Duration {
	return time.Duration(float64(bound) * time.Duration(l.worst.Load()).Seconds() * 10)
}
