package deflate

import (
	"bytes"
	"compress/flate"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// compressedPart returns deflated text that ends in a flush or in a final block.
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

// A sender may use BFINAL within a message and at its end (RFC 7692, 7.2.3.4).
func TestLastBlocks(t *testing.T) {
	const level = flate.BestCompression
	final, flushed := compressedPart(t, "hello", level, true), compressedPart(t, "hello", level, false)
	huffman := strings.TrimSuffix(final, "\x01\x00\x00\xff\xff")
	random := string(sevenBits(3*windowSize + 1000))
	var farCopy bytes.Buffer
	w, err := flate.NewWriterDict(&farCopy, level, []byte(random[len(random)-windowSize:]))
	require.NoError(t, err)
	_, _ = w.Write([]byte(random[len(random)-windowSize:])) // to memory
	_ = w.Close()
	cases := []struct {
		name    string
		payload string
		want    string
		corrupt bool
	}{
		{name: "nothing but a flush", payload: strings.TrimSuffix(flushed, Tail), want: "hello"},
		{name: "an example of the RFC", payload: "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", want: "Hello"},
		{name: "an example of the RFC, the byte behind left out", payload: "\xf3\x48\xcd\xc9\xc9\x07\x00", want: "Hello"},
		{name: "an empty stored one at the end, whose tail is taken off", payload: strings.TrimSuffix(final, Tail), want: "hello"},
		{name: "nothing but that", payload: "\x01", want: ""},
		{name: "an empty stored one at the end, as it is", payload: final, want: "hello"},
		{name: "one in the middle", payload: final + strings.TrimSuffix(flushed, Tail), want: "hellohello"},
		{name: "many", payload: strings.Repeat(final, 50) + "\x00", want: strings.Repeat("hello", 50)},
		{name: "a copy of what is before one", payload: final + "\x03\x00" + final + "\x00", want: "hellohello"},
		{name: "no end", payload: huffman[:len(huffman)-2], corrupt: true},
		{name: "a last one that ends within the tail", payload: "\x01\x01\x00\xfe\xff", corrupt: true},
		{name: "a last one longer than the tail", payload: "\x01\x09\x00\xf6\xff", corrupt: true},
		{name: "copies from the far end of the window", payload: compressedPart(t, random, level, true) + farCopy.String() + "\x00", want: random + random[len(random)-windowSize:]},
		{name: "garbage behind one", payload: final + "\x07garbage", corrupt: true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			p, err := inflateAll(NewBytesReader([]byte(tc.payload), nil), 1<<20)
			streamed, streamErr := inflateAll(NewReader(source{iotest.OneByteReader(strings.NewReader(tc.payload))}, false, nil), 1<<20)
			if tc.corrupt {
				require.ErrorIs(t, err, wire.ErrCorrupt)
				require.ErrorIs(t, streamErr, wire.ErrCorrupt)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tc.want, string(p))
			require.NoError(t, streamErr)
			assert.Equal(t, tc.want, string(streamed))
		})
	}
}

// A message of many empty final blocks is refused before all are read.
func TestAttackByLastBlocks(t *testing.T) {
	for name, block := range map[string]string{
		"stored": "\x01\x00\x00\xff\xff",
		"coded":  "\x03\x00",
	} {
		t.Run(name, func(t *testing.T) {
			text := compressedPart(t, strings.Repeat("x", windowSize), flate.BestCompression, true)
			payload := text + strings.Repeat(block, (64<<10-len(text))/len(block)) + "\x00"
			arriving := strings.NewReader(payload)
			for _, z := range []*Reader{NewBytesReader([]byte(payload), nil), NewReader(source{arriving}, false, nil)} {
				var err error
				for err == nil {
					_, err = z.Next()
				}
				require.ErrorIs(t, err, wire.ErrCorrupt)
				left := len(z.src)
				if z.source != nil {
					left += arriving.Len()
				}
				assert.Greater(t, left, len(payload)*9/10)
				z.Close()
			}
		})
	}
}
