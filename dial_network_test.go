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
	"strings"
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

// greet sends a message, has it answered and closes the connection.
func greet(t *testing.T, conn *websocket.Conn) {
	t.Helper()
	defer func() { _ = conn.CloseNow() }()
	require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("hello")))
	_, message, err := conn.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "hello", string(message))
	require.NoError(t, conn.Close(1000, ""))
}

// tunnels counts the connections that it passes through, as an HTTP proxy.
type tunnels struct {
	mu     sync.Mutex
	asked  []*http.Request
	refuse bool
}

func (p *tunnels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r)
	p.mu.Unlock()
	if r.Method != http.MethodConnect || p.refuse {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	server, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n")
	join(client, server)
}

// join copies both ways until both ends have hung up.
func join(a, b net.Conn) {
	var copying sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		copying.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].Close()
		})
	}
	copying.Wait()
}

func TestDialThroughProxy(t *testing.T) {
	for _, tt := range []struct {
		name           string
		proxy, server  func(http.Handler) *httptest.Server
		user           *url.Userinfo
		authorization  string
		refused        bool
		customNetworks bool
	}{
		{name: "ws through http", proxy: httptest.NewServer, server: httptest.NewServer},
		{name: "wss through http", proxy: httptest.NewServer, server: httptest.NewTLSServer},
		{name: "ws through https", proxy: httptest.NewTLSServer, server: httptest.NewServer},
		{name: "wss through https", proxy: httptest.NewTLSServer, server: httptest.NewTLSServer},
		{
			name: "with a password", proxy: httptest.NewServer, server: httptest.NewServer,
			user: url.UserPassword("ada", "secret"), authorization: "Basic YWRhOnNlY3JldA==",
		},
		{name: "refused, ws", proxy: httptest.NewServer, server: httptest.NewServer, refused: true},
		{name: "refused, wss", proxy: httptest.NewTLSServer, server: httptest.NewTLSServer, refused: true},
		{name: "and a dial function of our own", proxy: httptest.NewServer, server: httptest.NewTLSServer, customNetworks: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			passing := &tunnels{refuse: tt.refused}
			proxy := tt.proxy(passing)
			defer proxy.Close()
			server := tt.server(websocket.New(websocket.ControllerFunc(testws.Echo)))
			defer server.Close()
			u, options := testws.Target(server, "/")
			roots := x509.NewCertPool()
			for _, s := range []*httptest.Server{proxy, server} {
				if s.Certificate() != nil {
					roots.AddCert(s.Certificate())
				}
			}
			options.TLSConfig = &tls.Config{RootCAs: roots, NextProtos: []string{"h2", "http/1.1"}} //nolint:gosec // Go's default version
			seen := ""
			options.Proxy = func(r *http.Request) (*url.URL, error) {
				seen = r.URL.String()
				p, err := url.Parse(proxy.URL)
				p.User = tt.user
				return p, err
			}
			dialed := ""
			if tt.customNetworks {
				options.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
					dialed = address
					return new(net.Dialer).DialContext(ctx, network, address)
				}
			}
			conn, response, err := websocket.Dial(t.Context(), u, &options)
			require.Equal(t, "http"+strings.TrimPrefix(u, "ws"), seen)
			require.Len(t, passing.asked, 1)
			require.Equal(t, http.MethodConnect, passing.asked[0].Method)
			require.Equal(t, server.Listener.Addr().String(), passing.asked[0].Host)
			require.Equal(t, tt.authorization, passing.asked[0].Header.Get("Proxy-Authorization"))
			require.Empty(t, passing.asked[0].Header.Get("Authorization"))
			if tt.refused {
				require.ErrorContains(t, err, "proxy: CONNECT was answered 407")
				require.NotErrorIs(t, err, websocket.ErrBadHandshake)
				require.Nil(t, response)
				return
			}
			require.NoError(t, err)
			if tt.customNetworks {
				require.Equal(t, proxy.Listener.Addr().String(), dialed)
			}
			greet(t, conn)
		})
	}
}

