package integration_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// throughConn is a handler whose connections are wrapped when they are hijacked.
func throughConn(h http.Handler, wrap func(net.Conn) net.Conn) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(&wrapsConns{ResponseWriter: w, wrap: wrap}, r)
	})
}

type wrapsConns struct {
	http.ResponseWriter
	wrap func(net.Conn) net.Conn
}

func (w *wrapsConns) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	return w.wrap(nc), rw, nil
}

// A panickyConn panics in one of its methods once it is armed.
type panickyConn struct {
	net.Conn
	method string
	armed  atomic.Bool
	closed atomic.Bool

	panicked atomic.Bool
}

// connMethods are all methods that this package calls.
var connMethods = []string{
	"Read", "Write", "Close", "CloseWrite", "LocalAddr", "RemoteAddr", "SetDeadline", "SetReadDeadline", "SetWriteDeadline",
}

func (c *panickyConn) check(method string) {
	if c.armed.Load() && c.method == method {
		c.panicked.Store(true)
		panic("a panic of " + method)
	}
}

func (c *panickyConn) Read(p []byte) (int, error) {
	c.check("Read")
	return c.Conn.Read(p)
}

func (c *panickyConn) Write(p []byte) (int, error) {
	c.check("Write")
	return c.Conn.Write(p)
}

func (c *panickyConn) Close() error {
	c.check("Close")
	c.closed.Store(true)
	return c.Conn.Close()
}

func (c *panickyConn) CloseWrite() error {
	c.check("CloseWrite")
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite() //nolint:errcheck // all of the tests' have it
}

func (c *panickyConn) LocalAddr() net.Addr {
	c.check("LocalAddr")
	return c.Conn.LocalAddr()
}

func (c *panickyConn) RemoteAddr() net.Addr {
	c.check("RemoteAddr")
	return c.Conn.RemoteAddr()
}

func (c *panickyConn) SetDeadline(d time.Time) error {
	c.check("SetDeadline")
	return c.Conn.SetDeadline(d)
}

func (c *panickyConn) SetReadDeadline(d time.Time) error {
	c.check("SetReadDeadline")
	return c.Conn.SetReadDeadline(d)
}

func (c *panickyConn) SetWriteDeadline(d time.Time) error {
	c.check("SetWriteDeadline")
	return c.Conn.SetWriteDeadline(d)
}

