package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/poller"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// A parkedPipe is a net.Pipe whose server's end is Pollable.
type parkedPipe struct {
	net.Conn

	mu     sync.Mutex
	unread int  // bytes that the client writes
	closed bool // one of the ends
	ready  func()
}

// A parkedClient is the other end.
type parkedClient struct {
	net.Conn
	server *parkedPipe
}

func newParkedPipe() (client *parkedClient, server *parkedPipe) {
	c, s := net.Pipe()
	server = &parkedPipe{Conn: s}
	return &parkedClient{c, server}, server
}

func (p *parkedPipe) NotifyReadable(ready func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready = ready
	p.notify()
}

// notify calls ready if a read would not wait. The mutex is held.
func (p *parkedPipe) notify() {
	if p.ready != nil && (p.unread > 0 || p.closed) {
		p.ready()
		p.ready = nil
	}
}

func (p *parkedPipe) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	p.notify()
}

func (p *parkedPipe) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	p.change(func() { p.unread -= n })
	return n, err
}

func (p *parkedPipe) Close() error {
	defer p.change(func() { p.closed = true })
	return p.Conn.Close()
}

func (c *parkedClient) Write(p []byte) (int, error) {
	c.server.change(func() { c.server.unread += len(p) })
	n, err := c.Conn.Write(p)
	c.server.change(func() { c.server.unread -= len(p) - n })
	return n, err
}

func (c *parkedClient) Close() error {
	defer c.server.change(func() { c.server.closed = true })
	return c.Conn.Close()
}

// A parkingLoop reads a connection, and gives its goroutine up.
type parkingLoop struct {
	Parking
	t     *Conn
	quiet time.Duration
	runs  atomic.Int64 // goroutines that there were
	got   chan string
	ended chan error
}

func startLoop(t *Conn, quiet time.Duration) *parkingLoop {
	l := &parkingLoop{t: t, quiet: quiet, got: make(chan string, 100), ended: make(chan error, 1)}
	go l.Wake()
	return l
}

func (l *parkingLoop) Wake() {
	l.runs.Add(1)
	for {
		_, p, err := l.t.ReadOrPark(l.quiet, l)
		switch {
		case err == nil:
			l.got <- string(p)
		case errors.Is(err, ErrParked):
			return
		default:
			l.ended <- err
			return
		}
	}
}

func (l *parkingLoop) isParked() bool {
	d := l.t.deadlines.Made()
	return d != nil && d.parker.parked.Load()
}

// parkingEvents counts control frames.
type parkingEvents struct {
	noEvents
	controls *atomic.Int64
	t        *Conn
}

func (e parkingEvents) Control(int, string) error { e.controls.Add(1); return nil }

func (e parkingEvents) PeerClosed(ce *ws.CloseError) error {
	e.t.AnswerClose(ce)
	return nil
}

// inBubble runs a test of a connection that a loop reads, and that is parked after 5 seconds.
func inBubble(t *testing.T, test func(t *testing.T, client net.Conn, l *parkingLoop, controls *atomic.Int64)) {
	synctest.Test(t, func(t *testing.T) {
		client, server := newParkedPipe()
		tr := New(server, nil, newConfig())
		var controls atomic.Int64
		tr.SetEvents(parkingEvents{controls: &controls, t: tr})
		tr.Open()
		l := startLoop(tr, 5*time.Second)
		go func() { _, _ = io.Copy(io.Discard, client) }()
		test(t, client, l, &controls)
		_ = client.Close()
		tr.Abort()
		tr.StopBackground()
	})
}

func send(t *testing.T, client net.Conn, opcode byte, text string) {
	t.Helper()
	_, err := client.Write(wire.MaskedFrame(opcode, []byte(text)))
	require.NoError(t, err)
	synctest.Wait()
}

// makeBusy has two messages come one soon after the other.
func makeBusy(t *testing.T, client net.Conn, l *parkingLoop) {
	t.Helper()
	for range 2 {
		send(t, client, wire.OpText, "busy")
		assert.Equal(t, "busy", <-l.got)
	}
	l.runs.Store(1)
}

