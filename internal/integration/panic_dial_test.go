package integration_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lifetime is the time until a context ends. By then a read has begun, even on a busy
// machine.
const lifetime = 100 * time.Millisecond

// clientLives are what may happen to a dialed connection.
var clientLives = []struct {
	name string
	live func(ctx context.Context, conn *websocket.Conn) error
	slow bool // it takes the times of a bubble
	mute bool // the connection is given up, whatever it does
}{
	{name: "messages", live: func(_ context.Context, conn *websocket.Conn) error {
		if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, 8<<10)); err != nil {
			return err
		}
		_, _, err := conn.ReadMessage()
		return err
	}},
	{name: "Close", mute: true, live: func(_ context.Context, conn *websocket.Conn) error { return conn.Close(1000, "") }},
	{name: "CloseNow", mute: true, live: func(_ context.Context, conn *websocket.Conn) error { return conn.CloseNow() }},
	{name: "a context that ends", live: func(ctx context.Context, conn *websocket.Conn) error {
		ctx, cancel := context.WithTimeout(ctx, lifetime)
		defer cancel()
		_, _, err := conn.ReadMessageContext(ctx)
		return err
	}},
	{name: "a goroutine that fails", live: func(_ context.Context, conn *websocket.Conn) error {
		conn.Go(func(context.Context) error { return testws.ErrDatabase })
		_, _, err := conn.ReadMessage()
		return err
	}},
	{name: "Enqueue", live: func(_ context.Context, conn *websocket.Conn) error {
		message, err := websocket.EncodeMessage(websocket.TextMessage, []byte("x"))
		if err == nil {
			err = conn.Enqueue(websocket.QueueLimit{}, message)
		}
		if err != nil {
			return err
		}
		conn.Flush()
		_, _, err = conn.ReadMessage()
		return err
	}},
	{name: "a stream whose context ends", live: func(ctx context.Context, conn *websocket.Conn) error {
		ctx, cancel := context.WithTimeout(ctx, lifetime)
		defer cancel()
		_, err := io.Copy(io.Discard, websocket.Stream(ctx, conn, websocket.BinaryMessage))
		return err
	}},
	{name: "a server that is silent", slow: true, live: func(_ context.Context, conn *websocket.Conn) error {
		_, _, err := conn.ReadMessage()
		return err
	}},
}

// A panic in any method of the connection that DialContext returned, during the handshake
// or later, is an error or has no effect. The process continues, and the socket is closed.
func TestDialOfPanickingConnection(t *testing.T) {
	for _, life := range clientLives {
		for _, method := range connMethods {
			for _, when := range []string{"from the start", "after the handshake"} {
				name := life.name + "/" + method + " panics " + when
				atOnce := when == "from the start"
				t.Run("memory/"+name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						server := websocket.New(websocket.ControllerFunc(testws.Echo))
						server.PingInterval = -1
						if life.slow { // no life at all
							livesWith(t, wstest.Serve(t, testws.Says()), method, atOnce, life.mute, life.live)
							return
						}
						server.Logger = testws.Silent
						livesWith(t, wstest.Serve(t, server), method, atOnce, life.mute, life.live)
					})
				})
				if life.slow {
					continue
				}
				for network, start := range map[string]func(http.Handler) *httptest.Server{"TCP/": httptest.NewServer, "TLS/": httptest.NewTLSServer} {
					t.Run(network+name, func(t *testing.T) {
						t.Parallel()
						u := websocket.New(websocket.ControllerFunc(testws.Echo))
						u.Logger = testws.Silent
						server := start(u)
						t.Cleanup(server.Close)
						livesWith(t, server, method, atOnce, life.mute, life.live)
					})
				}
			}
		}
	}
}

func livesWith(t *testing.T, server any, method string, atOnce, mute bool, live func(context.Context, *websocket.Conn) error) {
	t.Helper()
	u, options := testws.Target(server, "/")
	dial := options.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	c := &panickyConn{method: method}
	c.armed.Store(atOnce)
	options.DialContext = func(ctx context.Context, network, address string) (nc net.Conn, err error) {
		c.Conn, err = dial(ctx, network, address)
		return c, err
	}
	options.HandshakeTimeout, options.CloseTimeout = 5*time.Second, 100*time.Millisecond
	t.Cleanup(func() {
		c.armed.Store(false)
		_ = c.Close()
	})
	ctx := t.Context()
	conn, _, err := websocket.Dial(ctx, u, &options)
	if err == nil {
		c.armed.Store(true)
		err = live(ctx, conn)
		_ = conn.CloseNow()
	}
	assert.Equal(t, method != "Close", c.closed.Load(), "the socket is closed")
	var panicked *websocket.PanicError
	switch {
	case errors.As(err, &panicked):
		assert.Equal(t, "a panic of "+method, panicked.Value)
	case !mute && (method == "Read" || method == "Write"):
		assert.False(t, c.panicked.Load(), "it is hidden behind %v", err)
	}
}

