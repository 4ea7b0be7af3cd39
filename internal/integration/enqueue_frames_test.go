package integration_test

import (
	"bufio"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEnqueuedFramesLeaveTogether checks the calls of Write of the network connection.
func TestEnqueuedFramesLeaveTogether(t *testing.T) {
	sizes := func(calls [][]string) (all []int) {
		for _, call := range calls {
			all = append(all, len(call))
		}
		return all
	}
	for _, tc := range []struct {
		name  string
		sizes []int // of the messages
		want  []int // messages of each call
	}{
		{name: "one", sizes: []int{5}, want: []int{1}},
		{name: "small ones", sizes: []int{1, 2, 3}, want: []int{3}},
		{name: "just what fits into 32 KiB", sizes: []int{32<<10 - 4 - 2, 0, 0}, want: []int{2, 1}},
		{name: "one byte more", sizes: []int{32<<10 - 4 - 1, 0, 0}, want: []int{1, 2}},
		{name: "one that is longer than that", sizes: []int{1, 40_000, 1, 1}, want: []int{1, 1, 2}},
		{name: "long ones", sizes: []int{40_000, 40_000}, want: []int{1, 1}},
		{name: "many", sizes: slices.Repeat([]int{1020}, 40), want: []int{32, 8}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conns := make(chan *websocket.Conn, 1)
				client, server := testws.RecordWrites(t, func(conn *websocket.Conn, r *http.Request) error {
					conns <- conn
					return testws.ReadLoop(testws.Returned)(conn, r)
				})
				go func() { _, _ = io.Copy(io.Discard, client) }()
				conn := <-conns
				for _, size := range tc.sizes {
					require.NoError(t, conn.Enqueue(testws.Unlimited, testws.EncodeSize(t, size)))
				}
				conn.Flush()
				synctest.Wait()
				calls, _ := server.Reset(t)
				assert.Equal(t, tc.want, sizes(calls))
			})
		})
	}
	t.Run("on a socket itself", func(t *testing.T) {
		begin := make(chan struct{})
		server := httptest.NewServer(websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			<-begin
			for i := range 100 {
				if err := conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, fmt.Sprint(i%10))); err != nil {
					return err
				}
			}
			conn.Flush()
			return testws.ReadLoop(testws.Returned)(conn, nil)
		})))
		defer server.Close()
		client := wstest.DialRaw(t, server, "/", nil)
		close(begin)
		all := make([]byte, 1000)
		_ = client.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, err := client.Conn.Read(all)
		require.NoError(t, err)
		assert.Equal(t, 300, n, "one write is one segment")
	})
}

// TestOneMessageForAll writes one message to clients with and without compression.
func TestOneMessageForAll(t *testing.T) {
	text := strings.Repeat("all the same ", 1000)
	message, short := testws.Encode(t, text), testws.Encode(t, "short")
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
				if err := conn.SetCompressionLevel(level); err != nil {
					return err
				}
				if err := conn.Enqueue(testws.Unlimited, message, short); err != nil {
					return err
				}
			}
			conn.EnableWriteCompression(false)
			if err := conn.Enqueue(testws.Unlimited, message); err != nil {
				return err
			}
			conn.Flush()
			return testws.ReadLoop(testws.Returned)(conn, r)
		}))
		u.Settings.EnableCompression = true
		server := serve(u)
		for _, compression := range []bool{true, false, true} {
			client := wstest.DialRaw(t, server, "/", &wstest.Options{Compression: compression})
			for range flate.BestCompression - flate.HuffmanOnly + 1 {
				got, compressed := testws.ReceiveMessage(t, client)
				require.Equal(t, text, got)
				require.Equal(t, compression, compressed)
				client.Expect(wstest.Text("short"))
			}
			client.Expect(wstest.Text(text))
			client.Send(wstest.Close(1000, ""))
			client.ExpectClose(1000, "")
		}
		testws.AwaitEnd(t, u)
	})
}

// In TestEnqueueByAClient, the server checks the masks and the messages.
func TestEnqueueByAClient(t *testing.T) {
	text := strings.Repeat("from a client ", 100)
	message := testws.Encode(t, text)
	for name, compression := range map[string]bool{"plain": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				u := websocket.New(websocket.ControllerFunc(testws.Echo))
				u.Settings.EnableCompression = compression
				conn := testws.Dial(t, serve(u), func(o *websocket.DialOptions) { o.EnableCompression = compression })
				for range 10 {
					require.NoError(t, conn.Enqueue(websocket.QueueLimit{}, message, testws.Encode(t, "short")))
					conn.Flush()
				}
				for range 10 {
					for _, want := range []string{text, "short"} {
						_, p, err := conn.ReadMessage()
						require.NoError(t, err)
						require.Equal(t, want, string(p))
					}
				}
				require.NoError(t, conn.Close(1000, ""))
				testws.AwaitEnd(t, u)
			})
		})
	}
	t.Run("with a mask for each", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			masks := make(chan [2]string, 1)
			conn := testws.Dial(t, wstest.Serve(t, testws.BareServer(func(r *http.Request, conn net.Conn, rw *bufio.ReadWriter) {
				_, _ = io.WriteString(conn, testws.Switching(r))
				var frames [2][2 + 4 + len("same")]byte
				for i := range frames {
					_, err := io.ReadFull(rw, frames[i][:])
					assert.NoError(t, err)
				}
				masks <- [2]string{string(frames[0][2:6]), string(frames[1][2:6])}
			})), nil)
			require.NoError(t, conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "same"), testws.Encode(t, "same")))
			conn.Flush()
			got := <-masks
			assert.NotEqual(t, got[0], got[1])
		})
	})
}
