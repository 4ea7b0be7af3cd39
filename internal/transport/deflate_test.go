package transport

import (
	"bytes"
	"compress/flate"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/require"
)

// The standard library inflates messages of each level.
func TestDeflatedMessages(t *testing.T) {
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		for _, size := range []int{0, 1, 100, 4096, 70_000} {
			message := strings.Repeat("the quick brown fox ", size/20+1)[:size]
			client, server := pipe(t)
			tr := New(server, nil, newConfig())
			tr.open = true
			tr.UseDeflate(DeflateTerms{WindowBits: 15 - uint8(size%8), Takeover: level%2 == 0}, DeflateTerms{WindowBits: 15})
			tr.SetCompressionLevel(level)
			written := make(chan error, 1)
			go func() {
				b := tr.ownDeadline()
				err := tr.writeDeflated(&b, wire.OpText, []byte(message))
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
