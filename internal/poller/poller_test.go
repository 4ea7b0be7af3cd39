//go:build linux || darwin || dragonfly || freebsd || openbsd

package poller

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// A socket is registered, and counts its wake-ups.
type socket struct {
	nc    *net.TCPConn
	raw   syscall.RawConn
	watch Watch
	woken chan struct{}
}

func (s *socket) Ready() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

func (s *socket) control(t require.TestingT, f func(fd uintptr)) {
	require.NoError(t, s.raw.Control(f))
}

func (s *socket) add(t require.TestingT) {
	var err error
	s.control(t, func(fd uintptr) { s.watch, err = Add(fd, s) })
	require.NoError(t, err)
	require.False(t, s.watch.IsZero())
}

func (s *socket) arm(t require.TestingT) {
	s.control(t, func(fd uintptr) { require.NoError(t, Arm(fd, s.watch)) })
}

func (s *socket) close(t require.TestingT) {
	s.control(t, func(fd uintptr) { Remove(fd, s.watch) })
	require.NoError(t, s.nc.Close())
}

func (s *socket) isWoken(t *testing.T) {
	t.Helper()
	select {
	case <-s.woken:
	case <-time.After(10 * time.Second):
		require.FailNow(t, "the socket is ready, and Ready is not called")
	}
}

// isQuiet relies on the order of events: another socket that becomes ready afterwards is told.
func (s *socket) isQuiet(t *testing.T) {
	t.Helper()
	other, client := pair(t)
	other.add(t)
	defer other.close(t)
	_, err := client.Write([]byte{1})
	require.NoError(t, err)
	other.isWoken(t)
	assert.Empty(t, s.woken)
}

// pair returns a socket and its peer, which is closed at the end of the test.
func pair(t require.TestingT) (*socket, *net.TCPConn) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	client, err := net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr)) //nolint:errcheck // it is
	require.NoError(t, err)
	nc, err := l.AcceptTCP()
	require.NoError(t, err)
	s := &socket{nc: nc, woken: make(chan struct{}, 10)}
	s.raw, err = nc.SyscallConn()
	require.NoError(t, err)
	if t, ok := t.(*testing.T); ok {
		t.Cleanup(func() { _ = client.Close() })
	}
	return s, client
}

func TestReadyIsCalledOnce(t *testing.T) {
	defer goleak.VerifyNone(t)
	for name, happen := range map[string]func(client *net.TCPConn) error{
		"bytes":        func(client *net.TCPConn) error { _, err := client.Write([]byte{1}); return err },
		"a half-close": (*net.TCPConn).CloseWrite,
		"a hang-up":    (*net.TCPConn).Close,
		"a reset":      func(client *net.TCPConn) error { return errors.Join(client.SetLinger(0), client.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			s, client := pair(t)
			s.add(t)
			defer s.close(t)
			s.isQuiet(t)
			require.NoError(t, happen(client))
			s.isWoken(t)
			s.isQuiet(t)
			s.arm(t) // what has come is still there
			s.isWoken(t)
			s.isQuiet(t)
		})
	}
}

func TestReadyIsCalledForWhatIsThereAlready(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, client := pair(t)
	_, err := client.Write([]byte{1})
	require.NoError(t, err)
	s.add(t)
	defer s.close(t)
	s.isWoken(t)
}

func TestReadyIsNotCalledAfterRemove(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, client := pair(t)
	s.add(t)
	s.control(t, func(fd uintptr) { Remove(fd, s.watch) })
	_, err := client.Write([]byte{1})
	require.NoError(t, err)
	s.isQuiet(t)
	require.NoError(t, s.nc.Close())
}

// The application may close a socket behind our back, and its number is used again.
func TestDescriptorThatIsUsedAgain(t *testing.T) {
	defer goleak.VerifyNone(t)
	first, _ := pair(t)
	first.add(t)
	require.NoError(t, first.nc.Close())
	second, client := pair(t)
	second.add(t)
	assert.NotEqual(t, first.watch, second.watch)
	_, err := client.Write([]byte{1})
	require.NoError(t, err)
	second.isWoken(t)
	assert.Empty(t, first.woken)
	Forget(first.watch)
	second.arm(t)
	second.isWoken(t)
	second.close(t)
}

// A holder holds the goroutine of the poller up, within Ready.
type holder struct {
	*socket
	held    chan struct{}
	release chan struct{}
}

func (h *holder) Ready() {
	h.held <- struct{}{}
	<-h.release
}

