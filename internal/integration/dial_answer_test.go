package integration_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
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

// TestRefusalThatTrickles is told of when it has had its second, with what has come.
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

// TestServerThatRefusesEarly does not read the whole request.
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

// deaf is a connection that nothing can be written to.
type deaf struct {
	net.Conn
	err error
}

func (c deaf) Write([]byte) (int, error) { return 0, c.err }

// TestRequestThatCannotBeSent fails when its answer has had a second to come.
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
