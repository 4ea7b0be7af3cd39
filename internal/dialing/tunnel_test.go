package dialing_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket/internal/dialing"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// answerConnect reads a CONNECT request, answers it and says something through the tunnel, in one
// write. Then it hangs up.
func answerConnect(t *testing.T, proxy net.Conn, answer, through string) {
	connect, err := http.ReadRequest(bufio.NewReader(proxy))
	if assert.NoError(t, err) {
		assert.Equal(t, http.MethodConnect, connect.Method)
		assert.Equal(t, "example.com:80", connect.Host)
		assert.Equal(t, "example.com:80", connect.RequestURI)
	}
	_, _ = io.WriteString(proxy, answer+through)
	_ = proxy.Close()
}

var someProxy = &url.URL{Scheme: "http", Host: "proxy.test"}

// Any 2xx response makes a tunnel (RFC 9110, 9.3.6), whatever its headers say about a body
// and whatever responses came before it. Not a byte that comes through the tunnel is lost.
func TestTunnels(t *testing.T) {
	const ok = "HTTP/1.1 200 Connection established\r\n"
	for _, tt := range []struct{ name, answer string }{
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
	} {
		t.Run(tt.name, func(t *testing.T) {
			const through = "HTTP/1.1 103 Early Hints\r\nLink: through the tunnel\r\n\r\nhello"
			nc, err := connectTo(t, "http://example.com/", someProxy, func(proxy net.Conn) {
				answerConnect(t, proxy, tt.answer, through)
			})
			require.NoError(t, err)
			read, err := io.ReadAll(nc)
			require.NoError(t, err)
			require.Equal(t, through, string(read))
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
			nc, err := connectTo(t, "http://example.com/", someProxy, func(proxy net.Conn) {
				answerConnect(t, proxy, tt.answer, "")
			})
			require.ErrorContains(t, err, tt.mention)
			require.ErrorContains(t, err, "proxy: ")
			require.Nil(t, nc)
		})
	}
}

// An HTTP proxy is asked for an address without its zone, which means something on this machine
// only. A password of the proxy's URL is for the proxy.
func TestTunnelRequest(t *testing.T) {
	for _, tt := range []struct {
		name, url     string
		user          *url.Userinfo
		asked         string
		authorization string
	}{
		{name: "a zone and a port", url: "http://[fe80::1%25eth0]:81/", asked: "[fe80::1]:81"},
		{name: "a zone", url: "http://[fe80::1%25eth0]/", asked: "[fe80::1]:80"},
		{name: "no zone", url: "http://[fe80::1]:81/", asked: "[fe80::1]:81"},
		{name: "a password", url: "http://example.com/", user: url.UserPassword("ada", "secret"), asked: "example.com:80", authorization: "Basic YWRhOnNlY3JldA=="},
		{name: "a user without one", url: "http://example.com/", user: url.User("ada"), asked: "example.com:80", authorization: "Basic YWRhOg=="},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked := make(chan *http.Request, 1)
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- r
				w.WriteHeader(http.StatusProxyAuthRequired)
			}))
			defer proxy.Close()
			u, err := url.Parse(proxy.URL)
			require.NoError(t, err)
			u.User = tt.user
			_, err = start(t, dialing.Network{Proxy: http.ProxyURL(u)}).Connect(request(t, tt.url))
			require.ErrorContains(t, err, "proxy: CONNECT was answered 407")
			require.NotContains(t, err.Error(), "secret")
			r := <-asked
			assert.Equal(t, http.MethodConnect, r.Method)
			assert.Equal(t, tt.asked, r.RequestURI)
			assert.Equal(t, tt.asked, r.Host)
			assert.Equal(t, tt.authorization, r.Header.Get("Proxy-Authorization"))
			assert.Empty(t, r.Header.Get("Authorization"))
		})
	}
}
