package integration_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// dialedAddress returns the address that DialContext is called with for a URL.
func dialedAddress(t *testing.T, u string, proxy *url.URL) string {
	t.Helper()
	dialed := ""
	_, _, err := websocket.Dial(t.Context(), u, &websocket.DialOptions{
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			assert.Equal(t, "tcp", network)
			dialed = address
			return nil, testws.ErrDatabase
		},
		Proxy: http.ProxyURL(proxy),
	})
	require.ErrorIs(t, err, testws.ErrDatabase)
	return dialed
}

func TestDialedAddress(t *testing.T) {
	for u, want := range map[string]string{
		"ws://example.com":          "example.com:80",
		"wss://example.com":         "example.com:443",
		"ws://example.com:":         "example.com:80",
		"wss://example.com:/":       "example.com:443",
		"ws://example.com:80":       "example.com:80",
		"wss://example.com:80":      "example.com:80",
		"ws://example.com:8080":     "example.com:8080",
		"ws://[::1]":                "[::1]:80",
		"wss://[::1]:443":           "[::1]:443",
		"ws://[fe80::1%25eth0]:81":  "[fe80::1%eth0]:81",
		"ws://bücher.test/":         "xn--bcher-kva.test:80",
		"wss://xn--bcher-kva.test/": "xn--bcher-kva.test:443",
	} {
		assert.Equal(t, want, dialedAddress(t, u, nil), u)
	}
	for proxy, want := range map[string]*url.URL{
		"proxy.test:80":          {Scheme: "http", Host: "proxy.test:"},
		"xn--bcher-kva.test:443": {Scheme: "https", Host: "bücher.test"},
		"[::1]:1080":             {Scheme: "socks5", Host: "[::1]"},
	} {
		assert.Equal(t, proxy, dialedAddress(t, "ws://example.com/", want))
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

// proxied is an in-memory proxy. It answers CONNECT by hand, in one write with the bytes of
// behind, and then acts as the server behind the proxy.
func proxied(t *testing.T, answer, behind string) func(context.Context, string, string) (net.Conn, error) {
	t.Helper()
	client, proxy := wstest.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		defer func() { _ = proxy.Close() }()
		r := bufio.NewReader(proxy)
		connect, err := http.ReadRequest(r)
		if !assert.NoError(t, err) || !assert.Equal(t, http.MethodConnect, connect.Method) {
			return
		}
		assert.Equal(t, "example.com:80", connect.Host)
		assert.Equal(t, "example.com:80", connect.RequestURI)
		_, _ = io.WriteString(proxy, answer+behind)
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = proxy.Write(append([]byte(testws.Switching(request)), wstest.Text("hello").Unmasked().Bytes()...))
		_, _ = io.Copy(io.Discard, r)
	}()
	t.Cleanup(func() { <-served })
	return func(context.Context, string, string) (net.Conn, error) { return client, nil }
}

var someProxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.test"})

// Any 2xx response makes a tunnel (RFC 9110, 9.3.6), whatever its headers say about a body
// and whatever responses came before it.
func TestTunnels(t *testing.T) {
	const ok = "HTTP/1.1 200 Connection established\r\n"
	for _, tt := range []struct{ name, answer, behind string }{
		{name: "200", answer: ok + "\r\n"},
		{name: "200 in HTTP/1.0", answer: "HTTP/1.0 200 OK\r\n\r\n"},
		{name: "200 without a reason", answer: "HTTP/1.1 200\r\n\r\n"},
		{name: "201", answer: "HTTP/1.1 201 Created\r\n\r\n"},
		{name: "204", answer: "HTTP/1.1 204 No Content\r\n\r\n"},
		{name: "299", answer: "HTTP/1.1 299 Whatever\r\nX-Proxy: yes\r\n\r\n"},
		{name: "a 100 first", answer: "HTTP/1.1 100 Continue\r\n\r\n" + ok + "\r\n"},
		{name: "a 103 with headers first", answer: "HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Length: 5\r\n\r\n" + ok + "\r\n"},
		{name: "many first", answer: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 50) + ok + "\r\n"},
		{name: "a length", answer: ok + "Content-Length: 5\r\n\r\n"},
		{name: "a length that is none", answer: ok + "Content-Length: five\r\n\r\n"},
		{name: "chunks", answer: ok + "Transfer-Encoding: chunked\r\n\r\n"},
		{name: "an encoding that nobody knows", answer: ok + "Transfer-Encoding: gzip\r\n\r\n"},
		{name: "a connection that is not kept", answer: ok + "Connection: close\r\n\r\n"},
		{name: "line feeds alone", answer: "HTTP/1.1 200 OK\nX: y\n\n"},
		{name: "what comes through the tunnel right behind", answer: ok + "\r\n", behind: "HTTP/1.1 103 Early Hints\r\nLink: through the tunnel\r\n\r\n"},
		{name: "what comes right behind, and a length", answer: ok + "Content-Length: 3\r\n\r\n", behind: "HTTP/1.1 102 Processing\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, _, err := websocket.Dial(t.Context(), "ws://example.com/", &websocket.DialOptions{
				DialContext: proxied(t, tt.answer, tt.behind), Proxy: someProxy,
			})
			require.NoError(t, err)
			defer func() { _ = conn.CloseNow() }()
			_, message, err := conn.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, "hello", string(message))
		})
	}
}