// lives are what may happen to a connection of a server.
var lives = []struct {
	name   string
	serve  func(conn *websocket.Conn, r *http.Request) error
	client func(nc net.Conn) // nil: it is silent
	down   bool              // Shutdown comes
	slow   bool              // it takes the times of a bubble
}{
	{name: "a client says goodbye", serve: testws.Echo, client: func(nc net.Conn) {
		_, _ = nc.Write(wstest.Text("x").Bytes())
		_, _ = nc.Write(wstest.Close(1000, "").Bytes())
	}},
	{name: "a client vanishes", serve: testws.Echo, client: func(nc net.Conn) { _ = nc.Close() }},
	{name: "a client breaks the protocol and is gone", serve: testws.Echo, client: func(nc net.Conn) {
		_, _ = nc.Write([]byte{0x83, 0x80, 0, 0, 0, 0}) // a reserved opcode
		reset(nc)
	}},
	{name: "a client breaks the protocol and waits", serve: testws.Echo, client: func(nc net.Conn) {
		_, _ = nc.Write([]byte{0x83, 0x80, 0, 0, 0, 0})
	}},
	{name: "a client pings", serve: testws.Echo, client: func(nc net.Conn) {
		_, _ = nc.Write(wstest.Ping("x").Bytes())
		_, _ = nc.Write(wstest.Close(1000, "").Bytes())
	}},
	{name: "a client is silent", serve: testws.Echo, slow: true},
	{name: "the server shuts down", serve: testws.Echo, down: true},
	{name: "Serve fails", serve: func(*websocket.Conn, *http.Request) error { return testws.ErrDatabase }},
	{name: "Serve closes", serve: func(conn *websocket.Conn, _ *http.Request) error { return conn.Close(4000, "") }},
	{name: "Serve cuts", serve: func(conn *websocket.Conn, _ *http.Request) error { return conn.CloseNow() }},
	{name: "a goroutine fails", serve: func(conn *websocket.Conn, r *http.Request) error {
		conn.Go(func(context.Context) error { return testws.ErrDatabase })
		return testws.Echo(conn, r)
	}},
	{name: "the context of a read ends", serve: func(conn *websocket.Conn, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Millisecond)
		defer cancel()
		_, _, err := conn.ReadMessageContext(ctx)
		return err
	}},
	{name: "the context of a write ends", serve: func(conn *websocket.Conn, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Millisecond)
		defer cancel()
		return conn.WriteMessageContext(ctx, websocket.BinaryMessage, make([]byte, 16<<20))
	}},
	{name: "a read has a deadline", serve: func(conn *websocket.Conn, _ *http.Request) error {
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			return err
		}
		_, _, err := conn.ReadMessage()
		return err
	}},
	{name: "messages are enqueued", serve: func(conn *websocket.Conn, r *http.Request) error {
		message, err := websocket.EncodeMessage(websocket.BinaryMessage, make([]byte, 1<<20))
		if err != nil {
			return err
		}
		for range 4 {
			if err := conn.Enqueue(websocket.QueueLimit{Bytes: -1}, message); err != nil {
				return err
			}
			conn.Flush()
		}
		return testws.Echo(conn, r)
	}, down: true},
	{name: "Serve only writes", serve: func(conn *websocket.Conn, r *http.Request) error {
		ctx := conn.CloseRead(r.Context())
		for ctx.Err() == nil {
			if err := conn.WriteMessage(websocket.TextMessage, []byte("x")); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		return nil
	}, client: func(nc net.Conn) { _, _ = nc.Write(wstest.Close(1000, "").Bytes()) }},
	{name: "there is a stream whose context ends", serve: func(conn *websocket.Conn, r *http.Request) error {
		ctx, cancel := context.WithTimeout(r.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := io.Copy(io.Discard, websocket.Stream(ctx, conn, websocket.BinaryMessage))
		return err
	}},
	{name: "there is a stream that is closed", serve: func(conn *websocket.Conn, r *http.Request) error {
		return websocket.Stream(r.Context(), conn, websocket.BinaryMessage).Close()
	}},
}

// reset closes a connection without a close frame.
func reset(nc net.Conn) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
		_ = tcp.Close()
		return
	}
	wstest.Reset(nc)
}

// handshake connects and returns the status of the response, or 0 if there is none.
func handshake(t *testing.T, target any) (nc net.Conn, status int) {
	t.Helper()
	var err error
	switch target := target.(type) {
	case *wstest.Server:
		nc, err = target.DialContext(t.Context(), "", "")
	case *httptest.Server:
		nc, err = net.Dial("tcp", target.Listener.Addr().String())
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	_, err = io.WriteString(nc, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReaderSize(nc, 16), nil) //nolint:bodyclose // it has none, or is not read
	if err != nil {
		return nc, 0
	}
	return nc, response.StatusCode
}

// A panic in any method of the connection, whatever else happens to it, ends that
// connection and nothing else. Within the timeouts, the socket is closed, the connection no
// longer counts toward MaxConnections, and the observer is notified.
func TestPanickingConnection(t *testing.T) {
	for _, life := range lives {
		for _, method := range connMethods {
			for _, when := range []string{"from the start", "in Serve"} {
				test := func(t *testing.T, serve func(http.Handler) any) {
					t.Helper()
					p := &panickyServer{t: t, method: method, atOnce: when == "from the start"}
					p.start(life.serve, serve)
					nc, status := handshake(t, p.target)
					if status == http.StatusSwitchingProtocols {
						<-p.served
					}
					if life.client != nil {
						life.client(nc)
					}
					p.expectEnd(life.down)
				}
				name := life.name + "/" + method + " panics " + when
				t.Run("memory/"+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						test(t, func(h http.Handler) any { return wstest.Serve(t, h) })
					})
				})
				if life.slow {
					continue
				}
				t.Run("TCP/"+name, func(t *testing.T) {
					t.Parallel()
					test(t, func(h http.Handler) any {
						server := httptest.NewServer(h)
						t.Cleanup(server.Close)
						return server
					})
				})
			}
		}
	}
}

