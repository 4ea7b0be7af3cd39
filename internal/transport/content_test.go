package transport

import (
	"math"
	"testing"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestContentIsLimited(t *testing.T) {
	var c content
	require.NoError(t, c.take(make([]byte, 6), 10))
	require.NoError(t, c.take(make([]byte, 4), 10))
	require.NoError(t, c.take(nil, 10))
	assert.Equal(t, error(wire.ErrTooBig), c.take(make([]byte, 1), 10))
	for _, none := range []int64{0, -1} {
		require.NoError(t, c.take(make([]byte, 1), none))
	}
}

// Text may be cut within a rune, but not end there.
func TestContentOfTextIsUTF8(t *testing.T) {
	text := "a é 水 😀"
	for cut := range text {
		c := content{text: true}
		for i := range len(text) {
			require.NoError(t, c.take([]byte{text[i]}, 0))
		}
		require.NoError(t, c.end())
		c = content{text: true}
		require.NoError(t, c.take([]byte(text[:cut]), 0))
		require.NoError(t, c.end())
	}
	for _, bad := range []string{"\xff", "\xc3(", "\xed\xa0\x80"} {
		c := content{text: true}
		assert.Equal(t, error(wire.ErrInvalidText), c.take([]byte(bad), 0), "%q", bad)
		require.NoError(t, (&content{}).take([]byte(bad), 0), "binary")
	}
	c := content{text: true}
	require.NoError(t, c.take([]byte("水")[:2], 0))
	assert.Equal(t, error(wire.ErrInvalidText), c.end())
}

// The frames of a message are counted together, by their headers. A compressed message may be an
// eighth and 1 KiB longer.
func TestMessagesAreMeasured(t *testing.T) {
	for _, tc := range []struct {
		name     string
		limit    int64
		deflated bool
		frames   []uint64
		tooBig   bool // the last one
	}{
		{name: "at the limit", limit: 100, frames: []uint64{60, 0, 40}},
		{name: "past it", limit: 100, frames: []uint64{60, 41}, tooBig: true},
		{name: "no limit", frames: []uint64{1 << 40, 1 << 40}},
		{name: "negative", limit: -1, frames: []uint64{1 << 40}},
		{name: "more than there are numbers for", frames: []uint64{math.MaxInt64, 1}, tooBig: true},
		{name: "compressed, at the limit", limit: 800, deflated: true, frames: []uint64{900, 1024}},
		{name: "compressed, past it", limit: 800, deflated: true, frames: []uint64{900, 1025}, tooBig: true},
		{name: "compressed, with the largest limit", limit: math.MaxInt64, deflated: true, frames: []uint64{math.MaxInt64}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			client, tr := tcpPair(t, func(c *Config) { c.CloseTimeout = 0 })
			defer func() { _ = client.Close() }()
			tr.SetReadLimit(tc.limit)
			tr.deflated = tc.deflated
			for i, length := range tc.frames {
				err := tr.measure(length)
				if tc.tooBig && i == len(tc.frames)-1 {
					assert.ErrorIs(t, err, ws.ErrReadLimit)
				} else {
					assert.NoError(t, err)
				}
			}
		})
	}
}