func isParkedAfter(t *testing.T, l *parkingLoop, d time.Duration) {
	t.Helper()
	time.Sleep(d - 1)
	synctest.Wait()
	assert.False(t, l.isParked(), "not yet")
	time.Sleep(time.Nanosecond)
	synctest.Wait()
	assert.True(t, l.isParked())
}

// A connection that is busy is parked when no message has come for a while, to the instant, and
// gives its goroutine up. The next message gets another one.
func TestQuietConnectionIsParked(t *testing.T) {
	inBubble(t, func(t *testing.T, client net.Conn, l *parkingLoop, _ *atomic.Int64) {
		makeBusy(t, client, l)
		isParkedAfter(t, l, 5*time.Second)
		time.Sleep(time.Hour)
		send(t, client, wire.OpText, "a")
		assert.Equal(t, "a", <-l.got)
		assert.True(t, l.isParked(), "one message is not busy")
		time.Sleep(5 * time.Second)
		send(t, client, wire.OpText, "a")
		assert.Equal(t, "a", <-l.got)
		assert.False(t, l.isParked(), "two are")
		for range 10 {
			time.Sleep(4 * time.Second)
			send(t, client, wire.OpText, "b")
			assert.Equal(t, "b", <-l.got)
		}
		assert.EqualValues(t, 3, l.runs.Load())
		isParkedAfter(t, l, 5*time.Second)
		assert.Nil(t, l.t.buffer)
		for range 10 {
			time.Sleep(6 * time.Second)
			send(t, client, wire.OpText, "c")
			assert.Equal(t, "c", <-l.got)
			assert.True(t, l.isParked())
		}
		assert.EqualValues(t, 13, l.runs.Load())
	})
}

// A connection on which no message, or only one, has come is parked at once.
func TestFreshConnectionIsParked(t *testing.T) {
	inBubble(t, func(t *testing.T, client net.Conn, l *parkingLoop, _ *atomic.Int64) {
		synctest.Wait()
		assert.True(t, l.isParked())
		send(t, client, wire.OpText, "first")
		assert.Equal(t, "first", <-l.got)
		assert.True(t, l.isParked())
		assert.EqualValues(t, 2, l.runs.Load())
	})
}

// Control frames do not keep a connection from being parked. One that wakes it is handled, and the
// connection is parked again.
func TestControlFramesOfParkedConnections(t *testing.T) {
	inBubble(t, func(t *testing.T, client net.Conn, l *parkingLoop, controls *atomic.Int64) {
		makeBusy(t, client, l)
		time.Sleep(3 * time.Second)
		send(t, client, wire.OpPing, "x")
		isParkedAfter(t, l, 2*time.Second)
		for i := range int64(5) {
			send(t, client, wire.OpPong, "x")
			assert.Equal(t, 2+i, controls.Load())
			assert.True(t, l.isParked())
			assert.Equal(t, 2+i, l.runs.Load())
			assert.Empty(t, l.got)
			time.Sleep(time.Minute)
		}
		_, err := client.Write(append(wire.MaskedFrame(wire.OpPing, nil), wire.MaskedFrame(wire.OpText, []byte("both"))...))
		require.NoError(t, err)
		assert.Equal(t, "both", <-l.got)
	})
}

// What has begun to arrive keeps its goroutine until it is complete, however slowly it comes.
func TestBeginningOfAMessageIsNotParked(t *testing.T) {
	inBubble(t, func(t *testing.T, client net.Conn, l *parkingLoop, _ *atomic.Int64) {
		frame := wire.MaskedFrame(wire.OpText, []byte("slowly"))
		for i := range frame {
			_, err := client.Write(frame[i : i+1])
			require.NoError(t, err)
			time.Sleep(time.Minute)
			assert.Equal(t, i == len(frame)-1, l.isParked())
		}
		assert.Equal(t, "slowly", <-l.got)
		long := wire.MaskedFrame(wire.OpText, make([]byte, 100_000))
		makeBusy(t, client, l) // with a deadline that is left from here
		for at := 0; at < len(long); at += 25_000 {
			_, err := client.Write(long[at:min(len(long), at+25_000)])
			require.NoError(t, err)
			time.Sleep(4 * time.Second)
		}
		assert.Len(t, <-l.got, 100_000)
		assert.EqualValues(t, 1, l.runs.Load())
	})
}

