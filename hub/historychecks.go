package hub

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// checks are the checks of quiet rooms: one goroutine asks the broker at an interval whether a room
// has entries that have not arrived. It runs while there are rooms with members.
type checks struct {
	mu      sync.Mutex // the hub's mu may be locked while it is held
	running bool
}

// checksAtOnce is how many rooms are checked at the same time.
const checksAtOnce = 8

// startChecks starts the checks, unless they are running.
func (s *history) startChecks() {
	if s.local { // nothing is lost on its way
		return
	}
	s.checks.mu.Lock()
	defer s.checks.mu.Unlock()
	if !s.checks.running {
		s.checks.running = s.hub.start(s.check)
	}
}

func (s *history) check() {
	ticker := time.NewTicker(s.options.CheckInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			return
		}
		followers := s.followersOrStop()
		if len(followers) == 0 {
			return
		}
		checkAll(followers)
	}
}

// followersOrStop returns the followers. If there are none, the checks have ended.
func (s *history) followersOrStop() (followers []*follower) {
	s.checks.mu.Lock()
	defer s.checks.mu.Unlock()
	h := s.hub
	h.mu.RLock()
	defer h.mu.RUnlock()
	for _, g := range h.rooms {
		if g.follower != nil {
			followers = append(followers, g.follower)
		}
	}
	s.checks.running = len(followers) > 0
	return followers
}

// checkAll checks rooms until the broker fails.
func checkAll(followers []*follower) {
	var checking sync.WaitGroup
	var next atomic.Int64
	var failed atomic.Bool
	for range min(checksAtOnce, len(followers)) {
		checking.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(followers)) && !failed.Load(); i = next.Add(1) - 1 {
				if followers[i].check() != nil {
					failed.Store(true) // the next round tries again
				}
			}
		})
	}
	checking.Wait()
}

// check reads what follows the cursor, if that has not moved since the last check.
func (f *follower) check() error {
	f.group.mu.Lock()
	after, reads, due := f.cursor, f.reads, f.live && f.quiet && !f.working
	f.quiet = true
	if due {
		f.reads++
	}
	f.group.mu.Unlock()
	if !due {
		return nil
	}
	entries, newest, err := f.history.read(f.ctx, f.group.topic, after, readPage)
	if err == nil {
		err = f.takePage(after, reads, entries, newest)
	}
	switch {
	case f.ctx.Err() != nil, errors.Is(err, errNotVisible):
		return nil
	case errors.Is(err, ErrHistoryLost): // reading once more ends the waiting of the members
		f.readMore()
		return nil
	}
	f.history.tell(err)
	return err
}

// readMore has the broker asked for entries after the cursor.
func (f *follower) readMore() {
	f.group.mu.Lock()
	f.unread = true
	f.group.mu.Unlock()
	f.work()
}
