package integration_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// gorilla writes large frames in two calls while other goroutines send pings.
func TestControlFramesNeverEnterAFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		large := make([]byte, 3*wstest.PipeBuffer)
		prepared, err := websocket.NewPreparedMessage(websocket.BinaryMessage, large)
		require.NoError(t, err)
		var running sync.WaitGroup
		defer running.Wait()
		for _, write := range []func() error{
			func() error { return conn.WriteMessage(websocket.BinaryMessage, large) },
			func() error { return conn.WritePreparedMessage(prepared) },
			func() error { return conn.Conn.WriteMessage(websocket.BinaryMessage, large) }, // gorilla's own
			func() error {
				w, err := conn.NextWriter(websocket.BinaryMessage)
				if err != nil {
					return err
				}
				_, err = w.Write(large)
				return errors.Join(err, w.Close())
			},
		} {
			written := make(chan error, 1)
			go func() { written <- write() }()
			synctest.Wait()
			running.Go(func() { assert.NoError(t, conn.WriteControl(websocket.PingMessage, nil, time.Time{})) })
			synctest.Wait()
			size, pinged := 0, false
			for size < len(large) || !pinged {
				f, err := client.Receive()
				require.NoError(t, err)
				if pinged = pinged || f.Opcode == wstest.OpPing; f.Opcode != wstest.OpPing {
					size += len(f.Payload)
				}
			}
			require.Equal(t, len(large), size)
			if f := testws.ReadAway(client); f != nil {
				require.Empty(t, f.Payload) // the end of the streamed message
			}
			require.NoError(t, <-written)
		}
	})
}

func TestPingIsNotAnsweredWhileAFrameIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		write := testws.Fill(conn)
		client.Send(wstest.Ping("x"), wstest.Text("read on"))
		start := time.Now()
		_, message, err := conn.ReadMessage()
		require.NoError(t, err)
		assert.Equal(t, "read on", string(message))
		testws.AssertElapsed(t, start, time.Second)
		_, err = client.Receive()
		require.NoError(t, err)
		require.NoError(t, <-write)
	})
}

func TestFloodOfPingsIsHeldBackByTheirAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		go func() {
			ping := wstest.Ping(strings.Repeat("x", 125)).Bytes()
			for {
				if _, err := client.Write(ping); err != nil {
					return
				}
			}
		}()
		start := time.Now()
		_, _, err := conn.ReadMessage()
		require.True(t, websocket.IsDisconnect(err), err)
		testws.AssertElapsed(t, start, 10*time.Second)
	})
}

func TestPongsHaveADeadlineOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{PingInterval: -1})
		require.NoError(t, conn.SetWriteDeadline(time.Now().Add(time.Second)))
		require.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte("hello")))
		client.Expect(wstest.Text("hello"))
		time.Sleep(time.Minute)
		client.Send(wstest.Ping("x"), wstest.Text("after"))
		_, _, err := conn.ReadMessage()
		require.NoError(t, err)
		client.Expect(wstest.Pong("x"))
	})
}

// A frame of a streamed message waits for a ping that the peer does not take.
func TestStreamsWaitForControlFrames(t *testing.T) {
	t.Run("for the write timeout", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{})
			w, err := conn.NextWriter(websocket.TextMessage)
			require.NoError(t, err)
			testws.FloodPings(conn)
			start := time.Now()
			_, _ = w.Write([]byte("hello"))
			err = w.Close()
			testws.AssertElapsed(t, start, 10*time.Second)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.True(t, websocket.IsDisconnect(err), "the peer took nothing")
		})
	})
	t.Run("as long as the context allows", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, conn := testws.RawPair(t, websocket.Options{WriteTimeout: -1})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			w, err := conn.NextWriterContext(ctx, websocket.TextMessage)
			require.NoError(t, err)
			testws.FloodPings(conn)
			start := time.Now()
			_, _ = w.Write([]byte("hello"))
			require.ErrorIs(t, w.Close(), context.DeadlineExceeded)
			testws.AssertElapsed(t, start, time.Second)
		})
	})
}
