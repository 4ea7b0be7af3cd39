//go:build darwin || dragonfly || freebsd || openbsd

package poller

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// A queue is a kqueue. A thread waits for it.
type queue struct {
	fd     int
	wake   [2]int // a pipe: close writes to it
	closed atomic.Bool
	failed atomic.Bool

	// An event has the address of a byte, which no other Watch has: as long as an event is on
	// its way, the byte is in use.
	mu      sync.Mutex
	marks   map[Watch]*byte
	watches map[*byte]Watch
}

// Exists reports whether the system has a poller.
const Exists = true

func newQueue() (*queue, error) {
	syscall.ForkLock.RLock() // until all are closed in children
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Kqueue()
	if err != nil {
		return nil, os.NewSyscallError("kqueue", err)
	}
	syscall.CloseOnExec(fd)
	q := &queue{fd: fd, marks: map[Watch]*byte{}, watches: map[*byte]Watch{}}
	if err := syscall.Pipe(q.wake[:]); err != nil {
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("pipe", err)
	}
	syscall.CloseOnExec(q.wake[0])
	syscall.CloseOnExec(q.wake[1])
	if err := q.change(q.wake[0], syscall.EV_ADD, nil); err != nil {
		q.release()
		return nil, err
	}
	return q, nil
}

func (q *queue) add(fd uintptr, w Watch) error {
	mark := new(byte)
	q.mu.Lock()
	q.marks[w], q.watches[mark] = mark, w
	q.mu.Unlock()
	return q.arm(fd, w)
}

func (q *queue) arm(fd uintptr, w Watch) error {
	if q.failed.Load() {
		return errFailed
	}
	q.mu.Lock()
	mark := q.marks[w]
	q.mu.Unlock()
	return q.change(int(fd), syscall.EV_ADD|syscall.EV_ONESHOT, mark)
}

func (q *queue) remove(fd uintptr, w Watch) {
	_ = q.change(int(fd), syscall.EV_DELETE, nil) // an error: it is not armed
	q.forget(w)
}

func (q *queue) forget(w Watch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.watches, q.marks[w])
	delete(q.marks, w)
}

func (q *queue) change(fd, flags int, mark *byte) error {
	changes := make([]syscall.Kevent_t, 1)
	syscall.SetKevent(&changes[0], fd, syscall.EVFILT_READ, flags)
	changes[0].Udata = mark
	for {
		_, err := syscall.Kevent(q.fd, changes, nil, nil)
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("kevent", err)
		}
	}
}

// wait waits for events and appends the Watches of their descriptors. It fails when the queue is
// closed.
func (q *queue) wait(ready []Watch) ([]Watch, error) {
	var events [maxEvents]syscall.Kevent_t
	n, err := syscall.Kevent(q.fd, nil, events[:], nil)
	if errors.Is(err, syscall.EINTR) {
		return ready, nil
	}
	if err != nil {
		return ready, os.NewSyscallError("kevent", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range events[:n] {
		if w, ok := q.watches[events[i].Udata]; ok {
			ready = append(ready, w)
		}
	}
	if q.closed.Load() {
		return ready, os.ErrClosed
	}
	return ready, nil
}

// close ends wait.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed.Store(true)
	if q.failed.Load() {
		q.release()
		return
	}
	for {
		if _, err := syscall.Write(q.wake[1], []byte{0}); !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// fail is called when wait has failed. It reports whether that was not the work of close, and
// makes later calls fail.
func (q *queue) fail() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failed.Store(true)
	if !q.closed.Load() {
		return true
	}
	q.release()
	return false
}

func (q *queue) release() {
	_ = syscall.Close(q.fd)
	_ = syscall.Close(q.wake[0])
	_ = syscall.Close(q.wake[1])
}
