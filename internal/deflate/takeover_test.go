package deflate_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// chat returns a text of about n bytes, alike to others.
func chat(random *rand.Rand, n int) []byte {
	words := []string{"hello", "world", "the", "meeting", "is", "at", "noon", "server", "deploy", "status", "green", "κόσμε"}
	b := fmt.Appendf(nil, `{"type":"message","id":%d,"user":{"name":"user%d"},"text":"`, random.Uint64(), random.IntN(50))
	for len(b) < n {
		b = append(append(b, words[random.IntN(len(words))]...), ' ')
	}
	return append(b, `"}`...)
}

// anything returns a message of any size and kind.
func anything(random *rand.Rand, most int) []byte {
	n := random.IntN(1 + random.IntN(1+random.IntN(most)))
	p := make([]byte, n)
	switch random.IntN(5) {
	case 0: // can't be compressed
		for i := range p {
			p[i] = byte(random.Uint32())
		}
	case 1: // is one copy
	case 2: // has few symbols
		for i := range p {
			p[i] = byte(random.IntN(1 + random.IntN(8)))
		}
	case 3: // has copies of any distance
		for i := range p {
			if i > 0 && random.IntN(10) > 0 {
				p[i] = p[random.IntN(i)]
			} else {
				p[i] = byte(random.Uint32())
			}
		}
	default:
		return chat(random, n)
	}
	return p
}

// source is a deflate.Source that has no more until it is read.
type source struct{ io.Reader }

func (source) HasMore() bool { return false }

// inflateAll returns all output of a Reader, and closes it.
func inflateAll(z *deflate.Reader) (message []byte, err error) {
	defer z.Close()
	for {
		p, err := z.Next()
		message = append(message, p...)
		switch {
		case err == io.EOF: //nolint:errorlint // as it comes
			return message, nil
		case err != nil:
			return message, err
		}
	}
}

// A peer inflates what was sent, by three decoders.
type peer struct {
	strict testws.Inflater
	window *deflate.ReceiveWindow
	past   []byte // for package flate
	random *rand.Rand
}

func newPeer(bits int, random *rand.Rand) *peer {
	return &peer{strict: testws.Inflater{Window: 1 << bits, Takeover: true}, window: deflate.NewReceiveWindow(bits), random: random}
}

func (p *peer) receive(t *testing.T, payload, want []byte) {
	t.Helper()
	got, err := p.strict.Inflate(payload)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))

	p.past = p.past[max(0, len(p.past)-p.strict.Window):]
	got, err = io.ReadAll(flate.NewReaderDict(bytes.NewReader(append(slices.Clip(payload), deflate.Tail+"\x01\x00\x00\xff\xff"...)), p.past))
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
	p.past = append(p.past, want...)

	var z *deflate.Reader
	switch p.random.IntN(4) {
	case 0:
		z = deflate.NewReader(source{iotest.HalfReader(bytes.NewReader(payload))}, false, p.window)
	case 1:
		z = deflate.NewReader(source{iotest.OneByteReader(bytes.NewReader(payload))}, true, p.window)
	default:
		z = deflate.NewBytesReader(payload, p.window)
	}
	got, err = inflateAll(z)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
}

var errNotSent = errors.New("not sent")

// sendSome sends messages in all ways, at all levels, to a peer with the same window.
func sendSome(t *testing.T, bits int, random *rand.Rand, messages, most int) {
	t.Helper()
	w, p := deflate.NewSendWindow(bits), newPeer(bits, random)
	defer w.Release()
	for range messages {
		message, level := anything(random, most), 1
		if random.IntN(4) == 0 {
			level = random.IntN(11) - 2
		}
		var payload []byte
		keep := func(b []byte) error { payload = bytes.Clone(b); return nil }
		switch random.IntN(8) {
		case 0: // to many
			require.NoError(t, deflate.CompressAlone(message, level, bits, keep))
			w.Enter(message)
		case 1: // in parts
			var out bytes.Buffer
			z, err := deflate.NewWriter(&out, level, bits, w)
			require.NoError(t, err)
			for rest := message; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(1+most/3))
				_, err := z.Write(rest[:n])
				require.NoError(t, err)
				rest = rest[n:]
			}
			require.NoError(t, z.Flush())
			if random.IntN(3) > 0 {
				z.Enter(w)
				payload = bytes.TrimSuffix(out.Bytes(), []byte(deflate.Tail))
			}
			z.Release()
		case 2: // in vain
			assert.ErrorIs(t, w.Compress(message, level, func([]byte) error { return errNotSent }), errNotSent)
		default:
			require.NoError(t, w.Compress(message, level, keep))
		}
		if payload != nil {
			p.receive(t, payload, message)
		}
		assert.LessOrEqual(t, w.MemorySize(), max(512, min(1<<bits*19/16, 1<<bits+5376)))
		assert.LessOrEqual(t, p.window.MemorySize(), max(512, 1<<bits))
	}
}