func TestNoTunnels(t *testing.T) {
	for _, tt := range []struct{ name, answer, mention string }{
		{name: "407", answer: "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 100\r\n\r\n", mention: "proxy: CONNECT was answered 407 Proxy Authentication Required"},
		{name: "502 behind a 100", answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\n", mention: "CONNECT was answered 502 Bad Gateway"},
		{name: "302", answer: "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", mention: "CONNECT was answered 302"},
		{name: "101, which nobody has asked for", answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", mention: "CONNECT was answered 101"},
		{name: "no status", answer: "HTTP/1.1 OK\r\n\r\n", mention: `"HTTP/1.1 OK"`},
		{name: "a status of two digits", answer: "HTTP/1.1 20 OK\r\n\r\n", mention: "malformed"},
		{name: "a negative status", answer: "HTTP/1.1 -20 OK\r\n\r\n", mention: "malformed"},
		{name: "a signed status", answer: "HTTP/1.1 +20 OK\r\n\r\n", mention: "malformed"},
		{name: "no HTTP", answer: "SSH-2.0-OpenSSH_9.9\r\n", mention: "malformed"},
		{name: "no header", answer: "HTTP/1.1 200 OK\r\nno header\r\n\r\n", mention: "malformed"},
		{name: "half an answer", answer: "HTTP/1.1 200 OK\r\nVia: pro", mention: io.ErrUnexpectedEOF.Error()},
		{name: "nothing", mention: io.ErrUnexpectedEOF.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, proxy := wstest.Pipe()
			go func() {
				_, err := http.ReadRequest(bufio.NewReader(proxy))
				assert.NoError(t, err)
				_, _ = io.WriteString(proxy, tt.answer)
				_ = proxy.Close()
			}()
			conn, response, err := websocket.Dial(t.Context(), "ws://example.com/", &websocket.DialOptions{
				DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil }, Proxy: someProxy,
			})
			require.ErrorContains(t, err, tt.mention)
			require.ErrorContains(t, err, "websocket: dial example.com: proxy: ")
			require.NotErrorIs(t, err, websocket.ErrBadHandshake)
			require.Nil(t, conn)
			require.Nil(t, response)
		})
	}
}

// A step of a SOCKS5 proxy: the bytes that it expects, and its answer to them.
type socksStep struct{ want, answer string }

