package integration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func mixedBody(writer, i int) string {
	return fmt.Sprintf("%d/%d/%s", writer, i, strings.Repeat("x", (writer*i*37)%7000))
}

// mixedWays are the ways to write messages, in order.
var mixedWays = []func(t *testing.T, conn *websocket.Conn, random *rand.Rand, messages []string) error{
	func(t *testing.T, conn *websocket.Conn, random *rand.Rand, messages []string) error {
		var all []*websocket.EncodedMessage
		for _, message := range messages {
			all = append(all, testws.Encode(t, message))
		}
		limit := websocket.QueueLimit{Messages: 5 + random.IntN(10)}
		if random.IntN(3) > 0 {
			defer conn.Flush()
		}
		if random.IntN(2) == 0 {
			return conn.EnqueueContext(conn.Context(), limit, all...)
		}
		for {
			err := conn.Enqueue(limit, all...)
			if !errors.Is(err, websocket.ErrQueueFull) {
				return err
			}
			runtime.Gosched()
			conn.Flush()
		}
	},
	func(_ *testing.T, conn *websocket.Conn, _ *rand.Rand, messages []string) error {
		for _, message := range messages {
			if err := conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
				return err
			}
		}
		return nil
	},
	func(_ *testing.T, conn *websocket.Conn, _ *rand.Rand, messages []string) error {
		for _, message := range messages {
			w, err := conn.NextWriter(websocket.TextMessage)
			if err != nil {
				return err
			}
			half := len(message) / 2
			_, err = io.WriteString(w, message[:half])
			_, err2 := io.WriteString(w, message[half:])
			if err := errors.Join(err, err2, w.Close()); err != nil {
				return err
			}
		}
		return nil
	},
}

// mixedWriter writes its messages, a few at a time, and pings.
func mixedWriter(t *testing.T, conn *websocket.Conn, w int) error {
	random := rand.New(rand.NewPCG(uint64(w), 0))
	write := mixedWays[w%len(mixedWays)]
	for i := 0; i < mixedEach; {
		var messages []string
		for range min(1+random.IntN(3), mixedEach-i) {
			messages = append(messages, mixedBody(w, i))
			i++
		}
		if err := write(t, conn, random, messages); err != nil {
			return err
		}
		if err := conn.WriteControl(websocket.PingMessage, []byte("x"), time.Time{}); err != nil {
			return err
		}
	}
	conn.Flush()
	return nil
}

// mixedEcho answers bursts of messages while the writers write.
func mixedEcho(t *testing.T) websocket.ControllerFunc {
	return func(conn *websocket.Conn, _ *http.Request) error {
		for w := range mixedWriters {
			conn.Go(func(context.Context) error { return mixedWriter(t, conn, w) })
		}
		for {
			messageType, p, err := conn.ReadSlice()
			if err != nil {
				return err
			}
			if err := conn.WriteMessage(messageType, p); err != nil {
				return err
			}
		}
	}
}

// Goroutines write in every possible way while the client sends bursts that are answered:
// every frame is whole, and the messages of each goroutine are in order.
func TestNothingIsMixed(t *testing.T) {
	const bursts, burst = 20, 10
	for name, compression := range map[string]bool{"plain": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				u := websocket.New(mixedEcho(t))
				u.Settings.EnableCompression = compression
				client := wstest.Dial(t, serve(u), "/", &wstest.Options{Compression: compression, Timeout: time.Minute})
				client.SetPingHandler(func(string) error { return nil })
				var sending sync.WaitGroup
				sending.Go(func() {
					for i := range bursts {
						var frames []byte
						for j := range burst {
							frames = wstest.Text(fmt.Sprintf("%d/%d/", mixedWriters, i*burst+j)).AppendTo(frames)
						}
						_, err := client.NetConn().Write(frames)
						assert.NoError(t, err)
					}
				})
				next := make([]int, mixedWriters+1)
				for range mixedWriters*mixedEach + bursts*burst {
					_, p, err := client.ReadMessage()
					require.NoError(t, err)
					var w, i int
					_, err = fmt.Sscanf(string(p), "%d/%d/", &w, &i)
					require.NoError(t, err)
					require.Equal(t, next[w], i, "goroutine %d", w)
					next[w]++
					if w < mixedWriters {
						require.Equal(t, mixedBody(w, i), string(p))
					}
				}
				sending.Wait()
				client.Close(1000, "")
				testws.AwaitEnd(t, u)
			})
		})
	}
}

const mixedWriters, mixedEach = 12, 60
