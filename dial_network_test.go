package websocket_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestDialUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listener, err := net.Listen("unix", path) //nolint:noctx // at once
	if err != nil {
		t.Skip("no unix sockets here:", err)
	}
	server := httptest.NewUnstartedServer(websocket.New(websocket.ControllerFunc(testws.Echo)))
	_ = server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // is not for such an address
	conn, _, err := websocket.Dial(t.Context(), "ws://anything/", &websocket.DialOptions{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	})
	require.NoError(t, err)
	require.IsType(t, (*net.UnixConn)(nil), conn.NetConn())
	testws.Greet(t, conn)
}

func TestDialTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(websocket.New(websocket.ControllerFunc(testws.Echo)))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = nil
	server.StartTLS()
	defer server.Close()
	u, options := testws.Target(server, "/")
	trusted := options.TLSConfig

	t.Run("a certificate that is not trusted", func(t *testing.T) {
		conn, response, err := websocket.Dial(t.Context(), u, nil)
		var unknown x509.UnknownAuthorityError
		require.ErrorAs(t, err, &unknown)
		require.Nil(t, conn)
		require.Nil(t, response)
	})
	t.Run("a certificate of another name", func(t *testing.T) {
		config := trusted.Clone()
		config.ServerName = "other.test"
		_, _, err := websocket.Dial(t.Context(), u, &websocket.DialOptions{TLSConfig: config})
		var other x509.HostnameError
		require.ErrorAs(t, err, &other)
	})
	for name, protocols := range map[string][]string{"no protocols": nil, "HTTP/2, too": {"h2", "http/1.1"}, "HTTP/2 only": {"h2"}} {
		t.Run("a trusted one, "+name, func(t *testing.T) {
			config := trusted.Clone()
			config.NextProtos = protocols
			conn, response, err := websocket.Dial(t.Context(), u, &websocket.DialOptions{TLSConfig: config, Host: "app.test"})
			require.NoError(t, err)
			require.Equal(t, protocols, config.NextProtos, "the caller's configuration is left as it is")
			require.NotNil(t, response.TLS)
			require.NotEqual(t, "h2", response.TLS.NegotiatedProtocol)
			secure, ok := conn.NetConn().(*tls.Conn)
			require.True(t, ok)
			require.IsType(t, (*net.TCPConn)(nil), secure.NetConn())
			testws.Greet(t, conn)
		})
	}
}

// A server with TLS receives the Host header and the server name (RFC 6066, 3) without a
// port.
func TestDialedName(t *testing.T) {
	for _, tt := range []struct {
		url, name, host string
		options         func(o *websocket.DialOptions)
	}{
		{url: "wss://example.com", name: "example.com", host: "example.com"},
		{url: "wss://example.com:443/", name: "example.com", host: "example.com"},
		{url: "wss://example.com:/", name: "example.com", host: "example.com"},
		{url: "wss://example.com:80/", name: "example.com", host: "example.com:80"},
		{url: "wss://127.0.0.1:443/", host: "127.0.0.1"},
		{url: "wss://[::1]:443/", host: "[::1]"},
		{url: "wss://[fe80::1%25eth0]:443/", host: "[fe80::1]"},
		{url: "wss://bücher.test:443/", name: "xn--bcher-kva.test", host: "xn--bcher-kva.test"},
		{url: "wss://example.com/", options: func(o *websocket.DialOptions) { o.Host = "app.test" }, name: "example.com", host: "app.test"},
		{
			url: "wss://127.0.0.1/", options: func(o *websocket.DialOptions) { o.TLSConfig.ServerName = "other.test" },
			name: "other.test", host: "127.0.0.1",
		},
	} {
		t.Run(tt.url, func(t *testing.T) {
			hosts, names := make(chan string, 1), make(chan string, 1)
			server := httptest.NewUnstartedServer(websocket.New(websocket.ControllerFunc(func(_ *websocket.Conn, r *http.Request) error {
				hosts <- r.Host
				return nil
			})))
			server.TLS = &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) { //nolint:gosec // Go's default version
				names <- hello.ServerName
				return nil, nil
			}}
			server.StartTLS()
			defer server.Close()
			options := websocket.DialOptions{
				TLSConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the certificate has none of these names
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
				},
			}
			if tt.options != nil {
				tt.options(&options)
			}
			conn, response, err := websocket.Dial(t.Context(), tt.url, &options)
			require.NoError(t, err)
			defer func() { _ = conn.CloseNow() }()
			require.Equal(t, tt.name, <-names)
			require.Equal(t, tt.host, <-hosts)
			require.NotNil(t, response.TLS)
		})
	}
}

