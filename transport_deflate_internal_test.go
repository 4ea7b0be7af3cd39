package websocket

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func inflating(t *testing.T) *transport {
	t.Helper()
	client, server := pipe(t)
	go func() { _, _ = io.Copy(io.Discard, client) }()
	return newTransport(server, nil, newConfig(func(c *config) { c.CloseTimeout = 0 }))
}

// compressedPart is deflated text, ended by a flush or for good.
func compressedPart(t *testing.T, text string, level int, final bool) string {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	require.NoError(t, err)
	_, _ = w.Write([]byte(text)) // to memory
	if final {
		_ = w.Close()
	} else {
		_ = w.Flush()
	}
	return b.String()
}

func randomText(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(random.Uint32() % 128)
	}
	return p
}

// A sender may end blocks for good within a message and at its end (RFC 7692,
// 7.2.3.4).
func TestLastBlocks(t *testing.T) {
	const level = flate.BestCompression
	final, flushed := compressedPart(t, "hello", level, true), compressedPart(t, "hello", level, false)
	huffman := strings.TrimSuffix(final, "\x01\x00\x00\xff\xff")
	random := string(randomText(3*deflate.WindowSize + 1000))
	var farCopy bytes.Buffer
	w, err := flate.NewWriterDict(&farCopy, level, []byte(random[len(random)-deflate.WindowSize:]))
	require.NoError(t, err)
	_, _ = w.Write([]byte(random[len(random)-deflate.WindowSize:])) // to memory
	_ = w.Close()
	cases := []struct {
		name    string
		payload string
		want    string
		corrupt bool
	}{
		{name: "nothing but a flush", payload: strings.TrimSuffix(flushed, deflate.Tail), want: "hello"},
		{name: "an example of the RFC", payload: "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", want: "Hello"},
		{name: "an example of the RFC, the byte behind left out", payload: "\xf3\x48\xcd\xc9\xc9\x07\x00", want: "Hello"},
		{name: "an empty stored one at the end, whose tail is taken off", payload: strings.TrimSuffix(final, deflate.Tail), want: "hello"},
		{name: "nothing but that", payload: "\x01", want: ""},
		{name: "an empty stored one at the end, as it is", payload: final, want: "hello"},
		{name: "one in the middle", payload: final + strings.TrimSuffix(flushed, deflate.Tail), want: "hellohello"},
		{name: "many", payload: strings.Repeat(final, 50) + "\x00", want: strings.Repeat("hello", 50)},
		{name: "a copy of what is before one", payload: final + "\x03\x00" + final + "\x00", want: "hellohello"},
		{name: "no end", payload: huffman[:len(huffman)-2], corrupt: true},
		{name: "a last one that ends within the tail", payload: "\x01\x01\x00\xfe\xff", corrupt: true},
		{name: "a last one longer than the tail", payload: "\x01\x09\x00\xf6\xff", corrupt: true},
		{name: "copies from the far end of the window", payload: compressedPart(t, random, level, true) + farCopy.String() + "\x00", want: random + random[len(random)-deflate.WindowSize:]},
		{name: "garbage behind one", payload: final + "\x07garbage", corrupt: true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			p, err := inflating(t).inflate([]byte(tc.payload+deflate.Tail), false, false)
			streamed, streamErr := io.ReadAll(deflate.NewReader(iotest.OneByteReader(strings.NewReader(tc.payload)), func() bool { return false }))
			if tc.corrupt {
				require.ErrorIs(t, err, wire.ErrCorrupt)
				require.True(t, corrupt(streamErr), "%v", streamErr)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, string(p))
			require.NoError(t, streamErr)
			assert.Equal(t, tc.want, string(streamed))
		})
	}
}

// Last blocks that hold nothing are not gone through one by one.
func TestAttackByLastBlocks(t *testing.T) {
	for name, block := range map[string]string{
		"stored": "\x01\x00\x00\xff\xff",
		"coded":  "\x03\x00",
	} {
		t.Run(name, func(t *testing.T) {
			text := compressedPart(t, strings.Repeat("x", deflate.WindowSize), flate.BestCompression, true)
			payload := text + strings.Repeat(block, (maxInflated-len(text))/len(block)) + "\x00"
			tr := inflating(t)
			start := time.Now()
			_, err := tr.inflate([]byte(payload+deflate.Tail), true, false)
			require.ErrorIs(t, err, wire.ErrCorrupt)
			assert.Less(t, time.Since(start), 100*time.Millisecond)
			start = time.Now()
			_, err = io.Copy(io.Discard, deflate.NewReader(strings.NewReader(payload), func() bool { return true }))
			require.ErrorIs(t, err, wire.ErrCorrupt)
			assert.Less(t, time.Since(start), 100*time.Millisecond)
		})
	}
}

// Each level is understood by the standard library.
func TestDeflatedMessages(t *testing.T) {
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		for _, size := range []int{0, 1, 100, 4096, 70_000} {
			message := strings.Repeat("the quick brown fox ", size/20+1)[:size]
			client, server := pipe(t)
			tr := newTransport(server, nil, newConfig())
			tr.open = true
			written := make(chan error, 1)
			go func() {
				b := tr.ownBound()
				err := tr.writeDeflated(&b, wire.OpText, []byte(message), level)
				_ = server.Close()
				written <- err
			}()
			frame, err := io.ReadAll(client)
			require.NoError(t, err)
			require.NoError(t, <-written)
			h := wire.ParseHeader(frame)
			require.Equal(t, byte(wire.BitRSV1), h.RSV)
			payload := frame[h.Size:]
			require.Len(t, payload, int(h.Length))
			got, err := io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader(deflate.Tail+"\x01\x00\x00\xff\xff"))))
			require.NoError(t, err, "level %d, %d bytes", level, size)
			require.Equal(t, message, string(got))
		}
	}
}

func pipe(t *testing.T) (client, server net.Conn) {
	t.Helper()
	client, server = net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	t.Cleanup(func() { _ = server.Close() })
	return client, server
}