// An event that is on its way, while its descriptor is closed and used again with its place in the
// table, reaches no Waiter.
func TestEventOnItsWay(t *testing.T) {
	defer goleak.VerifyNone(t)
	s, client := pair(t)
	h := &holder{socket: s, held: make(chan struct{}), release: make(chan struct{})}
	h.control(t, func(fd uintptr) {
		var err error
		h.watch, err = Add(fd, h)
		require.NoError(t, err)
	})
	old, oldClient := pair(t)
	old.add(t)
	_, err := client.Write([]byte{1})
	require.NoError(t, err)
	<-h.held
	h.arm(t) // ready again, and so is the other one: the next two events are taken together
	_, err = oldClient.Write([]byte{1})
	require.NoError(t, err)
	h.release <- struct{}{}
	<-h.held
	old.close(t)
	late, _ := pair(t)
	late.add(t)
	assert.Equal(t, old.watch.slot, late.watch.slot)
	h.release <- struct{}{}
	late.isQuiet(t)
	assert.Empty(t, old.woken)
	late.close(t)
	h.close(t)
}

// The goroutine and the queue live as long as something is registered, and begin again.
func TestPollerEnds(t *testing.T) {
	defer goleak.VerifyNone(t)
	for range 3 {
		first, _ := pair(t)
		second, client := pair(t)
		first.add(t)
		second.add(t)
		first.close(t)
		_, err := client.Write([]byte{1})
		require.NoError(t, err)
		second.isWoken(t)
		second.close(t)
		require.NoError(t, goleak.Find(), "when the last Remove returns")
		assert.Nil(t, shared.queue)
		assert.Zero(t, shared.count)
	}
}

func TestAddWithoutADescriptor(t *testing.T) {
	defer goleak.VerifyNone(t)
	_, err := Add(^uintptr(0)>>33, &socket{})
	require.ErrorIs(t, err, syscall.EBADF)
	assert.Nil(t, shared.queue)
}

// TestStress has sockets opened, registered, armed, written to and closed at random, from many
// goroutines, so that their descriptors are used again all the time. A waiter that is told has
// something to read, unless it is being closed, and every waiter that has is told.
func TestStress(t *testing.T) {
	defer goleak.VerifyNone(t)
	var told, closed, behind atomic.Int64
	var all sync.WaitGroup
	stop := time.Now().Add(2 * time.Second)
	for seed := range uint64(8) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for time.Now().Before(stop) {
				stress(t, random, &told, &closed, &behind)
			}
		})
	}
	all.Wait()
	assert.Positive(t, told.Load())
	assert.Positive(t, closed.Load())
	assert.Positive(t, behind.Load())
	t.Logf("told %d times, closed %d while armed, %d behind our back", told.Load(), closed.Load(), behind.Load())
}

// A life is a socket of TestStress. It is told only if its peer has written.
type life struct {
	*socket
	t       *testing.T
	written atomic.Bool
}

func (l *life) Ready() {
	if !l.written.Load() {
		assert.Fail(l.t, "told of nothing: this is an event of another descriptor")
	}
	l.socket.Ready()
}

func stress(t *testing.T, random *rand.Rand, told, closed, behind *atomic.Int64) {
	s, client := pair(require.TestingT(noCleanup{t}))
	l := &life{socket: s, t: t}
	defer func() { _ = client.Close() }() // after s: its end is no event
	var err error
	l.control(t, func(fd uintptr) { l.watch, err = Add(fd, l) })
	require.NoError(t, err)
	for range random.IntN(4) {
		l.written.Store(true)
		_, err := client.Write([]byte{1})
		require.NoError(t, err)
		l.isWoken(t)
		told.Add(1)
		n, err := l.nc.Read(make([]byte, 1))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		l.written.Store(false)
		l.arm(t)
	}
	switch random.IntN(3) {
	case 0:
		l.close(t)
		closed.Add(1)
	case 1: // while an event is on its way
		l.written.Store(true)
		_, err := client.Write([]byte{1})
		require.NoError(t, err)
		l.close(t)
	default:
		require.NoError(t, l.nc.Close())
		Forget(l.watch)
		behind.Add(1)
	}
}

// noCleanup is a T without Cleanup, for sockets that must not pile up.
type noCleanup struct{ t *testing.T }

func (n noCleanup) Errorf(format string, args ...any) { n.t.Errorf(format, args...) }
func (n noCleanup) FailNow()                          { n.t.FailNow() }
