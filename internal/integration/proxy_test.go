package integration_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
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
)

// tunnels is an HTTP proxy that counts the connections through it.
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

// join copies in both directions until both ends have hung up.
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
			testws.Greet(t, conn)
		})
	}
}

// The proxy is asked for a tunnel.
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
		testws.Greet(t, conn)
	}
	require.Len(t, passing.asked, 2)
	for _, asked := range passing.asked {
		require.Equal(t, http.MethodConnect, asked.Method)
	}
}

// A peer behind a proxy takes nothing any more: neither layer of TLS may wait until it
// takes an alert.
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

// Dial connects through a SOCKS5 proxy, with and without TLS.
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
			testws.Greet(t, conn)
			<-served
		})
	}
}