// waiting are servers and networks that block a dial at some step.
var waiting = map[string]struct {
	server http.Handler
	change func(o *websocket.DialOptions)
	wss    bool
	answer bool // there is one
}{
	"the network does not answer": {
		change: func(o *websocket.DialOptions) {
			o.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
		},
	},
	"the proxy does not answer": {
		server: testws.BareServer(func(_ *http.Request, _ net.Conn, rw *bufio.ReadWriter) { _, _ = io.Copy(io.Discard, rw) }),
		change: func(o *websocket.DialOptions) {
			o.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy"})
		},
	},
	"the proxy does not speak TLS": {
		server: testws.BareServer(func(_ *http.Request, _ net.Conn, rw *bufio.ReadWriter) { _, _ = io.Copy(io.Discard, rw) }),
		change: func(o *websocket.DialOptions) {
			o.Proxy = http.ProxyURL(&url.URL{Scheme: "https", Host: "proxy"})
			dial := o.DialContext
			o.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := dial(ctx, network, address)
				return mute{nc}, err
			}
		},
	},
	"the server does not speak TLS": {
		server: testws.BareServer(func(_ *http.Request, _ net.Conn, rw *bufio.ReadWriter) { _, _ = io.Copy(io.Discard, rw) }),
		change: func(o *websocket.DialOptions) {
			dial := o.DialContext
			o.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := dial(ctx, network, address)
				return mute{nc}, err
			}
		},
		wss: true,
	},
	"the server does not answer": {
		server: testws.BareServer(func(_ *http.Request, _ net.Conn, rw *bufio.ReadWriter) { _, _ = io.Copy(io.Discard, rw) }),
	},
	"the server does not finish its answer": {
		server: testws.BareServer(func(_ *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Proto")
			_, _ = io.Copy(io.Discard, rw)
		}),
	},
	"the server does not finish a refusal in chunks": {
		server: testws.BareServer(func(_ *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
			_, _ = io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nGo aw\r\n")
			_, _ = io.Copy(io.Discard, rw)
		}),
		answer: true,
	},
	"the server does not hang up behind its refusal": {
		server: testws.BareServer(func(_ *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
			_, _ = io.WriteString(conn, "HTTP/1.0 401 Unauthorized\r\n\r\nGo aw")
			_, _ = io.Copy(io.Discard, rw)
		}),
		answer: true,
	},
	"the SOCKS5 proxy does not answer": {
		server: http.NotFoundHandler(),
		change: func(o *websocket.DialOptions) {
			o.Proxy = http.ProxyURL(&url.URL{Scheme: "socks5", Host: "proxy"})
			o.DialContext = func(context.Context, string, string) (net.Conn, error) {
				client, _ := wstest.Pipe()
				return client, nil
			}
		},
	},
	"the server does not finish its refusal": {
		server: testws.BareServer(func(_ *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
			_, _ = io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nGo aw")
			_, _ = io.Copy(io.Discard, rw)
		}),
		answer: true,
	},
}

// mute is a network that discards what is written to it.
type mute struct{ net.Conn }

func (mute) Write(p []byte) (int, error) { return len(p), nil }

