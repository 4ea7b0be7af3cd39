package testws

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/require"
)

// Part returns a masked frame of a fragmented text message.
func Part(opcode byte, fin bool, payload string) wstest.Frame {
	return wstest.Frame{Fin: fin, Opcode: opcode, Masked: true, Payload: []byte(payload)}
}

// Deflated returns a compressed text message in one frame (RFC 7692, 7.2.1).
func Deflated(message string) wstest.Frame {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write([]byte(message)) // to memory
	_ = w.Flush()
	payload := bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
	return wstest.Frame{Fin: true, RSV: 4, Opcode: wstest.OpText, Masked: true, Payload: payload}
}

// Inflated returns the message in a compressed payload (RFC 7692, 7.2.2).
func Inflated(t *testing.T, payload []byte) string {
	t.Helper()
	tail := strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")
	message, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload), tail)))
	require.NoError(t, err)
	return string(message)
}

// ReceiveMessage reads a message in any number of frames. It reports whether the message is
// compressed.
func ReceiveMessage(t *testing.T, client *wstest.Raw) (message string, compressed bool) {
	t.Helper()
	var payload []byte
	for first := true; ; first = false {
		frame, err := client.Receive()
		require.NoError(t, err)
		if first {
			compressed = frame.RSV == 4
		} else {
			require.Zero(t, frame.RSV, "only the first frame has the bit")
			require.Zero(t, frame.Opcode)
		}
		payload = append(payload, frame.Payload...)
		switch {
		case !frame.Fin:
		case compressed:
			return Inflated(t, payload), true
		default:
			return string(payload), false
		}
	}
}

// Encode is EncodeMessage for a text message.
func Encode(t *testing.T, text string) *websocket.EncodedMessage {
	t.Helper()
	m, err := websocket.EncodeMessage(websocket.TextMessage, []byte(text))
	require.NoError(t, err)
	return m
}

// EncodeSize is EncodeMessage for a binary message of the given size.
func EncodeSize(t *testing.T, size int) *websocket.EncodedMessage {
	t.Helper()
	m, err := websocket.EncodeMessage(websocket.BinaryMessage, make([]byte, size))
	require.NoError(t, err)
	return m
}

// Repeat returns the message n times.
func Repeat(n int, m *websocket.EncodedMessage) (messages []*websocket.EncodedMessage) {
	for range n {
		messages = append(messages, m)
	}
	return messages
}

// Unlimited is a limit that no queue reaches.
var Unlimited = websocket.QueueLimit{Messages: -1, Bytes: -1}

// KeepAlivePing returns the n-th ping of a keep-alive.
func KeepAlivePing(n uint64) wstest.Frame {
	return wstest.Ping(string(binary.BigEndian.AppendUint64(nil, n)))
}

// KeepAlivePong returns the pong to KeepAlivePing.
func KeepAlivePong(n uint64) wstest.Frame {
	return wstest.Pong(string(binary.BigEndian.AppendUint64(nil, n)))
}