// A panickyServer has connections that panic in one of their methods.
type panickyServer struct {
	t      *testing.T
	method string
	atOnce bool // from the upgrade on, not from Serve on
	target any

	u       *websocket.Upgrader
	o       testws.Observed
	lines   testws.Logs
	served  chan struct{} // closed when Serve is called
	handled sync.WaitGroup

	mu      sync.Mutex
	conns   []*panickyConn
	healthy bool // later ones panic no more
}

func (p *panickyServer) start(life websocket.ControllerFunc, serve func(http.Handler) any) {
	p.u = websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		p.mu.Lock()
		healthy := p.healthy
		for _, nc := range p.conns {
			nc.armed.Store(true)
		}
		p.mu.Unlock()
		if healthy {
			return nil
		}
		close(p.served)
		return life(conn, r)
	}))
	p.u.Logger, p.u.Observer, p.u.MaxConnections, p.u.CloseTimeout = p.lines.Logger(), p.o.Observer(), 1, 100*time.Millisecond
	p.served = make(chan struct{})
	upgrader := throughConn(p.u, p.wrap)
	p.handled.Add(1)
	done := sync.OnceFunc(p.handled.Done)
	p.target = serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer done()
		upgrader.ServeHTTP(w, r)
	}))
}

func (p *panickyServer) wrap(nc net.Conn) net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.healthy {
		return nc
	}
	c := &panickyConn{Conn: nc, method: p.method}
	c.armed.Store(p.atOnce)
	p.conns = append(p.conns, c)
	return c
}

// expectEnd checks that nothing is left of the connection.
func (p *panickyServer) expectEnd(down bool) {
	t := p.t
	t.Helper()
	p.handled.Wait()
	if down {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		assert.NoError(t, p.u.Shutdown(ctx))
	}
	require.Eventually(t, func() bool { return p.u.Stats().Open == 0 }, 2*time.Minute, time.Millisecond)
	p.o.Mu.Lock()
	assert.Equal(t, p.o.Conns, p.o.EndedConns)
	p.o.Mu.Unlock()

	p.mu.Lock()
	p.healthy = true
	for _, nc := range p.conns {
		assert.Equal(t, p.method != "Close", nc.closed.Load(), "the socket is closed")
		if nc.panicked.Load() {
			p.expectTold()
		}
		nc.armed.Store(false)
		_ = nc.Close()
	}
	p.mu.Unlock()
	if !down {
		_, status := handshake(t, p.target)
		assert.Equal(t, http.StatusSwitchingProtocols, status, "the only place is free again")
	}
	assert.NoError(t, p.u.Shutdown(t.Context()))
}

// expectTold checks that the panic was reported, even if it had no other effect.
func (p *panickyServer) expectTold() {
	switch p.method {
	case "CloseWrite", "LocalAddr", "RemoteAddr": // without them, a connection does as well
		return
	}
	p.t.Helper()
	for _, line := range p.lines.All() {
		var panicked *websocket.PanicError
		if errors.As(line.Err, &panicked) {
			assert.Equal(p.t, "a panic of "+p.method, panicked.Value)
			assert.Contains(p.t, string(panicked.Stack), "panickyConn")
			assert.Equal(p.t, slog.LevelError, line.Level)
			return
		}
	}
	assert.Fail(p.t, "nobody was told of the panic", "%v", p.lines.All())
}
