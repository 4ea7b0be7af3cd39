package transport

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// writerPair returns a connection, and a function that closes it and returns the frames that it sent.
func writerPair(t *testing.T, client, compressed bool, size int) (*Conn, func() []wireFrame) {
	t.Helper()
	peer, nc := pipe(t)
	tr := New(nc, nil, newConfig(func(c *Config) { c.WriteBufferSize = size }))
	tr.client = client
	if compressed {
		tr.UseDeflate(DeflateTerms{WindowBits: 15}, DeflateTerms{WindowBits: 15})
		tr.SetCompressionLevel(1)
	}
	tr.Open()
	all := make(chan []byte, 1)
	go func() {
		p, _ := io.ReadAll(peer)
		all <- p
	}()
	return tr, func() (frames []wireFrame) {
		_ = nc.Close()
		for rest := <-all; len(rest) > 0; {
			require.True(t, wire.HasHeader(rest))
			h := wire.ParseHeader(rest)
			require.Equal(t, client, h.Masked)
			payload := rest[h.Size:][:h.Length]
			wire.Mask(payload, h.Key)
			frames = append(frames, wireFrame{h, payload})
			rest = rest[h.Size+int(h.Length):]
		}
		return frames
	}
}

type wireFrame struct {
	wire.Header
	payload []byte
}

// messageOf returns the message that the frames are of.
func messageOf(t *testing.T, frames []wireFrame, compressed bool) []byte {
	t.Helper()
	require.NotEmpty(t, frames)
	var p []byte
	for i, f := range frames {
		assert.Equal(t, i == len(frames)-1, f.Fin)
		assert.Equal(t, i == 0, f.Opcode != wire.OpContinuation)
		assert.Equal(t, i == 0 && compressed, f.RSV != 0)
		p = append(p, f.payload...)
	}
	if !compressed {
		return p
	}
	z := deflate.NewBytesReader(p, nil)
	defer z.Close()
	var message []byte
	for {
		piece, err := z.Next()
		message = append(message, piece...)
		if err == io.EOF { //nolint:errorlint // as it comes
			return message
		}
		require.NoError(t, err)
	}
}

// A message may be written in pieces of any sizes, by Write and ReadFrom.
func TestMessageWriterKeepsWhatIsWritten(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, client := range []bool{false, true} {
		for _, compressed := range []bool{false, true} {
			for _, size := range []int{0, 1, 5, 100, 4096, 4097, 20_000} {
				for _, length := range []int{0, 1, 4, 5, 100, 4095, 4096, 4097, 30_000, 200_000} {
					if length > 1000*max(size, 100) {
						continue // there would be too many frames
					}
					message := make([]byte, length)
					for i := range message {
						message[i] = byte(random.IntN(8))
					}
					tr, sent := writerPair(t, client, compressed, size)
					b := tr.ownDeadline()
					w, err := tr.NextWriter(&b, ws.BinaryMessage)
					require.NoError(t, err)
					rest := message
					for len(rest) > 0 {
						n := min(len(rest), 1+random.IntN(1+random.IntN(2*length+1)))
						if random.IntN(4) == 0 {
							m, err := io.Copy(w, struct{ io.Reader }{iotest.HalfReader(bytes.NewReader(rest[:n]))})
							require.NoError(t, err)
							require.EqualValues(t, n, m)
						} else {
							given := bytes.Clone(rest[:n])
							m, err := w.Write(given)
							require.NoError(t, err)
							require.Equal(t, n, m)
							require.True(t, bytes.Equal(given, rest[:n]), "Write does not change its argument")
						}
						rest = rest[n:]
					}
					require.NoError(t, w.Close())
					require.ErrorIs(t, w.Close(), ErrWriterClosed)
					_, err = w.Write([]byte("x"))
					require.ErrorIs(t, err, ErrWriterClosed)
					require.NoError(t, tr.WriteMessage(&b, wire.OpText, []byte("next"))) // the lock is free
					assert.EqualValues(t, 2, tr.counts.messagesSent.Load())
					assert.Nil(t, w.buffer())
					assert.Nil(t, w.compressor)
					frames := sent()
					require.True(t, bytes.Equal(message, messageOf(t, frames[:len(frames)-1], compressed)), "%d bytes, buffers of %d", length, size)
				}
			}
		}
	}
}

// A message that does not fill the buffer is one frame.
func TestSmallStreamedMessageIsOneFrame(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		tr, sent := writerPair(t, false, compressed, 0)
		b := tr.ownDeadline()
		for _, length := range []int{0, 1, 4096} {
			w, err := tr.NextWriter(&b, ws.BinaryMessage)
			require.NoError(t, err)
			_, err = w.Write(make([]byte, length))
			require.NoError(t, err)
			require.NoError(t, w.Close())
		}
		assert.Len(t, sent(), 3)
	}
}

// Frames that gorilla writes are sent as messages of the engine, however the calls of Write cut them.
func TestViewedFrames(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, client := range []bool{false, true} {
		for _, compressed := range []bool{false, true} {
			for range 100 {
				tr, sent := writerPair(t, client, compressed, 0)
				message := make([]byte, random.IntN(20_000))
				var stream []byte
				add := func(opcode byte, fin bool, p []byte) {
					frame := wire.AppendHeader(nil, opcode, len(p))
					if !fin {
						frame[0] &^= wire.BitFin
					}
					if client {
						key := wire.NewMaskKey()
						frame[1] |= wire.BitMask
						frame = append(frame, key[:]...)
						p = bytes.Clone(p)
						wire.Mask(p, key)
					}
					stream = append(append(stream, frame...), p...)
				}
				for rest, opcode := message, byte(wire.OpBinary); ; opcode = wire.OpContinuation {
					n := len(rest)
					if random.IntN(3) > 0 {
						n = random.IntN(len(rest) + 1)
					}
					add(opcode, n == len(rest), rest[:n])
					if n == len(rest) {
						break
					}
					rest = rest[n:]
					if random.IntN(3) == 0 {
						add(wire.OpPing, true, []byte("ping"))
					}
				}
				view := (*GorillaView)(tr)
				for len(stream) > 0 {
					n := min(len(stream), 1+random.IntN(1+random.IntN(10_000)))
					m, err := view.Write(stream[:n])
					require.NoError(t, err)
					require.Equal(t, n, m)
					stream = stream[n:]
				}
				require.True(t, tr.messageLock.TryLock(), "the message has ended")
				var frames []wireFrame
				for _, f := range sent() {
					if !f.IsControl() {
						frames = append(frames, f)
						continue
					}
					assert.Equal(t, "ping", string(f.payload))
				}
				whole := frames[0].RSV != 0
				require.True(t, bytes.Equal(message, messageOf(t, frames, whole)))
				assert.False(t, whole && !compressed)
			}
		}
	}
}