// For the keep-alive, the wait of a connection that is parked began when its last read did.
func TestParkedConnectionWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, client net.Conn, l *parkingLoop, _ *atomic.Int64) {
		makeBusy(t, client, l)
		for _, opcode := range []byte{wire.OpText, wire.OpPong, wire.OpPong} {
			time.Sleep(20 * time.Second)
			send(t, client, opcode, "x")
			at := l.t.Age()
			for range 3 {
				since, waiting := l.t.WaitingSince()
				assert.True(t, waiting)
				assert.Equal(t, at, since)
				time.Sleep(4 * time.Second)
				synctest.Wait()
			}
		}
	})
}

// While a message is handled, no read waits, also if the connection could not be parked in the end.
func TestNoReadWaitsWhileAMessageIsHandled(t *testing.T) {
	inBubble(t, func(t *testing.T, client net.Conn, l *parkingLoop, _ *atomic.Int64) {
		makeBusy(t, client, l)
		time.Sleep(time.Second)
		l.t.NetConn()
		l.got = make(chan string) // the next message is handled until the test takes it
		for _, after := range []time.Duration{time.Second, time.Minute} {
			time.Sleep(after)
			_, waiting := l.t.WaitingSince()
			assert.True(t, waiting)
		}
		send(t, client, wire.OpText, "x")
		_, waiting := l.t.WaitingSince()
		assert.False(t, waiting)
		assert.Equal(t, "x", <-l.got)
	})
}

// A read deadline of the caller's passes to the instant, whether it was set before or afterwards.
func TestReadDeadlineOfAParkedConnection(t *testing.T) {
	for name, setAfter := range map[string]time.Duration{"before": time.Second, "afterwards": time.Minute} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, _ net.Conn, l *parkingLoop, _ *atomic.Int64) {
				start := time.Now()
				time.Sleep(setAfter)
				require.NoError(t, l.t.SetReadDeadline(start.Add(time.Hour)))
				time.Sleep(10 * time.Minute)
				assert.True(t, l.isParked())
				require.ErrorIs(t, <-l.ended, os.ErrDeadlineExceeded)
				assert.Equal(t, time.Hour, time.Since(start))
			})
		})
	}
	t.Run("taken back", func(t *testing.T) {
		inBubble(t, func(t *testing.T, client net.Conn, l *parkingLoop, _ *atomic.Int64) {
			require.NoError(t, l.t.SetReadDeadline(time.Now().Add(time.Minute)))
			time.Sleep(30 * time.Second)
			require.NoError(t, l.t.SetReadDeadline(time.Time{}))
			time.Sleep(time.Hour)
			assert.True(t, l.isParked())
			send(t, client, wire.OpText, "still")
			assert.Equal(t, "still", <-l.got)
		})
	})
	t.Run("earlier than the connection is quiet", func(t *testing.T) {
		inBubble(t, func(t *testing.T, client net.Conn, l *parkingLoop, _ *atomic.Int64) {
			makeBusy(t, client, l)
			start := time.Now()
			require.NoError(t, l.t.SetReadDeadline(start.Add(time.Second)))
			require.ErrorIs(t, <-l.ended, os.ErrDeadlineExceeded)
			assert.Equal(t, time.Second, time.Since(start))
		})
	})
}

