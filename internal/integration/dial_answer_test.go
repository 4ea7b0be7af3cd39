package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestGoodAnswers are answers that upgrade, with a message right behind them.
func TestGoodAnswers(t *testing.T) {
	const upgrade, connection = "Upgrade: websocket\r\n", "Connection: Upgrade\r\n"
	for _, tt := range []struct {
		name      string
		before    string // the answer
		old, with string
	}{
		{name: "a connection that is not kept behind the WebSocket", old: connection, with: "Connection: Upgrade, close\r\n"},
		{name: "close before the upgrade", old: connection, with: "Connection: close, upgrade\r\n"},
		{name: "close on a line of its own", old: connection, with: "Connection: close\r\nConnection: Upgrade\r\n"},
		{name: "close and keep-alive", old: connection, with: "Connection: keep-alive, Upgrade, close\r\n"},
		{name: "empty elements", old: upgrade + connection, with: "Upgrade: ,websocket\r\nConnection: , Upgrade,\r\n"},
		{name: "other case", old: upgrade + connection, with: "UPGRADE: WebSocket\r\nconnection: uPGRADE\r\n"},
		{name: "the length of a body", old: connection, with: connection + "Content-Length: 100\r\n"},
		{name: "a length that is none", old: connection, with: connection + "Content-Length: x\r\n"},
		{name: "two lengths", old: connection, with: connection + "Content-Length: 1\r\nContent-Length: 2\r\n"},
		{name: "chunks", old: connection, with: connection + "Transfer-Encoding: chunked\r\n"},
		{name: "an encoding that nobody knows", old: connection, with: connection + "Transfer-Encoding: gzip\r\n"},
		{name: "no reason behind the status", old: " 101 Switching Protocols", with: " 101"},
		{name: "another one before it", before: "HTTP/1.1 100 Continue\r\n\r\n"},
		{name: "ten before it", before: strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 10)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				conn := testws.Dial(t, serve(testws.BareServer(func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
					answer := tt.before + strings.Replace(testws.Switching(r), tt.old, tt.with, 1)
					_, _ = conn.Write(append([]byte(answer), wstest.Text("early").Unmasked().Bytes()...))
					_, _ = io.Copy(io.Discard, rw)
				})), nil)
				_, message, err := conn.ReadMessage()
				require.NoError(t, err)
				require.Equal(t, "early", string(message))
			})
		})
	}
}

// The body of a refusal that trickles is returned after a second, as far as it has arrived.
func TestRefusalThatTrickles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := &testws.OpenConns{}
		server := wstest.Serve(t, testws.BareServer(func(_ *http.Request, conn net.Conn, _ *bufio.ReadWriter) {
			_, err := io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\n\r\n")
			for err == nil {
				_, err = io.WriteString(conn, "no")
				time.Sleep(300 * time.Millisecond)
			}
		}))
		begun := time.Now()
		_, response, err := websocket.Dial(t.Context(), "ws://wstest/", &websocket.DialOptions{DialContext: opened.By(server.DialContext)})
		require.ErrorIs(t, err, websocket.ErrBadHandshake)
		require.ErrorContains(t, err, "403 Forbidden")
		require.Equal(t, time.Second, time.Since(begun))
		require.Equal(t, http.StatusForbidden, response.StatusCode)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, "nononono", string(body))
		require.Zero(t, opened.Count())
		time.Sleep(time.Second) // the server notices
	})
}

// The server refuses before it has read the whole request.
func TestServerThatRefusesEarly(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	served := make(chan struct{})
	go func() {
		defer close(served)
		client, err := listener.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(client, "HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\n\r\n")
		_ = client.(*net.TCPConn).CloseWrite() //nolint:errcheck // it is one
		_, _ = io.Copy(io.Discard, client)
		_ = client.Close()
	}()
	_, response, err := websocket.Dial(t.Context(), "ws://"+listener.Addr().String(), &websocket.DialOptions{
		Header: http.Header{"X-Large": {strings.Repeat("x", 8<<20)}},
		Proxy:  func(*http.Request) (*url.URL, error) { return nil, nil },
	})
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)
	<-served
}

var someProxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy.test"})

// deaf is a connection whose writes fail.
type deaf struct {
	net.Conn
	err error
}

func (c deaf) Write([]byte) (int, error) { return 0, c.err }

// Dial fails after it has waited a second for the response.
func TestRequestThatCannotBeSent(t *testing.T) {
	for name, proxy := range map[string]func(*http.Request) (*url.URL, error){"to a server": nil, "to a proxy": someProxy} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				opened := &testws.OpenConns{}
				begun := time.Now()
				_, response, err := websocket.Dial(t.Context(), "ws://example.com/", &websocket.DialOptions{
					DialContext: opened.By(func(context.Context, string, string) (net.Conn, error) {
						client, _ := wstest.Pipe()
						return deaf{client, testws.ErrDatabase}, nil
					}),
					Proxy: proxy,
				})
				require.ErrorIs(t, err, testws.ErrDatabase)
				require.Nil(t, response)
				require.Equal(t, time.Second, time.Since(begun))
				require.Zero(t, opened.Count())
			})
		})
	}
}

// Frames may arrive in one piece with the 101: net/http, TLS or neither has read them then.
func TestEarlyFrames(t *testing.T) {
	for _, size := range []int{5, 3000, 5000, 40_000} {
		t.Run(fmt.Sprint(size, " bytes"), func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				message := strings.Repeat("x", size)
				conn := testws.Dial(t, serve(testws.Says(
					wstest.Text(message).Unmasked(), wstest.Ping("!").Unmasked(), wstest.Text("end").Unmasked(), wstest.Close(1000, "").Unmasked(),
				)), nil)
				for _, want := range []string{message, "end"} {
					_, got, err := conn.ReadMessage()
					require.NoError(t, err)
					require.Equal(t, want, string(got))
				}
				_, _, err := conn.ReadMessage()
				require.Equal(t, 1000, websocket.CloseStatus(err))
			})
		})
	}
}

// The rest of an early frame comes later, and the server hangs up after it.
func TestHalfAnEarlyFrame(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		proceed := make(chan struct{})
		conn := testws.Dial(t, serve(testws.BareServer(func(r *http.Request, conn net.Conn, _ *bufio.ReadWriter) {
			frame := wstest.Text("hello").Unmasked().Bytes()
			_, _ = conn.Write(append([]byte(testws.Switching(r)), frame[:3]...))
			<-proceed
			_, _ = conn.Write(frame[3:])
		})), nil)
		close(proceed)
		_, got, err := conn.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
		_, _, err = conn.ReadMessage()
		require.Equal(t, websocket.CloseAbnormalClosure, websocket.CloseStatus(err))
	})
}

