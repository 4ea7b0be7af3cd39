package interop_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// startWS starts the server of the package ws.
func startWS(t *testing.T) *process {
	t.Helper()
	return start(t, findNodeWithWS(t), "script/server.js")
}

// dial connects to a behavior of the server.
func dial(t *testing.T, url string, options *websocket.DialOptions) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, url, options)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.CloseNow() })
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	return conn
}

// requireEcho sends a message and reads it back.
func requireEcho(t *testing.T, conn *websocket.Conn, messageType int, sent []byte) {
	t.Helper()
	require.NoError(t, conn.WriteMessage(messageType, sent))
	gotType, got, err := conn.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, messageType, gotType)
	require.True(t, bytes.Equal(sent, got), "%d bytes were sent, %d other ones came back", len(sent), len(got))
}

// requireClosed closes the connection, and what the server notes of it must be
// the same.
func requireClosed(t *testing.T, server *process, conn *websocket.Conn) {
	t.Helper()
	require.NoError(t, conn.Close(4000, "goodbye"))
	assert.Equal(t, note{ID: t.Name(), Event: "ended", Code: 4000, Reason: "goodbye"}, server.await(t, t.Name(), "ended"))
}

func TestDial(t *testing.T) {
	server := startWS(t)
	rows := []struct {
		name     string
		behavior string
		options  websocket.DialOptions
		agreed   string
	}{
		{name: "no compression is offered", behavior: "deflate-default"},
		{name: "the server has no compression", behavior: "echo", options: compressing},
		{
			name: "the server compresses what is long", behavior: "deflate-default", options: compressing,
			agreed: "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
		},
		{
			name: "the server compresses everything", behavior: "deflate-everything", options: compressing,
			agreed: "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
		},
		{
			name: "the server would have any window of ours", behavior: "deflate-client-window", options: compressing,
			agreed: "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
		},
		{
			name: "the server has a small window", behavior: "deflate-server-window", options: compressing,
			agreed: "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
		},
		{
			name: "the server wants to forget each message, too", behavior: "deflate-stateless", options: compressing,
			agreed: "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			conn, response, err := websocket.Dial(t.Context(), server.at(row.behavior, t.Name()), &row.options)
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.CloseNow() })
			assert.Equal(t, row.agreed, response.Header.Get("Sec-WebSocket-Extensions"))
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
			for range 2 { // nothing of the first time is left
				requireEcho(t, conn, websocket.TextMessage, nil)
				requireEcho(t, conn, websocket.TextMessage, []byte("a\x00é世😀"))
				requireEcho(t, conn, websocket.BinaryMessage, everyByte)
				requireEcho(t, conn, websocket.BinaryMessage, noise)
				for _, size := range []int{125, 126, 65535, 65536, 1 << 20} {
					requireEcho(t, conn, websocket.TextMessage, bytes.Repeat([]byte("x"), size))
				}
				requireEcho(t, conn, websocket.TextMessage, []byte(strings.Repeat(sayings, 10_000)))
			}
			requireStreamed(t, conn)
			requireClosed(t, server, conn)
		})
	}
}

var compressing = websocket.DialOptions{EnableCompression: true}

// A server may choose the size of the client's window, although no context is taken over. Its zlib
// inflates with that window, and takes no copy that reaches back further.
func TestDialWindowsWithoutContext(t *testing.T) {
	t.Run("package ws", func(t *testing.T) {
		server := startWS(t)
		requireEachWindow(t, func(t *testing.T, compression string) string {
			return server.at("deflate", t.Name(), "perMessageDeflate", compression)
		})
	})
	t.Run("Python's websockets", func(t *testing.T) {
		requireEachWindow(t, func(t *testing.T, compression string) string {
			return startPython(t, compression).at("", t.Name())
		})
	})
}

// requireEachWindow exchanges messages with servers that choose each size of the client's window.
// The function serve returns the URL of a server with what the package ws calls perMessageDeflate.
func requireEachWindow(t *testing.T, serve func(t *testing.T, compression string) string) {
	all := append(alike(400), text(strings.Repeat(digits, 10)), text(strings.Repeat(sayings, 10_000)))
	for bits := 8; bits <= 15; bits++ {
		t.Run(fmt.Sprint(bits, " bits"), func(t *testing.T) {
			url := serve(t, fmt.Sprintf(`{"threshold": 0, "clientMaxWindowBits": %d}`, bits))
			conn, response, err := websocket.Dial(t.Context(), url, &compressing)
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.CloseNow() })
			assert.ElementsMatch(t,
				[]string{"permessage-deflate", "server_no_context_takeover", "client_no_context_takeover", fmt.Sprint("client_max_window_bits=", bits)},
				strings.Split(response.Header.Get("Sec-WebSocket-Extensions"), "; "))
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
			requireEchoes(t, conn, all)
			require.NoError(t, conn.Close(websocket.CloseNormalClosure, ""))
		})
	}
}

