package wstest_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goyave-contrib/websocket/wstest"
)

func TestFrameBytes(t *testing.T) {
	cases := []struct {
		name  string
		frame wstest.Frame
		want  string // hex
	}{
		// The examples of RFC 6455, 5.7.
		{"unmasked text", wstest.Text("Hello").Unmasked(), "810548656c6c6f"},
		{"masked text", wstest.Text("Hello"), "818537fa213d7f9f4d5158"},
		{"first fragment", wstest.Frame{Opcode: wstest.OpText, Payload: []byte("Hel")}, "010348656c"},
		{"last fragment", wstest.Frame{Fin: true, Payload: []byte("lo")}, "80026c6f"},
		{"unmasked ping", wstest.Ping("Hello").Unmasked(), "890548656c6c6f"},
		{"masked pong", wstest.Pong("Hello"), "8a8537fa213d7f9f4d5158"},
		// Ours.
		{"zero value", wstest.Frame{}, "0000"},
		{"empty text", wstest.Text(""), "818037fa213d"},
		{"close without a code", wstest.Close(0, "dropped"), "888037fa213d"},
		{"close 1005", wstest.Close(1005, "dropped"), "888037fa213d"},
		{"close with code and reason", wstest.Close(1000, "bye").Unmasked(), "880503e8627965"},
		{"reserved bits and opcode", wstest.Frame{Fin: true, RSV: 4 | 1, Opcode: 0xb}, "db00"},
		{"bits that do not fit", wstest.Frame{RSV: 0xf8, Opcode: 0xf1}, "0100"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.want, hex.EncodeToString(tc.frame.Bytes()))
			assert.Equal(t, "ff"+tc.want, hex.EncodeToString(tc.frame.AppendTo([]byte{0xff})))
		})
	}
}

func TestFrameRoundTrip(t *testing.T) {
	headers := map[int]int{0: 2, 1: 2, 125: 2, 126: 4, 65535: 4, 65536: 10}
	for length, header := range headers {
		for _, masked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bytes, masked %t", length, masked), func(t *testing.T) {
				payload := bytes.Repeat([]byte("abcdefg"), length/7+1)[:length]
				frame := wstest.Binary(payload)
				frame.Masked = masked
				frame.RSV = 4
				raw := frame.Bytes()
				if masked {
					require.Len(t, raw, header+4+length)
				} else {
					require.Len(t, raw, header+length)
				}
				require.Equal(t, payload, append([]byte{}, frame.Payload...), "Bytes masks a copy")

				r := bytes.NewReader(append(raw, "next"...))
				got, err := wstest.ReadFrame(iotest.HalfReader(r))
				require.NoError(t, err)
				require.Equal(t, frame, got)
				require.Equal(t, 4, r.Len(), "not one byte more")
			})
		}
	}
}

func TestReadFrameEnds(t *testing.T) {
	for _, frame := range []wstest.Frame{
		wstest.Text("hello"),
		wstest.Text(strings.Repeat("x", 200)),
		wstest.Binary(make([]byte, 65536)).Unmasked(),
	} {
		raw := frame.Bytes()
		for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 9, 10, len(raw) - 1} {
			got, err := wstest.ReadFrame(bytes.NewReader(raw[:n]))
			require.Equal(t, io.ErrUnexpectedEOF, err, "after %d bytes of %s", n, frame)
			require.Zero(t, got)
		}
	}
	_, err := wstest.ReadFrame(bytes.NewReader(nil))
	require.Equal(t, io.EOF, err)

	errCable := errors.New("cable pulled")
	_, err = wstest.ReadFrame(io.MultiReader(strings.NewReader("\x81\x05he"), iotest.ErrReader(errCable)))
	require.Equal(t, errCable, err)
}

func TestReadFrameRefusesTooMuch(t *testing.T) {
	for _, length := range []uint64{64<<20 + 1, 1 << 40, 1 << 63, 1<<64 - 1} {
		raw := wstest.Text("").AppendHeader(nil, length)
		r := bytes.NewReader(append(raw, "payload"...))
		_, err := wstest.ReadFrame(r)
		require.ErrorIs(t, err, wstest.ErrFrameTooLarge)
		require.Equal(t, 7, r.Len())
	}
	_, err := wstest.ReadFrame(bytes.NewReader(wstest.Text("").AppendHeader(nil, 64<<20)))
	require.Equal(t, io.ErrUnexpectedEOF, err)
}

func TestFrameClose(t *testing.T) {
	cases := []struct {
		name   string
		frame  wstest.Frame
		code   int
		reason string
	}{
		{"code and reason", wstest.Close(1001, "moving"), 1001, "moving"},
		{"code alone", wstest.Close(4000, ""), 4000, ""},
		{"highest code", wstest.Close(65535, ""), 65535, ""},
		{"empty", wstest.Close(0, ""), 1005, ""},
		{"half a code", wstest.Frame{Fin: true, Opcode: wstest.OpClose, Payload: []byte{3}}, -1, ""},
		{"not a close frame", wstest.Text("\x03\xe8bye"), -1, ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			assert.Equal(t, tc.code, tc.frame.CloseCode())
			assert.Equal(t, tc.reason, tc.frame.CloseReason())
		})
	}
}

func TestBinaryKeepsACopy(t *testing.T) {
	p := []byte("before")
	frame := wstest.Binary(p)
	copy(p, "after!")
	require.Equal(t, "before", string(frame.Payload))
}

func TestFrameString(t *testing.T) {
	cases := []struct {
		frame wstest.Frame
		want  string
	}{
		{wstest.Text("hello"), `text fin "hello"`},
		{wstest.Frame{Opcode: wstest.OpText, Payload: []byte("hel")}, `text "hel"`},
		{wstest.Frame{Fin: true, Payload: []byte("lo")}, `continuation fin "lo"`},
		{wstest.Binary([]byte{0, 255}), `binary fin "\x00\xff"`},
		{wstest.Binary(bytes.Repeat([]byte("a"), 70)), `binary fin "` + strings.Repeat("a", 64) + `"... (70 bytes)`},
		{wstest.Close(1000, "bye"), `close 1000 "bye"`},
		{wstest.Close(0, ""), `close 1005 ""`},
		{wstest.Frame{Fin: true, Opcode: wstest.OpClose, Payload: []byte{3}}, `close "\x03"`},
		{wstest.Ping(""), `ping ""`},
		{wstest.Frame{Opcode: wstest.OpPong, RSV: 4}, `pong nofin rsv 100 ""`},
		{wstest.Frame{Fin: true, Opcode: 0xb}, `opcode 0xb ""`},
	}
	for _, tc := range cases {
		assert.Equal(t, tc.want, tc.frame.String())
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add(wstest.Text("hello").Bytes())
	f.Add(wstest.Close(1000, "bye").Unmasked().Bytes())
	f.Add(wstest.Binary(make([]byte, 300)).Bytes())
	f.Add(wstest.Ping("").AppendHeader(nil, 1<<63))
	f.Fuzz(func(t *testing.T, raw []byte) {
		frame, err := wstest.ReadFrame(bytes.NewReader(raw))
		if err != nil {
			require.Zero(t, frame)
			return
		}
		_ = frame.String()
		_ = frame.CloseReason()
		again, err := wstest.ReadFrame(bytes.NewReader(frame.Bytes()))
		require.NoError(t, err)
		require.Equal(t, frame, again)
	})
}