// Whatever ends a connection wakes it at once, with what a read that waits would return.
func TestEndOfAParkedConnection(t *testing.T) {
	for name, row := range map[string]struct {
		end  func(client net.Conn, tr *Conn)
		want error
	}{
		"reads fail":             {func(_ net.Conn, tr *Conn) { _ = tr.FailReads(errNetwork) }, errNetwork},
		"CloseNow":               {func(_ net.Conn, tr *Conn) { tr.CloseNow() }, ErrClosed},
		"Abort":                  {func(_ net.Conn, tr *Conn) { tr.Abort() }, ErrClosed},
		"a failure":              {func(_ net.Conn, tr *Conn) { _ = tr.Fail(&Error{Op: "read", Err: errNetwork, Gone: true}) }, errNetwork},
		"the client hangs up":    {func(client net.Conn, _ *Conn) { _ = client.Close() }, &ws.CloseError{Code: 1006}},
		"the client's close":     {func(client net.Conn, _ *Conn) { go sendClose(client) }, &ws.CloseError{Code: 1000}},
		"a violation":            {func(client net.Conn, _ *Conn) { go func() { _, _ = client.Write([]byte{0xff, 0xff}) }() }, errAnything},
		"a Close that is echoed": {closeEchoed, &ws.CloseError{Code: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, client net.Conn, l *parkingLoop, _ *atomic.Int64) {
				time.Sleep(time.Minute)
				assert.True(t, l.isParked())
				start := time.Now()
				row.end(client, l.t)
				err := <-l.ended
				var ce *ws.CloseError
				switch want, ok := row.want.(*ws.CloseError); { //nolint:errorlint // of the table
				case row.want == errAnything: //nolint:errorlint // of the table
				case ok:
					require.ErrorAs(t, err, &ce)
					assert.Equal(t, want.Code, ce.Code)
				default:
					require.ErrorIs(t, err, row.want)
				}
				assert.Less(t, time.Since(start), 2*time.Second)
				time.Sleep(time.Minute)
				assert.False(t, l.isParked())
			})
		})
	}
}

var errAnything = io.ErrNoProgress

func sendClose(client net.Conn) {
	_, _ = client.Write(wire.MaskedFrame(wire.OpClose, ws.FormatCloseMessage(1000, "")))
}

// closeEchoed closes a connection whose client answers after a while.
func closeEchoed(client net.Conn, tr *Conn) {
	tr.ChooseClose(&ws.CloseError{Code: 1001})
	go func() {
		time.Sleep(time.Second)
		sendClose(client)
	}()
	go func() { _ = tr.CloseHandshake() }()
}

// A connection that shuts down has a goroutine from then on.
func TestShutdownOfAParkedConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, _ net.Conn, l *parkingLoop, _ *atomic.Int64) {
		time.Sleep(time.Minute)
		l.t.BeginShutdown(errNetwork)
		time.Sleep(time.Minute)
		assert.False(t, l.isParked())
		assert.EqualValues(t, 2, l.runs.Load())
		_ = l.t.FailReads(errNetwork)
		require.ErrorIs(t, <-l.ended, errNetwork)
	})
}

// Other networks do without: the goroutine stays.
func TestConnectionThatCannotBeParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		tr := New(server, nil, newConfig())
		tr.Open()
		l := startLoop(tr, 5*time.Second)
		time.Sleep(time.Hour)
		assert.False(t, l.isParked())
		send(t, client, wire.OpText, "a")
		assert.Equal(t, "a", <-l.got)
		assert.EqualValues(t, 1, l.runs.Load())
		_ = client.Close()
		require.Error(t, <-l.ended)
		tr.Abort()
		tr.StopBackground()
	})
}

// An application that has the connection beneath may close it, which no poller tells of.
func TestConnectionIsShown(t *testing.T) {
	inBubble(t, func(t *testing.T, _ net.Conn, l *parkingLoop, _ *atomic.Int64) {
		time.Sleep(time.Minute)
		require.True(t, l.isParked())
		nc := l.t.NetConn()
		synctest.Wait()
		assert.False(t, l.isParked())
		time.Sleep(time.Minute)
		assert.False(t, l.isParked())
		require.NoError(t, nc.Close())
		require.Error(t, <-l.ended)
	})
}

// overTCP runs a test of a connection over TCP that a loop reads.
func overTCP(t *testing.T, quiet time.Duration, early []byte, test func(t *testing.T, client *net.TCPConn, l *parkingLoop)) {
	t.Helper()
	if !poller.Exists {
		t.Skip("this system has no poller")
	}
	defer goleak.VerifyNone(t)
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	client, err := net.DialTCP("tcp", nil, listener.Addr().(*net.TCPAddr)) //nolint:errcheck // it is
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	nc, err := listener.Accept()
	require.NoError(t, err)
	tr := New(nc, early, newConfig())
	tr.Open()
	l := startLoop(tr, quiet)
	test(t, client, l)
	tr.Abort()
	tr.StopBackground()
	select {
	case err := <-l.ended:
		require.Error(t, err)
	case <-time.After(10 * time.Second):
		assert.Fail(t, "the end of a parked connection is not noticed")
	}
}