// TestProxySchemes tells those that we speak from others, with which net/http would
// speak plain HTTP, and no CONNECT.
func TestProxySchemes(t *testing.T) {
	for _, tt := range []struct {
		scheme  string
		address string // that is dialed; "": none
	}{
		{scheme: "http", address: "proxy.test:80"},
		{scheme: "HTTP", address: "proxy.test:80"},
		{scheme: "", address: "proxy.test:80"},
		{scheme: "https", address: "proxy.test:443"},
		{scheme: "Https", address: "proxy.test:443"},
		{scheme: "socks5", address: "proxy.test:1080"},
		{scheme: "SOCKS5", address: "proxy.test:1080"},
		{scheme: "socks5h", address: "proxy.test:1080"},
		{scheme: "socks4"},
		{scheme: "ftp"},
		{scheme: "ws"},
	} {
		t.Run(tt.scheme, func(t *testing.T) {
			proxy := &url.URL{Scheme: tt.scheme, Host: "proxy.test", User: url.UserPassword("ada", "secret")}
			dialed := ""
			_, _, err := websocket.Dial(t.Context(), "ws://example.com/", &websocket.DialOptions{
				DialContext: func(_ context.Context, _, address string) (net.Conn, error) {
					dialed = address
					return nil, testws.ErrDatabase
				},
				Proxy: http.ProxyURL(proxy),
			})
			require.Equal(t, tt.address, dialed)
			require.Equal(t, tt.scheme, proxy.Scheme, "the caller's URL is left as it is")
			require.NotContains(t, err.Error(), "secret")
			if tt.address == "" {
				require.ErrorContains(t, err, `proxy: scheme "`+tt.scheme+`": want http, https, socks5 or socks5h`)
				return
			}
			require.ErrorIs(t, err, testws.ErrDatabase)
		})
	}
}

// TestProxyIsToldNoZone has a proxy asked for an address whose zone is this machine's.
func TestProxyIsToldNoZone(t *testing.T) {
	for u, want := range map[string]string{
		"ws://[fe80::1%25eth0]:81/": "[fe80::1]:81",
		"ws://[fe80::1%25eth0]/":    "[fe80::1]:80",
		"ws://[fe80::1]:81/":        "[fe80::1]:81",
	} {
		passing := &tunnels{refuse: true}
		proxy := httptest.NewServer(passing)
		options := websocket.DialOptions{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }}
		_, _, err := websocket.Dial(t.Context(), u, &options)
		proxy.Close()
		require.ErrorContains(t, err, "proxy: CONNECT was answered 407", u)
		require.Len(t, passing.asked, 1)
		assert.Equal(t, want, passing.asked[0].RequestURI)
		assert.Equal(t, want, passing.asked[0].Host)
	}
}

// TestProxyOfHandMadeURL is asked for a tunnel.
func TestProxyOfHandMadeURL(t *testing.T) {
	passing := &tunnels{}
	proxy := httptest.NewServer(passing)
	defer proxy.Close()
	server := httptest.NewServer(websocket.New(websocket.ControllerFunc(testws.Echo)))
	defer server.Close()
	for _, scheme := range []string{"HTTP", ""} {
		u, options := testws.Target(server, "/")
		options.Proxy = http.ProxyURL(&url.URL{Scheme: scheme, Host: proxy.Listener.Addr().String()})
		conn, _, err := websocket.Dial(t.Context(), u, &options)
		require.NoError(t, err)
		greet(t, conn)
	}
	require.Len(t, passing.asked, 2)
	for _, asked := range passing.asked {
		require.Equal(t, http.MethodConnect, asked.Method)
	}
}

// TestCutOfTLSInTLS has a peer behind a proxy take nothing any more: neither layer
// of TLS may wait for it to take an alert.
func TestCutOfTLSInTLS(t *testing.T) {
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	certified.Close()
	_, options := testws.Target(certified, "/")
	config := &tls.Config{Certificates: certified.TLS.Certificates} //nolint:gosec // Go's default version
	synctest.Test(t, func(t *testing.T) {
		client, server := wstest.Pipe()
		defer func() { _ = server.Close() }()
		go func() {
			proxy := tls.Server(server, config)
			r := bufio.NewReader(proxy)
			_, err := http.ReadRequest(r)
			assert.NoError(t, err)
			_, _ = io.WriteString(proxy, "HTTP/1.1 200 OK\r\n\r\n")
			end := tls.Server(proxy, config)
			request, err := http.ReadRequest(bufio.NewReader(end))
			if assert.NoError(t, err) {
				_, _ = io.WriteString(end, testws.Switching(request))
			}
		}()
		options.DialContext = func(context.Context, string, string) (net.Conn, error) { return client, nil }
		options.Proxy = http.ProxyURL(&url.URL{Scheme: "https", Host: "example.com"})
		options.WriteTimeout = time.Second
		conn, _, err := websocket.Dial(t.Context(), "wss://example.com/", &options)
		require.NoError(t, err)
		begun := time.Now()
		require.Error(t, conn.WriteMessage(websocket.BinaryMessage, make([]byte, 10<<20)))
		require.NoError(t, conn.CloseNow())
		require.LessOrEqual(t, time.Since(begun), time.Second)
	})
}

