package transport

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/poller"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"go.uber.org/goleak"
)

// TestParkedConnectionsComeAndGo has many goroutines open connections over TCP, send messages to
// them while they are parked or about to be, and end them in every way, so that their descriptors
// are used again all the time. Each message reaches its own connection, each end is noticed, and
// nothing is left.
func TestParkedConnectionsComeAndGo(t *testing.T) {
	if !poller.Exists {
		t.Skip("this system has no poller")
	}
	defer goleak.VerifyNone(t)
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if !assert.NoError(t, err) {
		return
	}
	defer func() { _ = listener.Close() }()
	var lives, wakes atomic.Int64
	var all sync.WaitGroup
	stop := time.Now().Add(2 * time.Second)
	var pairing sync.Mutex // so that a goroutine accepts the connection that it has dialed
	for seed := range uint64(8) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, 3))
			for i := 0; time.Now().Before(stop) && !t.Failed(); i++ {
				pairing.Lock()
				client, dialErr := net.Dial("tcp", listener.Addr().String())
				server, acceptErr := listener.Accept()
				pairing.Unlock()
				if !assert.NoError(t, dialErr) || !assert.NoError(t, acceptErr) {
					return
				}
				wakes.Add(comeAndGo(t, random, client, server, fmt.Sprint(seed, " ", i)))
				lives.Add(1)
			}
		})
	}
	all.Wait()
	assert.Greater(t, lives.Load(), int64(100))
	assert.Greater(t, wakes.Load(), lives.Load(), "most of them were parked")
	t.Logf("%d connections, %d goroutines", lives.Load(), wakes.Load())
}

// comeAndGo returns how many goroutines the connection had.
func comeAndGo(t *testing.T, random *rand.Rand, client, server net.Conn, name string) int64 {
	defer func() { _ = client.Close() }()
	tr := New(server, nil, newConfig())
	var controls atomic.Int64
	tr.SetEvents(parkingEvents{controls: &controls, t: tr})
	tr.Open()
	l := startLoop(tr, time.Duration(random.IntN(3))*time.Millisecond)
	pause := func() { time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond) }
	for i := range random.IntN(5) {
		pause()
		text := fmt.Sprint(name, " ", i)
		frames := wire.MaskedFrame(wire.OpText, []byte(text))
		if random.IntN(2) == 0 {
			frames = append(wire.MaskedFrame(wire.OpPong, nil), frames...)
		}
		if random.IntN(3) == 0 {
			_ = tr.SetReadDeadline(time.Now().Add(time.Minute))
		}
		_, err := client.Write(frames)
		assert.NoError(t, err)
		select {
		case got := <-l.got:
			assert.Equal(t, text, got)
		case <-time.After(20 * time.Second):
			assert.Fail(t, "a message is not delivered")
		}
	}
	pause()
	var closing sync.WaitGroup
	end := random.IntN(7)
	switch end {
	case 0:
		tr.CloseNow()
	case 1:
		tr.Abort()
	case 2:
		_ = client.Close()
	case 3:
		_ = client.(*net.TCPConn).SetLinger(0) //nolint:errcheck // it is
		_ = client.Close()
	case 4:
		_ = tr.FailReads(errNetwork)
	case 5:
		sendClose(client)
	default:
		tr.ChooseClose(&ws.CloseError{Code: 1001})
		closing.Go(func() { _ = tr.CloseHandshake() })
		sendClose(client)
	}
	select {
	case err := <-l.ended:
		assert.Error(t, err)
	case <-time.After(20 * time.Second):
		assert.Fail(t, "the end is not noticed", "%d", end)
	}
	closing.Wait()
	tr.Abort()
	tr.StopBackground()
	return l.runs.Load()
}