// Dial gives up at the exact instant, whatever it waits for, and leaves nothing behind,
// which the bubble would notice.
func TestDialWaits(t *testing.T) {
	for name, tt := range waiting {
		for _, by := range []struct {
			name    string
			timeout time.Duration
			context func(ctx context.Context) (context.Context, context.CancelFunc)
			after   time.Duration
			cause   error
		}{
			{name: "the default", after: 30 * time.Second, cause: context.DeadlineExceeded},
			{name: "HandshakeTimeout", timeout: 7 * time.Second, after: 7 * time.Second, cause: context.DeadlineExceeded},
			{name: "a HandshakeTimeout that is short", timeout: 300 * time.Millisecond, after: 300 * time.Millisecond, cause: context.DeadlineExceeded},
			{
				name: "the context's deadline", timeout: -1, after: time.Hour, cause: context.DeadlineExceeded,
				context: func(ctx context.Context) (context.Context, context.CancelFunc) {
					return context.WithTimeout(ctx, time.Hour)
				},
			},
			{
				name: "the context's cause", after: 3 * time.Second, cause: testws.ErrDatabase,
				context: func(ctx context.Context) (context.Context, context.CancelFunc) {
					ctx, cancel := context.WithCancelCause(ctx)
					stop := time.AfterFunc(3*time.Second, func() { cancel(testws.ErrDatabase) }).Stop
					return ctx, func() { stop() }
				},
			},
		} {
			t.Run(name+", until "+by.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					options := websocket.DialOptions{HandshakeTimeout: by.timeout}
					opened := &testws.OpenConns{}
					if tt.server != nil {
						options.DialContext = opened.By(wstest.Serve(t, tt.server).DialContext)
					}
					if tt.change != nil {
						tt.change(&options)
					}
					u := "ws://wstest/"
					if tt.wss {
						u = "wss://wstest/"
					}
					ctx := t.Context()
					if by.context != nil {
						var cancel context.CancelFunc
						ctx, cancel = by.context(ctx)
						defer cancel()
					}
					begun := time.Now()
					conn, response, err := websocket.Dial(ctx, u, &options)
					after := by.after
					if tt.answer {
						after = min(after, time.Second) // a body is not worth more
					}
					require.Equal(t, after, time.Since(begun))
					require.Nil(t, conn)
					require.Zero(t, opened.Count(), "sockets that are open")
					if tt.answer {
						require.ErrorIs(t, err, websocket.ErrBadHandshake)
						body, err := io.ReadAll(response.Body)
						require.NoError(t, err)
						require.Equal(t, "Go aw", string(body))
						return
					}
					require.ErrorIs(t, err, by.cause)
					require.Nil(t, response)
				})
			})
		}
	}
}

// Dial with a context that has ended opens no connection.
func TestDialEndedBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	conn, _, err := websocket.Dial(ctx, "ws://127.0.0.1:1/", nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, conn)
}

// DialContext returns a connection after Dial has given up.
func TestLateSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := &testws.OpenConns{}
		server := wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo)))
		dial := opened.By(func(_ context.Context, network, address string) (net.Conn, error) {
			time.Sleep(time.Minute) // it has never heard of contexts
			nc, err := server.DialContext(context.Background(), network, address)
			return mute{nc}, err // a handshake of TLS would wait forever
		})
		_, _, err := websocket.Dial(t.Context(), "wss://wstest/", &websocket.DialOptions{DialContext: dial, HandshakeTimeout: time.Second})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(2 * time.Minute)
		require.Zero(t, opened.Count())
	})
}

// A dial through another WebSocket, whose server refuses: that is not a refusal by the
// server that is dialed.
func TestRefusedBeneath(t *testing.T) {
	gateway := wstest.Serve(t, http.NotFoundHandler())
	for name, proxy := range map[string]func(*http.Request) (*url.URL, error){
		"to a server": nil,
		"to a proxy":  http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.test"}),
	} {
		t.Run(name, func(t *testing.T) {
			conn, response, err := websocket.Dial(t.Context(), "ws://server.test/", &websocket.DialOptions{
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					_, refusal, err := websocket.Dial(ctx, "ws://gateway.test/", &websocket.DialOptions{DialContext: gateway.DialContext})
					assert.ErrorIs(t, err, websocket.ErrBadHandshake)
					assert.NotNil(t, refusal)
					return nil, err
				},
				Proxy: proxy,
			})
			require.ErrorContains(t, err, "websocket: dial server.test: ")
			require.ErrorContains(t, err, "404 Not Found")
			require.NotErrorIs(t, err, websocket.ErrBadHandshake)
			require.Nil(t, conn)
			require.Nil(t, response)
		})
	}
}

// talkative is a peer that begins a response and never ends it. It counts the bytes that
// are read.
type talkative struct {
	net.Conn
	mu    sync.Mutex
	begin string
	read  int
}

func (c *talkative) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read > 64<<20 {
		return 0, errors.New("enough")
	}
	n := copy(p, c.begin)
	c.begin = c.begin[n:]
	for n < len(p) {
		n += copy(p[n:], "X-Filler: and so on, and so on, and so on\r\n")
	}
	c.read += n
	return n, nil
}

