package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// far returns messages with copies from near, from as far as a window of 1<<bits bytes reaches, and
// from twice as far, where a compressor with the largest window would find them.
func far(random *rand.Rand, bits int) (messages [][]byte) {
	noise := func(n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte('a' + random.IntN(26))
		}
		return p
	}
	for _, distance := range []int{1 << 7, 1 << bits, 1<<bits + 1, 2 << bits} {
		p := noise(distance)
		messages = append(messages, bytes.Repeat(p, 2+512/len(p)))
	}
	return append(messages, noise(2000), bytes.Repeat([]byte("near "), 5000))
}

// A client that takes no context over is answered each size of a window. Whatever it sends, in all
// ways at all levels, has no copy that reaches back further.
func TestDialHonorsWindowWithoutTakeover(t *testing.T) {
	const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for bits := 8; bits <= 15; bits++ {
		for _, answer := range []string{
			fmt.Sprintf("%s; client_max_window_bits=%d", agreed, bits),
			fmt.Sprintf("permessage-deflate; client_max_window_bits=%d; server_no_context_takeover", bits),
		} {
			t.Run(answer, func(t *testing.T) {
				server := wstest.Serve(t, testws.BareServer(func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
					assert.Equal(t, agreed+"; client_max_window_bits", r.Header.Get("Sec-Websocket-Extensions"))
					_, _ = io.WriteString(conn, testws.Switching(r, "Sec-WebSocket-Extensions: "+answer))
					_, _ = io.Copy(io.Discard, rw)
				}))
				var tapped *tap
				conn, _, err := websocket.Dial(t.Context(), "ws://example.test/", &websocket.DialOptions{
					Compression: websocket.CompressionNoContextTakeover,
					DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
						nc, err := server.DialContext(ctx, network, address)
						tapped = &tap{Conn: nc}
						return tapped, err
					},
				})
				require.NoError(t, err)
				random := rand.New(rand.NewPCG(uint64(bits), 0)) //nolint:gosec // not negative
				var sent [][]byte
				for range 3 {
					conn.EnableWriteCompression(true) // writeSomehow may end it
					for _, p := range far(random, bits) {
						require.NoError(t, writeSomehow(conn, random, p))
						sent = append(sent, p)
					}
				}
				require.NoError(t, conn.CloseNow())

				z := testws.Inflater{Window: 1 << bits}
				got, compressed := messagesBehindHead(t, tapped.written.Bytes(), &z)
				require.Len(t, got, len(sent))
				for i := range sent {
					require.True(t, bytes.Equal(sent[i], got[i]), "message %d", i)
				}
				assert.Greater(t, compressed, 3)
			})
		}
	}
}
