package roster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"time"
)

const (
	leastRetry = 100 * time.Millisecond // after a call of the broker failed; twice as long each time
	mostRetry  = 2 * time.Second
	mostCall   = 5 * time.Second // how long a call of the broker may take
	lastWait   = time.Second     // how long Shutdown waits for calls that have been canceled
	quietLog   = time.Minute     // how long a failure is not logged again

	atOnce  = 256      // rooms in one call of the broker
	putSize = 48 << 10 // bytes of changes in one call of the broker; one change may be longer
)

// serving is what the goroutine that calls the broker knows and has to do. The roster's mu guards
// it, except the fields at the end.
type serving struct {
	started  bool
	disabled bool   // the broker keeps no presence, for good
	followed uint64 // how many rooms there have been
	revision uint64 // the last of this node, in any room
	ticks    uint64 // how often the lease has been renewed or was to be
	peers    map[string]*peer

	toList, toPut, toEnd []*Room
	toSend               []*localPerson
	suspects             []*Room // those in which something may be missing

	wake   chan struct{} // buffers one signal
	ctx    context.Context
	cancel context.CancelFunc

	// Only the goroutine uses these.
	awaited    uint64    // the subscriptions to rooms up to this number have taken effect
	leaseUntil time.Time // when the lease ends unless it is renewed; zero: there is none
	nextTick   time.Time
	retryAt    time.Time
	retry      time.Duration // zero: the last call has not failed
	logged     time.Time
	checkAll   bool // all rooms are checked in the next tick
	toCheck    []*Room
	lapsed     bool // this node has not reached the broker for so long that the others are taken for gone
}

func (s *serving) init() {
	s.peers = make(map[string]*peer)
	s.wake = make(chan struct{}, 1)
	s.ctx, s.cancel = context.WithCancel(context.Background())
}

// signal wakes the goroutine, which it starts if necessary. The caller holds mu.
func (p *Roster) signal() {
	if p.closed || p.disabled {
		return
	}
	if !p.started {
		p.started = true
		p.work.Go(p.serve)
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *Roster) queueList(r *Room) {
	if !r.remote.isToList {
		r.remote.isToList = true
		p.toList = append(p.toList, r)
		p.signal()
	}
}

func (p *Roster) queuePut(r *Room) {
	if !r.remote.isToPut {
		r.remote.isToPut = true
		p.serving.toPut = append(p.serving.toPut, r)
		p.signal()
	}
}

func (p *Roster) queueEnd(r *Room) {
	if !r.remote.isToEnd {
		r.remote.isToEnd = true
		p.toEnd = append(p.toEnd, r)
		p.signal()
	}
}

func (p *Roster) queueSend(lp *localPerson) {
	if p.broker != nil && !p.disabled && !lp.toSend {
		lp.toSend = true
		p.toSend = append(p.toSend, lp)
		p.signal()
	}
}

func (p *Roster) suspect(r *Room) {
	if !r.remote.isSuspect {
		r.remote.isSuspect = true
		p.suspects = append(p.suspects, r)
	}
}

// serve calls the broker until Shutdown.
func (p *Roster) serve() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wait := time.Second
		p.guard(func() { wait = p.step() })
		if wait > 0 {
			timer.Reset(wait)
			select {
			case <-p.ctx.Done():
				return
			case <-p.wake:
			case <-timer.C:
			}
		}
		if p.ctx.Err() != nil {
			return
		}
	}
}

// guard calls a function that panics only by a mistake of ours.
func (p *Roster) guard(f func()) {
	defer func() {
		if value := recover(); value != nil {
			p.options.Log("hub: presence failed", fmt.Errorf("panic: %v\n\n%s", value, debug.Stack()))
		}
	}()
	f()
}

const forever = 24 * time.Hour

// step does one thing that is to be done, and returns how long to wait for the next.
func (p *Roster) step() (wait time.Duration) {
	p.endRooms()
	p.mu.Lock()
	idle := len(p.rooms) == 0 && len(p.toSend) == 0 || p.disabled
	p.mu.Unlock()
	if idle {
		p.leaseUntil, p.retry = time.Time{}, 0 // it may end: nobody of this node is anywhere
		return forever
	}
	now := time.Now()
	if p.retry > 0 && !p.leaseUntil.IsZero() && !now.Before(p.leaseUntil) && !p.lapsed {
		p.lapse()
	}
	if p.retry > 0 && now.Before(p.retryAt) {
		wait = p.retryAt.Sub(now)
		if !p.lapsed && now.Before(p.leaseUntil) {
			wait = min(wait, p.leaseUntil.Sub(now))
		}
		return wait
	}
	for i, do := range []func() (bool, error){p.renew, p.list, p.put, p.send, p.check} {
		switch done, err := do(); {
		case p.ctx.Err() != nil:
			return 0
		case err != nil:
			return p.failed(err)
		case done && i > 0: // a lease alone does not say that calls succeed again
			p.retry = 0
			return 0
		}
	}
	p.retry = 0
	return max(p.nextTick.Sub(now), 1)
}