func (c *talkative) Write(p []byte) (int, error)     { return len(p), nil }
func (c *talkative) SetReadDeadline(time.Time) error { return nil }
func (c *talkative) Close() error                    { return nil }

func TestAnswersWithoutEnd(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begin string
		proxy func(*http.Request) (*url.URL, error)
	}{
		{name: "a server's", begin: "HTTP/1.1 101 Switching Protocols\r\n"},
		{name: "a server's that is not the last", begin: "HTTP/1.1 103 Early Hints\r\n"},
		{name: "a proxy's", begin: "HTTP/1.1 200 OK\r\n", proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.test"})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			nc := &talkative{begin: tt.begin}
			_, _, err := websocket.Dial(t.Context(), "ws://example.com/", &websocket.DialOptions{
				DialContext: func(context.Context, string, string) (net.Conn, error) { return nc, nil },
				Proxy:       tt.proxy,
			})
			require.Error(t, err)
			nc.mu.Lock()
			defer nc.mu.Unlock()
			require.Less(t, nc.read, 11<<20, "bytes")
		})
	}
}

// noDeadlines is a network that returns an error for deadlines.
type noDeadlines struct{ net.Conn }

func (noDeadlines) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

// brokenDeadlines is a network that accepts deadlines and ignores them.
type brokenDeadlines struct{ net.Conn }

func (brokenDeadlines) SetReadDeadline(time.Time) error { return nil }

// Neither Dial nor Close waits for a read or write that such a network can't interrupt.
func TestDialWithBrokenDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := wstest.Serve(t, testws.Says(wstest.Text("early").Unmasked()))
		opened := &testws.OpenConns{}
		dial := opened.By(server.DialContext)
		begun := time.Now()
		conn, _, err := websocket.Dial(t.Context(), "ws://wstest/", &websocket.DialOptions{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				nc, err := dial(ctx, network, address)
				return brokenDeadlines{nc}, err
			},
		})
		require.NoError(t, err)
		_, message, err := conn.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, "early", string(message))
		require.Zero(t, time.Since(begun))
		require.NoError(t, conn.Close(1000, ""))
		require.Equal(t, 10*time.Second, time.Since(begun), "the server does not answer")
		require.Zero(t, opened.Count())
	})
}

func TestDialWithoutDeadlines(t *testing.T) {
	server := wstest.Serve(t, testws.Says())
	opened := &testws.OpenConns{}
	dial := opened.By(server.DialContext)
	_, _, err := websocket.Dial(t.Context(), "ws://wstest/", &websocket.DialOptions{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := dial(ctx, network, address)
			return noDeadlines{nc}, err
		},
	})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.Zero(t, opened.Count())
}

// TestNothingIsLeftOfDials counts descriptors and goroutines.
func TestNothingIsLeftOfDials(t *testing.T) {
	ways := map[string]http.Handler{
		"echo": websocket.New(websocket.ControllerFunc(testws.Echo)),
		"refusal": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write(make([]byte, 10_000))
		}),
		"wrong answer": testws.BareServer(func(_ *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
			_, _ = io.Copy(io.Discard, rw)
		}),
		"no answer": testws.BareServer(func(_ *http.Request, _ net.Conn, rw *bufio.ReadWriter) { _, _ = io.Copy(io.Discard, rw) }),
	}
	before := testws.Descriptors(t)
	for name, server := range ways {
		for _, start := range []func(http.Handler) *httptest.Server{httptest.NewServer, httptest.NewTLSServer} {
			func() {
				server := start(server)
				defer server.Close()
				u, options := testws.Target(server, "/")
				options.CloseTimeout = time.Second
				if name == "no answer" {
					options.HandshakeTimeout = 50 * time.Millisecond
				}
				var dialing sync.WaitGroup
				for i := range 20 {
					dialing.Go(func() {
						conn, _, err := websocket.Dial(t.Context(), u, &options)
						if !assert.Equal(t, name == "echo", err == nil) || err != nil {
							return
						}
						if i%2 == 0 {
							assert.NoError(t, conn.Close(1000, ""))
						} else {
							assert.NoError(t, conn.CloseNow())
						}
					})
				}
				dialing.Wait()
			}()
		}
	}
	goleak.VerifyNone(t)
	runtime.GC() // finalizers must have nothing to close
	assert.LessOrEqual(t, testws.Descriptors(t), before, "descriptors")
}