func TestSOCKS5(t *testing.T) {
	const (
		hello, helloUser = "\x05\x01\x00", "\x05\x02\x00\x02"
		name             = "\x05\x01\x00\x03\x0bexample.com\x00\x50"
		granted          = "\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"
	)
	ada := url.UserPassword("ada", "secret")
	for _, tt := range []struct {
		name  string
		url   string
		user  *url.Userinfo
		steps []socksStep
		fails string
	}{
		{name: "a name", url: "ws://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, granted}}},
		{name: "a name and a port", url: "ws://example.com:8080/", steps: []socksStep{{hello, "\x05\x00"}, {"\x05\x01\x00\x03\x0bexample.com\x1f\x90", granted}}},
		{name: "an IPv4 address", url: "ws://192.0.2.1/", steps: []socksStep{{hello, "\x05\x00"}, {"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50", granted}}},
		{name: "an IPv6 address", url: "ws://[2001:db8::1]/", steps: []socksStep{
			{hello, "\x05\x00"}, {"\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50", granted},
		}},
		{name: "a name that is not ASCII", url: "ws://bücher.test/", steps: []socksStep{{hello, "\x05\x00"}, {"\x05\x01\x00\x03\x12xn--bcher-kva.test\x00\x50", granted}}},
		{name: "an answer with an IPv6 address", url: "ws://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x00\x00\x04" + strings.Repeat("\x00", 18)}}},
		{name: "an answer with a name", url: "ws://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x00\x00\x03\x05proxy\x00\x00"}}},
		{name: "a user", url: "ws://example.com/", user: ada, steps: []socksStep{{helloUser, "\x05\x02"}, {"\x01\x03ada\x06secret", "\x01\x00"}, {name, granted}}},
		{name: "a user that is not needed", url: "ws://example.com/", user: ada, steps: []socksStep{{helloUser, "\x05\x00"}, {name, granted}}},
		{name: "a user without a password", url: "ws://example.com/", user: url.User("ada"), steps: []socksStep{{helloUser, "\x05\x02"}, {"\x01\x03ada\x00", "\x01\x00"}, {name, granted}}},

		{name: "a password that is wrong", url: "ws://example.com/", user: ada, steps: []socksStep{{helloUser, "\x05\x02"}, {"\x01\x03ada\x06secret", "\x01\x01"}}, fails: "user and password"},
		{name: "a password that is missing", url: "ws://example.com/", steps: []socksStep{{hello, "\x05\x02"}}, fails: "authentication"},
		{name: "no method that is known", url: "ws://example.com/", user: ada, steps: []socksStep{{helloUser, "\x05\xff"}}, fails: "authentication"},
		{name: "SOCKS4", url: "ws://example.com/", steps: []socksStep{{hello, "\x00\x5b"}}, fails: "speaks no SOCKS5"},
		{name: "no SOCKS", url: "ws://example.com/", steps: []socksStep{{hello, "HTTP/1.1 400 Bad Request\r\n\r\n"}}, fails: "speaks no SOCKS5"},
		{name: "refused by the server", url: "ws://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"}}, fails: "connection refused"},
		{name: "refused for a reason that nobody knows", url: "ws://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x63\x00\x01\x00\x00\x00\x00\x00\x00"}}, fails: "refuses: 99"},
		{name: "another version later", url: "ws://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x04\x00\x00\x01\x00\x00\x00\x00\x00\x00"}}, fails: "speaks no SOCKS5"},
		{name: "an answer with an address of no kind", url: "ws://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x00\x00\x02\x00\x00\x00\x00\x00\x00"}}, fails: "kind 2"},
		{name: "half an answer", url: "ws://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x00\x00\x01\x7f"}}, fails: io.ErrUnexpectedEOF.Error()},
		{name: "half an answer with a name", url: "ws://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x00\x00\x03"}}, fails: io.ErrUnexpectedEOF.Error()},
		{name: "no answer", url: "ws://example.com/", steps: []socksStep{{hello, ""}}, fails: io.ErrUnexpectedEOF.Error()},
		{name: "a name that is too long", url: "ws://" + strings.Repeat("x", 256) + "/", fails: "more than 255 bytes"},
		{name: "a user that is too long", url: "ws://example.com/", user: url.User(strings.Repeat("x", 256)), fails: "length"},
		{name: "a user without a name", url: "ws://example.com/", user: url.UserPassword("", "x"), fails: "length"},
		{name: "a port that is too large", url: "ws://example.com:65536/", fails: `"65536"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, proxy := wstest.Pipe()
			served := make(chan struct{})
			go func() {
				defer close(served)
				defer func() { _ = proxy.Close() }()
				for _, step := range tt.steps {
					b := make([]byte, len(step.want))
					_, err := io.ReadFull(proxy, b)
					assert.NoError(t, err)
					assert.Equal(t, step.want, string(b))
					_, _ = io.WriteString(proxy, step.answer)
				}
				if tt.fails != "" {
					return
				}
				r := bufio.NewReader(proxy)
				request, err := http.ReadRequest(r)
				if assert.NoError(t, err) {
					_, _ = proxy.Write(append([]byte(testws.Switching(request)), wstest.Text("hello").Unmasked().Bytes()...))
				}
				_, _ = io.Copy(io.Discard, r)
			}()
			conn, _, err := websocket.Dial(t.Context(), tt.url, &websocket.DialOptions{
				DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil },
				Proxy:       http.ProxyURL(&url.URL{Scheme: "socks5", Host: "proxy.test", User: tt.user}),
			})
			if tt.fails != "" {
				require.ErrorContains(t, err, ": proxy: ")
				require.ErrorContains(t, err, tt.fails)
				require.NotContains(t, err.Error(), "secret")
				<-served
				return
			}
			require.NoError(t, err)
			_, message, err := conn.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, "hello", string(message))
			require.NoError(t, conn.CloseNow())
			<-served
		})
	}
}
