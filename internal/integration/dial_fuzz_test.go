package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// crumbs is a network whose reads return at most this many bytes.
type crumbs struct {
	net.Conn
	size int
}

func (c crumbs) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(len(p), c.size)]) }

// answerBy lets a dial reach a server that answers the request with bytes, and then only
// reads until the client hangs up. The returned function waits for that and returns what
// the client sent after the request.
func answerBy(t *testing.T, options *websocket.DialOptions, size int, answer func(r *http.Request) []byte) (written func() []byte) {
	t.Helper()
	client, server := wstest.Pipe()
	require.NoError(t, server.SetDeadline(time.Now().Add(10*time.Second)))
	read := make(chan []byte, 1)
	go func() {
		defer func() { _ = server.Close() }()
		r := bufio.NewReader(server)
		request, err := http.ReadRequest(r)
		if !assert.NoError(t, err) {
			close(read)
			return
		}
		_, _ = server.Write(answer(request))                      // as far as the client takes it
		_ = server.(interface{ CloseWrite() error }).CloseWrite() //nolint:errcheck // wstest's can
		frames, err := io.ReadAll(r)
		assert.NoError(t, err, "the client hangs up")
		read <- frames
	}()
	options.DialContext = func(context.Context, string, string) (net.Conn, error) { return crumbs{client, max(size, 1)}, nil }
	return func() []byte { return <-read }
}

// For any response of a server, Dial returns one of the three documented results, in time,
// and leaves no socket open.
func FuzzDialAnswer(f *testing.F) {
	const agreed = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: KEY\r\n"
	for _, answer := range []string{
		agreed + "\r\n",
		agreed + "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n\x81\x01x",
		agreed + "Sec-WebSocket-Protocol: chat\r\n\r\n",
		agreed + "Sec-WebSocket-Protocol: mqtt\r\n\r\n",
		agreed + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		agreed + "Content-Length: 10\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n" + agreed + "\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + agreed + "Trailer: x\r\n\r\n",
		strings.Replace(agreed, "Connection: Upgrade", "Connection: close, , Upgrade", 1) + "\r\n\x81\x01x",
		strings.Replace(agreed, "Upgrade: websocket", "Upgrade: ,websocket", 1) + "Content-Length: x\r\nTransfer-Encoding: gzip\r\n\r\n",
		strings.Replace(agreed, "Upgrade: websocket", "Upgrade: TLS/1.0, websocket", 1) + "\r\n",
		agreed + "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; server_max_window_bits=\"1\\5\"\r\n\r\n",
		agreed + "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_max_window_bits=9\r\n\r\n",
		agreed + "Sec-WebSocket-Extensions: permessage-deflate;\r\n\r\n",
		"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 3\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
		"HTTP/1.0 101 X\r\n\r\n",
		"\x16\x03\x01",
		"",
	} {
		f.Add([]byte(answer), byte(255))
		f.Add([]byte(answer), byte(0))
	}
	f.Fuzz(func(t *testing.T, answer []byte, size byte) {
		options := &websocket.DialOptions{EnableCompression: true, Subprotocols: []string{"chat"}}
		written := answerBy(t, options, int(size)*16, func(r *http.Request) []byte {
			_, accept, _ := strings.Cut(testws.Switching(r), "Sec-WebSocket-Accept: ")
			return bytes.ReplaceAll(answer, []byte("KEY"), []byte(strings.TrimSpace(accept)))
		})
		conn, response, err := websocket.Dial(t.Context(), "ws://example.test/", options)
		if err == nil {
			assert.Equal(t, http.StatusSwitchingProtocols, response.StatusCode)
			assert.Contains(t, []string{"", "chat"}, conn.Subprotocol())
			_ = conn.CloseNow()
		} else {
			assert.Nil(t, conn)
			assert.Equal(t, errors.Is(err, websocket.ErrBadHandshake), response != nil, "%v", err)
			assert.NotErrorIs(t, err, context.DeadlineExceeded)
		}
		written()
	})
}

// messagesOf returns the messages in uncompressed frames of a client or a server: the type
// and payload of each message before the first protocol violation.
func messagesOf(frames []byte, client bool) (messages []string) {
	const most = 1 << 20 // bytes of a message, by default
	var opcode byte      // of the message that is under way
	var message []byte
	for r := bytes.NewReader(frames); ; {
		f, err := wstest.ReadFrame(r)
		if err != nil || f.RSV != 0 || f.Masked != client {
			return messages
		}
		switch {
		case f.Opcode == wstest.OpPing || f.Opcode == wstest.OpPong:
			if !f.Fin || len(f.Payload) > 125 {
				return messages
			}
			continue
		case f.Opcode > wstest.OpBinary, (f.Opcode == wstest.OpContinuation) != (opcode != 0):
			return messages
		case f.Opcode != wstest.OpContinuation:
			opcode, message = f.Opcode, nil
		}
		message = append(message, f.Payload...)
		if len(message) > most || f.Fin && opcode == wstest.OpText && !utf8.Valid(message) {
			return messages
		}
		if f.Fin {
			messages = append(messages, string(rune(opcode))+string(message))
			opcode = 0
		}
	}
}

// For any frames of a server, in pieces of any size, the client reads the valid messages
// and no others. It answers with masked frames, and at most the last is a close frame.
func FuzzServerFrames(f *testing.F) {
	for _, frames := range []string{
		"\x81\x01x\x88\x02\x03\xe8", "\x01\x01a\x89\x01p\x80\x01b", "\x82\x7e\x00\x01x", "\xc1\x03\xca\x00\x00",
		"\x81\x81aaaax", "\x88\x00", "\x8a\x00\x82\x00\x01\x02\xc3\x28", "\x01\x02\xc3\xa9\x80\x00", "\x89\x7f",
	} {
		f.Add([]byte(frames), byte(1), false)
		f.Add([]byte(frames), byte(255), false) // some come with the 101
		f.Add([]byte(frames), byte(200), true)
	}
	f.Fuzz(func(t *testing.T, frames []byte, size byte, compress bool) {
		options := &websocket.DialOptions{EnableCompression: compress}
		written := answerBy(t, options, int(size), func(r *http.Request) []byte {
			var more []string
			if compress {
				more = append(more, "Sec-WebSocket-Extensions: "+agreedOn)
			}
			return append([]byte(testws.Switching(r, more...)), frames...)
		})
		conn, _, err := websocket.Dial(t.Context(), "ws://example.test/", options)
		require.NoError(t, err)
		var messages []string
		for {
			messageType, message, err := conn.ReadMessage()
			if err != nil {
				break
			}
			messages = append(messages, string(rune(messageType))+string(message))
		}
		_ = conn.Close(1000, "")
		if !compress {
			assert.Equal(t, messagesOf(frames, false), messages)
		}
		closed := false
		for r := bytes.NewReader(written()); r.Len() > 0; {
			frame, err := wstest.ReadFrame(r)
			require.NoError(t, err, "half a frame")
			require.True(t, frame.Masked)
			require.False(t, closed, "a frame after the close frame")
			closed = frame.Opcode == wstest.OpClose
		}
	})
}
