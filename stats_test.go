package websocket_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStatsOfOneConnectionAfterTheOther(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		target := serve(u)
		assert.Equal(t, websocket.Stats{}, u.Stats())

		client := wstest.DialRaw(t, target, "/", nil)
		client.Send(wstest.Text("12345"), testws.Part(wstest.OpText, false, "ab"), wstest.Ping("?"), testws.Part(wstest.OpContinuation, true, "c"))
		client.Expect(wstest.Text("12345"), wstest.Pong("?"), wstest.Text("abc"))
		const mask = 4
		received := uint64(2 + mask + 5 + 2 + mask + 2 + 2 + mask + 1 + 2 + mask + 1)
		sent := uint64(2 + 5 + 2 + 1 + 2 + 3)
		want := websocket.Stats{Open: 1, Upgrades: 1, MessagesReceived: 2, MessagesSent: 2, BytesReceived: received, BytesSent: sent}
		counted := func() {
			t.Helper()
			assert.Eventually(t, func() bool { return assert.ObjectsAreEqual(want, u.Stats()) }, 20*time.Second, time.Millisecond)
			require.Equal(t, want, u.Stats())
		}
		counted()

		client.Send(wstest.Close(3000, ""))
		client.Expect(wstest.Close(3000, ""))
		want.Open = 0
		want.BytesReceived += 2 + mask + 2
		want.BytesSent += 2 + 2
		want.CloseReceived, want.CloseSent = map[int]uint64{3000: 1}, map[int]uint64{3000: 1}
		counted()

		wstest.DialRefused(t, target, "/", &wstest.Options{Header: http.Header{"Origin": {"https://evil.test"}}}) //nolint:bodyclose // it is in memory
		want.Refusals = map[int]uint64{http.StatusForbidden: 1}
		counted()

		client = wstest.DialRaw(t, target, "/", nil)
		client.Send(wstest.Close(1005, ""))
		client.Expect(wstest.Close(1005, ""))
		want.Upgrades++
		want.BytesReceived += 2 + mask
		want.BytesSent += 2
		want.CloseReceived[1005]++
		want.CloseSent[1005]++
		counted()

		client = wstest.DialRaw(t, target, "/", nil)
		client.Send(wstest.Text("x").Unmasked())
		client.ExpectClose(1002, "frame is not masked")
		_ = client.Conn.Close()
		require.Eventually(t, func() bool { return u.Stats().Open == 0 }, 20*time.Second, time.Millisecond)
		assert.EqualValues(t, 1, u.Stats().CloseSent[1002])
		assert.Zero(t, u.Stats().CloseReceived[1002])

		got := u.Stats()
		got.Refusals[403], got.CloseSent[1002] = 100, 100
		assert.EqualValues(t, 1, u.Stats().Refusals[403], "the maps are the caller's")
		assert.EqualValues(t, 1, u.Stats().CloseSent[1002])
	})
}

// However a message is written, it counts once.
func TestStatsOfWhatGorillaWrites(t *testing.T) {
	for name, compression := range map[string]bool{"plain": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					long := make([]byte, 100_000)
					if err := conn.WriteMessage(websocket.TextMessage, long); err != nil {
						return err
					}
					w, err := conn.NextWriter(websocket.BinaryMessage)
					if err != nil {
						return err
					}
					for range 10 {
						if _, err := w.Write(long); err != nil {
							return err
						}
					}
					if err := w.Close(); err != nil {
						return err
					}
					prepared, err := websocket.NewPreparedMessage(websocket.BinaryMessage, long)
					if err != nil {
						return err
					}
					if err := conn.WritePreparedMessage(prepared); err != nil {
						return err
					}
					if err := conn.WriteJSON("x"); err != nil {
						return err
					}
					if err := conn.Conn.WriteMessage(websocket.TextMessage, long); err != nil {
						return err
					}
					return conn.Conn.WriteControl(ws.CloseMessage, ws.FormatCloseMessage(4000, ""), time.Now().Add(time.Minute))
				}))
				u.Settings.EnableCompression = compression
				client := wstest.Dial(t, serve(u), "/", &wstest.Options{Compression: compression})
				for range 5 {
					_, _, err := client.ReadMessage()
					require.NoError(t, err)
				}
				client.ExpectClose(4000, "")
				testws.AwaitEnd(t, u)
				stats := u.Stats()
				assert.EqualValues(t, 5, stats.MessagesSent)
				assert.Zero(t, stats.MessagesReceived)
				assert.Equal(t, map[int]uint64{4000: 1}, stats.CloseSent)
				assert.Equal(t, map[int]uint64{4000: 1}, stats.CloseReceived)
				if compression {
					assert.Less(t, stats.BytesSent, uint64(10_000))
				} else {
					assert.Greater(t, stats.BytesSent, uint64(1_300_000))
				}
			})
		})
	}
}

func TestStatsOfPeersThatAreGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Logger = testws.Silent
		server := wstest.Serve(t, u)
		for range 3 {
			_ = wstest.DialRaw(t, server, "/", nil)
		}
		synctest.Wait()
		assert.Equal(t, websocket.Stats{Open: 3, Upgrades: 3}, u.Stats())
		time.Sleep(time.Minute)
		stats := u.Stats()
		assert.Zero(t, stats.Open)
		assert.EqualValues(t, 3, stats.PeersGone)
		assert.Empty(t, stats.CloseSent)
	})
}

func TestStatsOfAMessageThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Logger = testws.Silent
		client := wstest.DialRaw(t, u, "/", nil)
		client.SendBytes(wstest.Binary(make([]byte, 10_000)).AppendHeader(nil, 10_000))
		_ = client.Close()
		testws.AwaitEnd(t, u)
		assert.Zero(t, u.Stats().MessagesReceived)
	})
}

func TestStatsOfBytesAfterABreach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Logger = testws.Silent
		client := wstest.DialRaw(t, u, "/", nil)
		bad := wstest.Text("x").Unmasked().Bytes()
		client.SendBytes(bad)
		client.ExpectClose(1002, "frame is not masked")
		client.SendBytes(make([]byte, 5000))
		_ = client.Close()
		testws.AwaitEnd(t, u)
		assert.EqualValues(t, len(bad)+5000, u.Stats().BytesReceived)
	})
}