// TestDialThroughSOCKS5 is about what net/http does for us.
func TestDialThroughSOCKS5(t *testing.T) {
	for name, start := range map[string]func(http.Handler) *httptest.Server{"ws": httptest.NewServer, "wss": httptest.NewTLSServer} {
		t.Run(name, func(t *testing.T) {
			server := start(websocket.New(websocket.ControllerFunc(testws.Echo)))
			defer server.Close()
			listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
			require.NoError(t, err)
			defer func() { _ = listener.Close() }()
			served := make(chan struct{})
			go func() { // RFC 1928, for one client without a password that asks for an IPv4 address
				defer close(served)
				client, err := listener.Accept()
				if err != nil {
					return
				}
				defer func() { _ = client.Close() }()
				var b [10]byte
				_, err = io.ReadFull(client, b[:3])
				assert.NoError(t, err)
				_, _ = client.Write([]byte{5, 0})
				_, err = io.ReadFull(client, b[:])
				assert.NoError(t, err)
				assert.Equal(t, []byte{5, 1, 0, 1, 127, 0, 0, 1}, b[:8])
				onward, err := net.Dial("tcp", server.Listener.Addr().String()) //nolint:noctx // at once
				if !assert.NoError(t, err) {
					return
				}
				_, _ = client.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
				join(client, onward)
			}()
			u, options := testws.Target(server, "/")
			options.Proxy = http.ProxyURL(&url.URL{Scheme: "socks5", Host: listener.Addr().String()})
			conn, _, err := websocket.Dial(t.Context(), u, &options)
			require.NoError(t, err)
			greet(t, conn)
			<-served
		})
	}
}

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
	greet(t, conn)
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
			greet(t, conn)
		})
	}
}

// waiting are servers and networks that get a dial stuck somewhere.
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

// mute is a network that swallows what is written to it.
type mute struct{ net.Conn }

func (mute) Write(p []byte) (int, error) { return len(p), nil }

// TestDialWaits gives up at the exact instant, whatever it waits for, and leaves
// nothing behind, which the bubble would notice.
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

// TestDialEndedBefore does not even begin.
func TestDialEndedBefore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	conn, _, err := websocket.Dial(ctx, "ws://127.0.0.1:1/", nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, conn)
}

// TestLateSocket comes when nobody waits for it any more.
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

// TestPanickingProxyFunction passes its panic on and leaves nothing behind.
func TestPanickingProxyFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		require.PanicsWithValue(t, "oh", func() {
			_, _, _ = websocket.Dial(t.Context(), "ws://wstest/", &websocket.DialOptions{
				Proxy: func(*http.Request) (*url.URL, error) { panic("oh") },
			})
		})
	})
}

// throughProxy are dials whose DialContext net/http calls, or we do.
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

// dialWith dials each of them with a function of the caller's.
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

// TestPanickingDialFunction is on a goroutine of net/http's, and its panic on that
// of Dial.
func TestPanickingDialFunction(t *testing.T) {
	dialWith(t, func(t *testing.T, dial func(func(context.Context, string, string) (net.Conn, error)) error) {
		require.PanicsWithValue(t, "oh", func() {
			_ = dial(func(context.Context, string, string) (net.Conn, error) { panic("oh") })
		})
	})
}

// TestDialFunctionThatExits is what a test does that fails in one.
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

// panickingConn is a broken network.
type panickingConn struct{ net.Conn }

func (panickingConn) Write([]byte) (int, error) { panic("oh") }

// TestPanickingConnectionToAProxy is closed all the same. What a network does is no panic
// of Dial.
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

// TestLatePanic is that of a dial that was given up: nobody is there to recover it.
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

// TestRefusedBeneath goes through another WebSocket, whose server refuses: that is
// not the refusal of the server that was dialed.
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

// talkative is a peer that begins an answer and never comes to its end. It counts
// the bytes that are read.
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

// noDeadlines is a network that can't interrupt a read.
type noDeadlines struct{ net.Conn }

func (noDeadlines) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

// brokenDeadlines is a network that says it can.
type brokenDeadlines struct{ net.Conn }

func (brokenDeadlines) SetReadDeadline(time.Time) error { return nil }

// Dial waits for nothing that such a network can't interrupt, nor does Close.
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
