package integration_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Messages arrive in parts, each when the server has read the part before and waits. The
// bytes that the server sets aside meanwhile must return to their place.
func TestPayloadsThatStopOnTheirWay(t *testing.T) {
	reads := map[string]func(*websocket.Conn) (int, []byte, error){
		"ReadMessage": (*websocket.Conn).ReadMessage,
		"ReadSlice":   (*websocket.Conn).ReadSlice,
	}
	servers := map[string]func(http.Handler) *httptest.Server{"TCP": httptest.NewServer, "TLS": httptest.NewTLSServer}
	stops := map[string][]int{
		"behind the header": {8},
		"at every byte":     {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27},
		"early and late":    {9, 1000, 5000, 20_000, 60_000, 65_536, 65_550, 66_000, 130_000, 400_000, 700_000, 999_999},
		"once in the flow":  {300_001},
		"near the end":      {980_000, 999_990, 1_000_000},
		"small steps":       {511, 512, 513, 1023, 1024, 1025, 1536, 2048, 2049, 4096, 4097, 8191, 8193, 16_384, 16_400, 16_420},
	}
	for serverName, start := range servers {
		for readName, read := range reads {
			for stopName, at := range stops {
				t.Run(serverName+", "+readName+", "+stopName, func(t *testing.T) {
					got := make(chan []byte, 1)
					u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
						for {
							_, p, err := read(conn)
							if err != nil {
								return err
							}
							got <- append([]byte(nil), p...)
						}
					}))
					u.MaxMessageSize = 2 << 20
					server := start(u)
					defer server.Close()
					client := wstest.DialRaw(t, server, "/", nil)
					var sent uint64
					for _, size := range []int{1_100_000, 70_000, 40_000, 1_048_576} {
						message := string(pseudoText(size-2)) + "é"
						frame := wstest.Text(message).Bytes()
						from := 0
						for _, to := range append(slices.Clip(at), len(frame)) {
							if to > len(frame) {
								continue
							}
							client.SendBytes(frame[from:to])
							sent += uint64(to - from)
							from = to
							require.Eventually(t, func() bool { return u.Stats().BytesReceived == sent }, 20*time.Second, 100*time.Microsecond)
						}
						select {
						case p := <-got:
							assert.True(t, message == string(p), "%d bytes", size) //nolint:testifylint // not to show a megabyte
						case <-time.After(10 * time.Second):
							require.Fail(t, "no message")
						}
					}
				})
			}
		}
	}
}

// pseudoText is text that can't be compressed well.
func pseudoText(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, n)
	for i := range p {
		p[i] = ' ' + byte(random.Uint32()%64)
	}
	return p
}