func TestWindows(t *testing.T) {
	for bits := deflate.MinWindowBits; bits <= deflate.MaxWindowBits; bits++ {
		t.Run(fmt.Sprint(bits, " bits"), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(uint64(bits), 1)) //nolint:gosec // not negative
			for range 2 {
				sendSome(t, bits, random, 50, 3000)
			}
			sendSome(t, bits, random, 5, 100_000)
		})
	}
}

// Most messages of some connections are sent to many.
func TestWindowsOfBroadcasts(t *testing.T) {
	for bits := deflate.MinWindowBits; bits <= deflate.MaxWindowBits; bits++ {
		for _, most := range []int{100, 1500, 40_000} { // bytes of a message
			random := rand.New(rand.NewPCG(uint64(bits), uint64(most))) //nolint:gosec // not negative
			w, p := deflate.NewSendWindow(bits), newPeer(bits, random)
			var payload []byte
			keep := func(b []byte) error { payload = bytes.Clone(b); return nil }
			for range 3 {
				for range random.IntN(100_000 / (1000 + most)) {
					message := anything(random, 1+most)
					require.NoError(t, deflate.CompressAlone(message, 1, bits, keep))
					w.Enter(message)
					p.receive(t, payload, message)
				}
				alone := anything(random, 1000)
				require.NoError(t, w.Compress(alone, 1, keep))
				p.receive(t, payload, alone)
			}
			w.Release()
		}
	}
}

// A connection to which others' messages are sent, and none of its own, needs no memory for them.
func TestWindowOfBroadcastsAlone(t *testing.T) {
	w := deflate.NewSendWindow(15)
	defer w.Release()
	var messages [][]byte
	for i := range 200 {
		messages = append(messages, bytes.Repeat([]byte{byte(i)}, 600))
	}
	last := func() []byte {
		var payload []byte
		require.NoError(t, w.Compress(messages[199], 1, func(p []byte) error { payload = bytes.Clone(p); return nil }))
		return payload
	}
	assert.NotEmpty(t, last())
	for _, message := range messages {
		w.Enter(message)
	}
	assert.Less(t, w.MemorySize(), 8<<10, "the table is left")
	assert.Less(t, len(last()), 10, "all of it is in the window")
}

func FuzzWindows(f *testing.F) {
	for bits := range uint8(8) {
		f.Add(uint64(bits), bits, uint16(2000))
	}
	f.Fuzz(func(t *testing.T, seed uint64, bits uint8, most uint16) {
		sendSome(t, 8+int(bits%8), rand.New(rand.NewPCG(seed, 0)), 20, 1+int(most))
	})
}

// BenchmarkSendWindow compresses messages that are alike.
func BenchmarkSendWindow(b *testing.B) {
	for _, size := range []int{200, 1024} {
		for _, bits := range []int{9, 12, 15} {
			b.Run(fmt.Sprintf("%d bytes, %d bits", size, bits), func(b *testing.B) {
				random := rand.New(rand.NewPCG(1, 1))
				messages := make([][]byte, 1000)
				for i := range messages {
					messages[i] = chat(random, size)
				}
				w := deflate.NewSendWindow(bits)
				sent, n := 0, 0
				b.ReportAllocs()
				for b.Loop() {
					_ = w.Compress(messages[n%len(messages)], 1, func(p []byte) error { sent += len(p); return nil })
					n++
				}
				b.ReportMetric(float64(sent)/float64(n), "bytes/message")
			})
		}
	}
}
