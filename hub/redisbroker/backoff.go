package redisbroker

import (
	"context"
	"math/rand/v2"
	"time"
)

// A backoff says how long to wait before the next attempt. The nodes wait for different times, so that they
// do not all come back at once.
type backoff struct{ last time.Duration }

const (
	firstWait = 20 * time.Millisecond
	longWait  = 2 * time.Second
)

func (w *backoff) reset() { w.last = 0 }

// next returns how long to wait.
func (w *backoff) next() time.Duration {
	w.last = min(max(2*w.last, firstWait), longWait)
	return w.last/2 + rand.N(w.last/2) //nolint:gosec // it need not be secret
}

// sleep waits, and reports false if ctx has ended.
func (w *backoff) sleep(ctx context.Context) bool {
	timer := time.NewTimer(w.next())
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