func TestDialRefused(t *testing.T) {
	status := func(code int, header, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if name, value, ok := strings.Cut(header, ": "); ok {
				w.Header().Set(name, value)
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		})
	}
	raw := func(answer func(r *http.Request) string) http.Handler {
		return testws.BareServer(func(r *http.Request, conn net.Conn, _ *bufio.ReadWriter) {
			_, _ = io.WriteString(conn, answer(r))
		})
	}
	chosen := func(header string) http.Handler {
		return raw(func(r *http.Request) string { return testws.Switching(r, header) })
	}
	for _, tt := range []struct {
		name    string
		server  http.Handler
		status  int
		body    string
		mention string
	}{
		{name: "who are you?", server: status(401, "Www-Authenticate: Basic", "who?"), status: 401, body: "who?", mention: "401 Unauthorized"},
		{name: "forbidden", server: status(403, "", "no"), status: 403, body: "no", mention: "403 Forbidden"},
		{name: "overloaded", server: status(503, "Retry-After: 5", ""), status: 503, mention: "503 Service Unavailable"},
		{name: "a long explanation", server: status(500, "", strings.Repeat("long", 10_000)), status: 500, body: strings.Repeat("long", 256), mention: "500"},
		{name: "an ordinary page", server: status(200, "", "<html>"), status: 200, body: "<html>", mention: "200 OK"},
		{name: "moved", server: http.RedirectHandler("/elsewhere", http.StatusFound), status: 302, body: "<a href=\"/elsewhere\">Found</a>.\n\n", mention: "302 Found"},
		{
			name:   "the answer to another key",
			server: raw(func(*http.Request) string { return testws.Switching(httptest.NewRequest(http.MethodGet, "/", nil)) }), //nolint:noctx // not sent
			status: 101, mention: "Sec-WebSocket-Accept",
		},
		{
			name: "an upgrade to something else",
			server: raw(func(r *http.Request) string {
				return strings.Replace(testws.Switching(r), "Upgrade: websocket", "Upgrade: h2c", 1)
			}),
			status: 101, mention: "Upgrade",
		},
		{
			name: "an upgrade to nothing",
			server: raw(func(r *http.Request) string {
				return strings.Replace(testws.Switching(r), "Upgrade: websocket\r\n", "", 1)
			}),
			status: 101, mention: "101",
		},
		{name: "a subprotocol that was not offered", server: chosen("Sec-WebSocket-Protocol: mqtt"), status: 101, mention: `"mqtt"`},
		{name: "two subprotocols", server: chosen("Sec-WebSocket-Protocol: chat, talk"), status: 101, mention: `"chat, talk"`},
		{name: "an extension that was not offered", server: chosen("Sec-WebSocket-Extensions: x-telepathy"), status: 101, mention: `"x-telepathy"`},
		{
			name: "an upgrade through another protocol, which was not asked for",
			server: raw(func(r *http.Request) string {
				return strings.Replace(testws.Switching(r), "Upgrade: websocket", "Upgrade: TLS/1.0, websocket", 1)
			}),
			status: 101, mention: "TLS/1.0, websocket",
		},
		{
			name: "a connection that is closed, and not upgraded",
			server: raw(func(r *http.Request) string {
				return strings.Replace(testws.Switching(r), "Connection: Upgrade", "Connection: close", 1)
			}),
			status: 101, mention: `Connection header: ["close"]`,
		},
		{name: "two answers to the key", server: chosen("Sec-WebSocket-Accept: x"), status: 101, mention: "Sec-WebSocket-Accept"},
		{name: "malformed extensions", server: chosen("Sec-WebSocket-Extensions: permessage-deflate;"), status: 101, mention: "malformed"},
		{
			name: "an upgrade in HTTP/1.0, which has none",
			server: raw(func(r *http.Request) string {
				return strings.Replace(testws.Switching(r), "HTTP/1.1", "HTTP/1.0", 1)
			}),
			status: 101, mention: "HTTP/1.0",
		},
		{
			name:   "compression, which was not offered",
			server: chosen("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"),
			status: 101, mention: `"permessage-deflate;`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				u, options := testws.Target(serve(tt.server), "/")
				options.Subprotocols = []string{"chat", "talk"}
				conn, response, err := websocket.Dial(t.Context(), u, &options)
				require.Nil(t, conn)
				require.ErrorIs(t, err, websocket.ErrBadHandshake)
				require.ErrorContains(t, err, tt.mention)
				require.NotNil(t, response)
				assert.Equal(t, tt.status, response.StatusCode)
				body, err := io.ReadAll(response.Body)
				require.NoError(t, err)
				assert.Equal(t, tt.body, string(body))
			})
		})
	}
}

// Responses that are too malformed to be returned.
func TestBadAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"no HTTP":   "SSH-2.0-OpenSSH_9.9\r\n",
		"no answer": "",
		"half one":  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso",
	} {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				u, options := testws.Target(serve(testws.BareServer(func(_ *http.Request, conn net.Conn, _ *bufio.ReadWriter) {
					_, _ = io.WriteString(conn, answer)
				})), "/")
				conn, response, err := websocket.Dial(t.Context(), u, &options)
				require.ErrorContains(t, err, "websocket: dial ")
				require.NotErrorIs(t, err, websocket.ErrBadHandshake)
				require.Nil(t, conn)
				require.Nil(t, response)
			})
		})
	}
}
