package poller

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
)

// oneShot disarms a descriptor with its event. Package syscall has it as a negative number.
const oneShot = 1 << 30

// A queue is an epoll. It is in the poller of the runtime itself, so no thread waits for it.
type queue struct {
	fd     int
	file   *os.File
	raw    syscall.RawConn
	try    func(fd uintptr) bool // take
	events [maxEvents]syscall.EpollEvent
	n      int
	err    error
	closed atomic.Bool
	failed atomic.Bool
}

// Exists reports whether the system has a poller.
const Exists = true

func newQueue() (*queue, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil { // has the runtime poll it
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	q := &queue{fd: fd, file: os.NewFile(uintptr(fd), "epoll")}
	if q.raw, err = q.file.SyscallConn(); err != nil {
		_ = q.file.Close()
		return nil, err
	}
	q.try = q.take
	return q, nil
}

func (q *queue) add(fd uintptr, w Watch) error { return q.control(syscall.EPOLL_CTL_ADD, fd, w) }

func (q *queue) arm(fd uintptr, w Watch) error { return q.control(syscall.EPOLL_CTL_MOD, fd, w) }

func (q *queue) remove(fd uintptr, w Watch) { _ = q.control(syscall.EPOLL_CTL_DEL, fd, w) }

// forget has nothing to do: the kernel forgets a descriptor that is closed.
func (*queue) forget(Watch) {}

// control makes a change. The bits of the Watch come back with each event.
func (q *queue) control(operation int, fd uintptr, w Watch) error {
	if q.failed.Load() {
		return errFailed
	}
	event := syscall.EpollEvent{
		Events: syscall.EPOLLIN | oneShot,
		Fd:     int32(w.slot),   //nolint:gosec // bits
		Pad:    int32(w.number), //nolint:gosec // likewise
	}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(q.fd, operation, int(fd), &event))
}

// wait waits for events and appends the Watches of their descriptors. It fails when the queue is
// closed.
func (q *queue) wait(ready []Watch) ([]Watch, error) {
	if err := q.raw.Read(q.try); err != nil {
		return ready, err
	}
	for _, e := range q.events[:q.n] {
		ready = append(ready, Watch{slot: uint32(e.Fd), number: uint32(e.Pad)}) //nolint:gosec // bits
	}
	return ready, q.err
}

// take takes events, and returns false if there is none.
func (q *queue) take(fd uintptr) bool {
	for {
		n, err := syscall.EpollWait(int(fd), q.events[:], 0)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		q.n, q.err = max(n, 0), err
		return n != 0
	}
}

// close ends wait.
func (q *queue) close() {
	q.closed.Store(true)
	_ = q.file.Close()
}

// fail is called when wait has failed. It reports whether that was not the work of close, and
// makes later calls fail.
func (q *queue) fail() bool {
	q.failed.Store(true)
	return !q.closed.Load()
}