// A panic in a function of TLSConfig is a panic of Dial on the caller's goroutine, like a
// panic in DialContext.
func TestDialWithPanickingTLSConfig(t *testing.T) {
	server := httptest.NewTLSServer(websocket.New(websocket.ControllerFunc(testws.Echo)))
	defer server.Close()
	u, options := testws.Target(server, "/")
	options.TLSConfig = options.TLSConfig.Clone()
	options.TLSConfig.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { panic("oh") }
	require.PanicsWithValue(t, "oh", func() { _, _, _ = websocket.Dial(t.Context(), u, &options) })
}

// The panic of a Proxy function is passed on and leaves nothing behind.
func TestPanickingProxyFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.PanicsWithValue(t, "oh", func() {
			_, _, _ = websocket.Dial(t.Context(), "ws://wstest/", &websocket.DialOptions{
				Proxy: func(*http.Request) (*url.URL, error) { panic("oh") },
			})
		})
	})
}

// throughProxy are ways to dial in which DialContext is called for the server or for a
// proxy.
var throughProxy = map[string]struct {
	url   string
	proxy string
}{
	"ws":                  {url: "ws://example.com/"},
	"wss":                 {url: "wss://example.com/"},
	"through a proxy":     {url: "ws://example.com/", proxy: "http://proxy.test"},
	"through SOCKS5":      {url: "ws://example.com/", proxy: "socks5://proxy.test"},
	"through a TLS proxy": {url: "wss://example.com/", proxy: "https://proxy.test"},
}

// dialWith dials in each of these ways with a DialContext of the test.
func dialWith(t *testing.T, test func(t *testing.T, dial func(func(context.Context, string, string) (net.Conn, error)) error)) {
	t.Helper()
	for name, tt := range throughProxy {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test(t, func(network func(context.Context, string, string) (net.Conn, error)) error {
					options := websocket.DialOptions{DialContext: network}
					if tt.proxy != "" {
						u, err := url.Parse(tt.proxy)
						require.NoError(t, err)
						options.Proxy = http.ProxyURL(u)
					}
					conn, response, err := websocket.Dial(t.Context(), tt.url, &options)
					require.Nil(t, conn)
					require.Nil(t, response)
					return err
				})
			})
		})
	}
}

// DialContext panics on a goroutine of its own; the panic is passed on to the caller of
// Dial.
func TestPanickingDialFunction(t *testing.T) {
	dialWith(t, func(t *testing.T, dial func(func(context.Context, string, string) (net.Conn, error)) error) {
		require.PanicsWithValue(t, "oh", func() {
			_ = dial(func(context.Context, string, string) (net.Conn, error) { panic("oh") })
		})
	})
}

// A test that fails within DialContext calls runtime.Goexit there.
func TestDialFunctionThatExits(t *testing.T) {
	dialWith(t, func(t *testing.T, dial func(func(context.Context, string, string) (net.Conn, error)) error) {
		begun := time.Now()
		err := dial(func(context.Context, string, string) (net.Conn, error) {
			runtime.Goexit()
			return nil, nil
		})
		require.EqualError(t, err, "websocket: dial example.com: DialContext was left by runtime.Goexit")
		require.Zero(t, time.Since(begun))
	})
}

func TestDialFunctionThatReturnsNothing(t *testing.T) {
	dialWith(t, func(t *testing.T, dial func(func(context.Context, string, string) (net.Conn, error)) error) {
		err := dial(func(context.Context, string, string) (net.Conn, error) { return nil, nil })
		require.ErrorContains(t, err, "neither a connection nor an error")
	})
}

// The connection is closed nevertheless. A panic of the network is not a panic of Dial.
func TestPanickingConnectionToAProxy(t *testing.T) {
	for _, proxy := range []string{"http", "https", "socks5"} {
		t.Run(proxy, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opened := &testws.OpenConns{}
				_, _, err := websocket.Dial(t.Context(), "ws://example.com/", &websocket.DialOptions{
					DialContext: opened.By(func(context.Context, string, string) (net.Conn, error) {
						client, _ := wstest.Pipe()
						return panickingConn{client}, nil
					}),
					Proxy: http.ProxyURL(&url.URL{Scheme: proxy, Host: "proxy.test"}),
				})
				var panicked *websocket.PanicError
				require.ErrorAs(t, err, &panicked)
				require.Equal(t, "oh", panicked.Value)
				require.Zero(t, opened.Count())
			})
		})
	}
}

// A panic of DialContext after Dial has given up can't be passed on to any caller.
func TestLatePanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, err := websocket.Dial(t.Context(), "ws://example.com/", &websocket.DialOptions{
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				time.Sleep(time.Minute) // it has never heard of contexts
				panic("oh")
			},
			HandshakeTimeout: time.Second,
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Minute)
	})
}

// panickingConn is a broken network.
type panickingConn struct{ net.Conn }

func (panickingConn) Write([]byte) (int, error) { panic("oh") }