// limited calls a function that calls the broker once.
func (p *Roster) limited(call func(ctx context.Context) error) error {
	now := time.Now()
	end := now.Add(min(mostCall, p.options.TTL/4))
	if now.Before(p.leaseUntil) && p.leaseUntil.Before(end) {
		end = p.leaseUntil
	}
	ctx, cancel := context.WithDeadline(p.ctx, end)
	defer cancel()
	return call(ctx)
}

// failed records that a call of the broker has failed, and returns how long to wait.
func (p *Roster) failed(err error) time.Duration {
	if errors.Is(err, p.options.Off) {
		p.options.Log("hub: Options.Presence has no effect", err)
		p.disable()
		return forever
	}
	now := time.Now()
	if p.retry == 0 && (p.logged.IsZero() || now.Sub(p.logged) >= quietLog) {
		p.logged = now
		p.options.Log("hub: the broker fails; people of other nodes may be missing or late", err)
	}
	p.retry = min(max(2*p.retry, leastRetry), mostRetry)
	p.retryAt = now.Add(p.retry)
	p.checkAll = true
	if p.lapsed {
		p.forgetUnput()
	}
	p.nextTick = now // the lease comes first: the broker may have dropped this node
	return 1
}

// disable ends presence while the node goes on: all rooms end.
func (p *Roster) disable() {
	p.mu.Lock()
	p.disabled = true
	p.stopGrace()
	clear(p.persons)
	p.toList, p.serving.toPut, p.toEnd, p.toSend, p.suspects = nil, nil, nil, nil, nil
	rooms := slices.Collect(maps.Values(p.rooms))
	p.mu.Unlock()
	for _, r := range rooms {
		r.owner.Idle()
	}
}

// endRooms has rooms ended.
func (p *Roster) endRooms() {
	p.mu.Lock()
	list := p.toEnd
	p.toEnd = nil
	p.mu.Unlock()
	for _, r := range list {
		r.owner.Idle()
	}
}

// send publishes values of people, or asks for them, if none is known.
func (p *Roster) send() (done bool, err error) {
	p.mu.Lock()
	waiting := len(p.toSend)
	p.mu.Unlock()
	if waiting == 0 {
		return false, nil
	}
	if err := p.limited(p.broker.AwaitSubscribed); err != nil {
		return true, err
	}
	p.mu.Lock()
	list := p.toSend[:waiting]
	p.toSend = append([]*localPerson(nil), p.toSend[waiting:]...)
	values := make([]*stamped, len(list))
	for i, lp := range list {
		lp.toSend = false
		values[i] = lp.value
	}
	p.mu.Unlock()
	for i, lp := range list {
		if e := p.broker.Publish(Notice{ValueSet, lp.key, values[i].encode()}); e != nil {
			err = e
			p.mu.Lock()
			p.queueSend(lp)
			p.mu.Unlock()
		}
	}
	return true, err
}

// Shutdown ends the roster, which the other nodes learn at once if ctx does not end. If it does, the
// error wraps its cause; the calls of the broker have a second to end. A later call waits for the first.
func (p *Roster) Shutdown(ctx context.Context) error {
	p.mu.Lock()
	first := !p.closed
	if first {
		p.closed, p.ended = true, make(chan struct{})
		defer close(p.ended)
	}
	ended := p.ended
	p.stopGrace()
	serves := p.started && !p.disabled
	p.mu.Unlock()
	if !first {
		select {
		case <-ended:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("hub: shutdown: presence has not ended: %w", context.Cause(ctx))
		}
	}
	if p.broker != nil {
		p.cancel()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.work.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		timer := time.NewTimer(lastWait)
		defer timer.Stop()
		select {
		case <-done:
			return nil // the other nodes learn it when the lease ends
		case <-timer.C:
			return fmt.Errorf("hub: shutdown: presence has not ended: %w", context.Cause(ctx))
		}
	}
	if serves {
		_ = p.broker.Publish(Notice{Kind: NodeGone, Body: []byte(p.options.Node)})
		ctx, cancel := context.WithTimeout(ctx, mostCall)
		defer cancel()
		if err := p.broker.RemoveNode(ctx, p.options.Node); err != nil && ctx.Err() == nil {
			p.options.Log("hub: the broker keeps the people of this node until its lease ends", err)
		}
	}
	return nil
}
