package transport

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The close frame is found at its last byte, whatever comes before it and however the stream is
// cut.
func TestCloseSeekerFindsTheCloseFrame(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		skip := random.IntN(20)
		stream := make([]byte, skip) // the rest of a payload, which looks like a close frame
		for i := range stream {
			stream[i] = wire.BitFin | wire.OpClose
		}
		for range random.IntN(5) {
			opcode := []byte{wire.OpText, wire.OpContinuation, wire.OpPing, 0x0b}[random.IntN(4)]
			payload := bytes.Repeat([]byte{wire.BitFin | wire.OpClose}, []int{0, 1, 125, 126, 70_000}[random.IntN(5)])
			if random.IntN(2) == 0 {
				stream = append(stream, wire.MaskedFrame(opcode, payload)...)
			} else {
				stream = append(wire.AppendHeader(stream, opcode, len(payload)), payload...)
			}
		}
		stream = append(stream, wire.MaskedFrame(wire.OpClose, make([]byte, random.IntN(10)))...)

		s := closeSeeker{skip: uint64(skip)} //nolint:gosec // it is not negative
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(1+random.IntN(200)))
			require.Equal(t, n == len(rest), s.look(rest[:n]))
			rest = rest[n:]
		}
	}
}

// After a violation the peer gets a close frame, and the connection is closed in order, not reset.
func TestViolationIsAnswered(t *testing.T) {
	for name, tc := range map[string]struct {
		frame []byte
		limit int64
		want  int
	}{
		"protocol": {frame: wire.MaskedFrame(0x0b, nil), want: ws.CloseProtocolError},
		"UTF-8":    {frame: wire.MaskedFrame(wire.OpText, []byte("\xff")), want: ws.CloseInvalidFramePayloadData},
		"size":     {frame: wire.MaskedFrame(wire.OpBinary, make([]byte, 11)), limit: 10, want: ws.CloseMessageTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			client, tr := tcpPair(t)
			tr.SetReadLimit(tc.limit)
			_, err := client.Write(tc.frame)
			require.NoError(t, err)
			read := make(chan error, 1)
			go func() {
				_, _, err := tr.ReadMessage(t.Context(), false)
				read <- err
			}()
			payload := readFrame(t, client)
			ce, violation := wire.ParseClose(payload)
			require.Nil(t, violation)
			assert.Equal(t, tc.want, ce.Code)
			_, err = client.Write(wire.MaskedFrame(wire.OpClose, payload))
			require.NoError(t, err)
			_, err = client.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF, "this end closes its half, and does not reset")
			assert.False(t, tr.isClosed(), "it waits for the peer to close the other half")
			_ = client.Close()

			err = <-read
			var failed *wire.ProtocolError
			require.ErrorAs(t, err, &failed)
			how, cause := tr.CloseCause()
			assert.Equal(t, CauseProtocol, how)
			assert.Equal(t, err, cause)
			_, _, again := tr.ReadMessage(t.Context(), false)
			assert.Equal(t, err, again)
			counts := tr.Counts()
			assert.Equal(t, tc.want, counts.CloseSent)
			assert.Zero(t, counts.CloseReceived, "it is not an orderly end")
		})
	}
}

// The peer has the time to read the close frame that lingerTime and the close timeout allow. Its own
// close frame, or its end, ends that time.
func TestHowLongAViolationLingers(t *testing.T) {
	for name, tc := range map[string]struct {
		timeout time.Duration
		answer  func(client net.Conn)
		want    time.Duration
	}{
		"no answer":       {timeout: time.Minute, answer: func(net.Conn) {}, want: lingerTime},
		"a short timeout": {timeout: lingerTime / 4, answer: func(net.Conn) {}, want: lingerTime / 4},
		"no timeout":      {answer: func(net.Conn) {}},
		"a close frame": {timeout: time.Minute, answer: func(client net.Conn) {
			time.Sleep(lingerTime / 8)
			_, _ = client.Write(wire.MaskedFrame(wire.OpText, []byte("more")))
			_, _ = client.Write(wire.MaskedFrame(wire.OpClose, nil))
		}, want: lingerTime / 8},
		"the end": {timeout: time.Minute, answer: func(client net.Conn) {
			time.Sleep(lingerTime / 8)
			_ = client.Close()
		}, want: lingerTime / 8},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer func() { _ = client.Close() }()
				tr := New(server, nil, newConfig(func(c *Config) { c.CloseTimeout = tc.timeout }))
				tr.Open()
				start := time.Now()
				read := make(chan error, 1)
				go func() {
					_, _, err := tr.ReadMessage(context.Background(), false)
					read <- err
				}()
				_, err := client.Write(wire.MaskedFrame(0x0b, nil))
				require.NoError(t, err)
				frame := make([]byte, 125)
				n, err := client.Read(frame)
				require.NoError(t, err)
				require.Equal(t, byte(wire.OpClose), wire.ParseHeader(frame[:n]).Opcode)
				tc.answer(client)
				require.ErrorContains(t, <-read, "reserved opcode")
				assert.Equal(t, tc.want, time.Since(start))
				assert.True(t, tr.isClosed())
				tr.StopBackground()
			})
		})
	}
}