func (l *parkingLoop) awaitParked(t *testing.T) {
	t.Helper()
	require.Eventually(t, l.isParked, 20*time.Second, time.Millisecond)
}

func (l *parkingLoop) receives(t *testing.T, want string) {
	t.Helper()
	select {
	case p := <-l.got:
		assert.Equal(t, want, p)
	case <-time.After(10 * time.Second):
		require.FailNow(t, "no message comes")
	}
}

func TestParkedOverTCP(t *testing.T) {
	overTCP(t, time.Millisecond, wire.MaskedFrame(wire.OpText, []byte("early")), func(t *testing.T, client *net.TCPConn, l *parkingLoop) {
		l.receives(t, "early")
		for range 20 {
			l.awaitParked(t)
			_, err := client.Write(wire.MaskedFrame(wire.OpText, []byte("a")))
			require.NoError(t, err)
			l.receives(t, "a")
		}
		l.awaitParked(t)
		assert.False(t, l.t.Allocated().ReadBuffer)
	})
}

// With no time at all, a connection is parked whenever nothing is there.
func TestParkedAtOnce(t *testing.T) {
	overTCP(t, 0, nil, func(t *testing.T, client *net.TCPConn, l *parkingLoop) {
		l.awaitParked(t)
		for range 1000 {
			_, err := client.Write(wire.MaskedFrame(wire.OpText, []byte("a")))
			require.NoError(t, err)
			l.receives(t, "a")
		}
		l.awaitParked(t)
	})
}

// The time within which a message should begin passes while one is handled. The next one has begun to
// arrive by then, and its rest comes later.
func TestMessageArrivesAfterAConnectionWouldBeQuiet(t *testing.T) {
	const quiet = 500 * time.Millisecond
	overTCP(t, quiet, nil, func(t *testing.T, client *net.TCPConn, l *parkingLoop) {
		l.got = make(chan string) // the handler
		for range 2 {             // busy
			_, err := client.Write(wire.MaskedFrame(wire.OpText, []byte("a")))
			require.NoError(t, err)
			l.receives(t, "a")
		}
		long := strings.Repeat("b", 50_000)
		frame := wire.MaskedFrame(wire.OpText, []byte(long))
		_, err := client.Write(append(wire.MaskedFrame(wire.OpText, []byte("a")), frame[:1000]...))
		require.NoError(t, err)
		time.Sleep(quiet + 100*time.Millisecond)
		l.receives(t, "a")
		time.Sleep(10 * time.Millisecond)
		_, err = client.Write(frame[1000:])
		require.NoError(t, err)
		l.receives(t, long)
	})
}

func TestPeerOfAParkedConnectionEnds(t *testing.T) {
	for name, end := range map[string]func(client *net.TCPConn) error{
		"half-close": (*net.TCPConn).CloseWrite,
		"close":      (*net.TCPConn).Close,
		"reset": func(client *net.TCPConn) error {
			_ = client.SetLinger(0)
			return client.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			overTCP(t, time.Millisecond, nil, func(t *testing.T, client *net.TCPConn, l *parkingLoop) {
				l.awaitParked(t)
				require.NoError(t, end(client))
				select {
				case err := <-l.ended:
					l.ended <- err
					require.Error(t, err)
				case <-time.After(10 * time.Second):
					require.Fail(t, "it is not noticed")
				}
			})
		})
	}
}

// A socket that is closed behind our back, which the poller cannot tell of, is taken out all the
// same.
func TestParkedSocketIsClosedBehindOurBack(t *testing.T) {
	overTCP(t, time.Millisecond, nil, func(t *testing.T, _ *net.TCPConn, l *parkingLoop) {
		l.awaitParked(t)
		require.NoError(t, l.t.nc.Close())
	})
}