// requireStreamed sends a message in parts and reads it back.
func requireStreamed(t *testing.T, conn *websocket.Conn) {
	t.Helper()
	w, err := conn.NextWriter(websocket.TextMessage)
	require.NoError(t, err)
	for i := range 10 {
		_, err := io.WriteString(w, digits[1000*i:1000*(i+1)])
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	_, r, err := conn.NextReader()
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, digits, string(got))
}

func TestDialAndPings(t *testing.T) {
	server := startWS(t)
	t.Run("the client's", func(t *testing.T) {
		conn := dial(t, server.at("echo", t.Name()), nil)
		conn.Go(func(ctx context.Context) error {
			_, err := conn.Ping(ctx)
			return err
		})
		conn.Go(func(ctx context.Context) error {
			if _, err := conn.Ping(ctx); err != nil {
				return err
			}
			return conn.WriteMessage(websocket.TextMessage, []byte("it has answered"))
		})
		_, got, err := conn.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, "it has answered", string(got))
		requireClosed(t, server, conn)
	})
	t.Run("the server's", func(t *testing.T) {
		conn := dial(t, server.at("ping", t.Name()), nil)
		_, got, err := conn.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, "pong are you there?", string(got))
		requireClosed(t, server, conn)
	})
	t.Run("the server's between the parts of a message", func(t *testing.T) {
		conn := dial(t, server.at("stream", t.Name()), &compressing)
		var pings []string
		conn.SetPingHandler(func(data string) error {
			pings = append(pings, data)
			return nil
		})
		_, got, err := conn.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, digits, string(got))
		assert.Equal(t, []string{"in between"}, pings)
		requireClosed(t, server, conn)
	})
}

func TestDialAndEndings(t *testing.T) {
	server := startWS(t)
	rows := []struct {
		name     string
		behavior string
		query    []string
		is       error // what the read's error is
		code     int   // its close code
		reason   string
		sent     int // the close code that the server got
	}{
		{name: "an empty close frame", behavior: "close", code: 1005, sent: 1005},
		{name: "1000", behavior: "close", query: []string{"code", "1000", "reason", "done"}, code: 1000, reason: "done", sent: 1000},
		{name: "1014", behavior: "close", query: []string{"code", "1014", "reason", ""}, code: 1014, sent: 1014},
		{name: "4003", behavior: "close", query: []string{"code", "4003", "reason", longest}, code: 4003, reason: longest, sent: 4003},
		{name: "the server vanishes", behavior: "terminate", code: 1006, sent: 1006},
		{name: "text that is not UTF-8", behavior: "invalid-text", code: -1, sent: 1007},
		{name: "a message over the limit", behavior: "big", is: websocket.ErrReadLimit, code: -1, sent: 1009},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			conn := dial(t, server.at(row.behavior, t.Name(), row.query...), nil)
			_, _, err := conn.ReadMessage()
			require.Error(t, err)
			assert.Equal(t, row.code, websocket.CloseStatus(err), "%v", err)
			if row.is != nil {
				require.ErrorIs(t, err, row.is)
			}
			var frame *websocket.CloseError
			if row.sent == row.code && assert.ErrorAs(t, err, &frame) && row.code != 1006 {
				assert.Equal(t, row.reason, frame.Text)
			}
			assert.NoError(t, conn.Close(1000, ""))
			assert.Equal(t, row.sent, server.await(t, t.Name(), "ended").Code)
		})
	}
}

func TestDialAndEveryCode(t *testing.T) {
	server := startWS(t)
	for _, code := range everyCode {
		t.Run(strconv.Itoa(code), func(t *testing.T) {
			conn := dial(t, server.at("echo", t.Name()), nil)
			require.NoError(t, conn.Close(code, "because"))
			assert.Equal(t, note{ID: t.Name(), Event: "ended", Code: code, Reason: "because"}, server.await(t, t.Name(), "ended"))
		})
	}
}

func TestDialIsRefused(t *testing.T) {
	server := startWS(t)
	_, response, err := websocket.Dial(t.Context(), server.at("refuse", "refuse"), nil)
	require.ErrorIs(t, err, websocket.ErrBadHandshake)
	assert.Equal(t, 401, response.StatusCode)
	assert.Equal(t, "Basic", response.Header.Get("WWW-Authenticate"))
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, "who are you?", string(body))
}

func TestDialAndSubprotocols(t *testing.T) {
	server := startWS(t)
	conn := dial(t, server.at("echo", t.Name()), &websocket.DialOptions{Subprotocols: []string{"v2.interop", "v1.interop"}})
	assert.Equal(t, "v2.interop", conn.Subprotocol())
	requireClosed(t, server, conn)
}

func TestDialHundredTimes(t *testing.T) {
	server := startWS(t)
	conns := make([]*websocket.Conn, 100)
	for i := range conns {
		conns[i] = dial(t, server.at("deflate-everything", t.Name()), &compressing)
	}
	for i, conn := range conns {
		requireEcho(t, conn, websocket.TextMessage, []byte(strings.Repeat("I am one of many. ", i)))
	}
	for _, conn := range conns {
		require.NoError(t, conn.Close(1000, ""))
	}
}
