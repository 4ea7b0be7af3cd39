package integration_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
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

// pattern returns n bytes of ASCII that differ by their position.
func pattern(n, seed int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(' ' + (i*7+i>>8+seed)%90)
	}
	return p
}

// sliceServer serves on TCP.
func sliceServer(t *testing.T, configure func(*websocket.Upgrader), serve websocket.ControllerFunc) *httptest.Server {
	t.Helper()
	u := websocket.New(serve)
	u.MaxMessageSize = -1
	u.Logger = testws.Silent
	u.Settings.EnableCompression = true
	if configure != nil {
		configure(u)
	}
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	return server
}

func TestSlicesOfAllSizes(t *testing.T) {
	const buffer = 1024
	forms := map[string]func(frame wstest.Frame) []wstest.Frame{
		"whole": func(frame wstest.Frame) []wstest.Frame { return []wstest.Frame{frame} },
		"fragmented": func(frame wstest.Frame) []wstest.Frame {
			half := len(frame.Payload) / 2
			return []wstest.Frame{testws.Part(frame.Opcode, false, string(frame.Payload[:half])), wstest.Ping(""), testws.Part(wstest.OpContinuation, true, string(frame.Payload[half:]))}
		},
		"compressed": func(frame wstest.Frame) []wstest.Frame {
			f := testws.Deflated(string(frame.Payload))
			f.Opcode = frame.Opcode
			return []wstest.Frame{f}
		},
	}
	got := make(chan []byte)
	server := sliceServer(t, func(u *websocket.Upgrader) { u.Settings.ReadBufferSize = buffer }, func(conn *websocket.Conn, _ *http.Request) error {
		for i := 0; ; i++ {
			if i%3 == 2 { // a stream between, left where it is
				if _, _, err := conn.NextReader(); err != nil {
					return err
				}
			}
			messageType, p, err := conn.ReadSlice()
			if err != nil {
				return err
			}
			got <- append([]byte{byte(messageType)}, p...)
		}
	})
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			client := wstest.DialRaw(t, server, "/", &wstest.Options{Compression: true})
			n := 0
			for _, size := range []int{0, 1, 125, 126, buffer - 9, buffer - 8, buffer - 7, buffer - 1, buffer, buffer + 1, 4095, 4096, 4097, 65535, 65536, 65537, 16 << 20, 16<<20 + 1} {
				for _, opcode := range []byte{wstest.OpText, wstest.OpBinary} {
					if size > 1<<20 && (opcode == wstest.OpText || name != "whole") {
						continue // large ones take a while
					}
					if n%3 == 2 {
						client.Send(form(wstest.Text("left unread"))...)
					}
					n++
					p := pattern(size, n)
					go client.Send(form(wstest.Frame{Fin: true, Opcode: opcode, Masked: true, Payload: p})...)
					message := <-got
					require.Equal(t, opcode, message[0])
					require.True(t, bytes.Equal(p, message[1:]), "%d bytes", size)
				}
			}
		})
	}
}

// A slice belongs to the caller until the next read, even for writing, whatever else
// happens to the connection.
func TestSliceStaysWhileTheConnectionEnds(t *testing.T) {
	for name, size := range map[string]int{"in the read buffer": 100, "in memory of its own": 100_000} {
		t.Run(name, func(t *testing.T) {
			server := sliceServer(t, nil, func(conn *websocket.Conn, _ *http.Request) error {
				for {
					_, p, err := conn.ReadSlice()
					if err != nil {
						return err
					}
					want := pattern(size, 0)
					closed := make(chan error)
					go func() { closed <- conn.Close(4000, "") }()
					for open := true; open; {
						for i := range p {
							p[i]++
							want[i]++
						}
						assert.True(t, bytes.Equal(want, p))
						select {
						case err := <-closed:
							assert.NoError(t, err)
							open = false
						default:
						}
					}
				}
			})
			client := wstest.DialRaw(t, server, "/", nil)
			frames := []wstest.Frame{wstest.Binary(pattern(size, 0))}
			for i := range 200 {
				frames = append(frames, wstest.Binary(pattern(500, i)))
			}
			client.Send(frames...)
			client.ExpectClose(4000, "")
			client.Send(frames...)
			client.Send(wstest.Close(4000, ""))
			client.ExpectEnd()
		})
	}
}

// Corked frames do not retain the slice.
func TestSlicesAreEchoed(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			for {
				messageType, p, err := conn.ReadSlice()
				if err != nil {
					return err
				}
				if err := conn.WriteMessage(messageType, p); err != nil {
					return err
				}
				clear(p)
			}
		}))
		u.Logger = testws.Silent
		client := wstest.DialRaw(t, serve(u), "/", nil)
		var frames []wstest.Frame
		for i := range 300 {
			frames = append(frames, wstest.Binary(pattern(1+i*i%5000, i)))
		}
		go client.Send(frames...)
		client.Expect(frames...)
	})
}

// A buffer is used by one connection at a time.
func TestSlicesOfManyConnections(t *testing.T) {
	server := sliceServer(t, nil, func(conn *websocket.Conn, _ *http.Request) error {
		for {
			messageType, p, err := conn.ReadSlice()
			if err != nil {
				return err
			}
			before := bytes.Clone(p)
			if err := conn.WriteMessage(messageType, p); err != nil {
				return err
			}
			assert.True(t, bytes.Equal(before, p))
		}
	})
	var clients sync.WaitGroup
	for n := range 4 {
		client := wstest.DialRaw(t, server, "/", nil)
		clients.Go(func() {
			for i := range 60 {
				p := pattern([]int{10, 3000, 20_000, 70_000}[(i+n)%4]+i, n)
				client.Send(wstest.Binary(p))
				frame, err := client.Receive()
				if !assert.NoError(t, err) || !assert.True(t, bytes.Equal(p, frame.Payload)) {
					return
				}
			}
		})
	}
	clients.Wait()
}

func TestReadSliceContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := wstest.Pair(t, websocket.Options{})
		client.WriteText("hello")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, p, err := conn.ReadSliceContext(ctx)
		require.NoError(t, err)
		assert.Equal(t, "hello", string(p))

		go func() { // a part of a message
			frame := wstest.Binary(nil).AppendHeader(nil, 200_000)
			_, _ = client.NetConn().Write(append(frame, make([]byte, 1000)...))
		}()
		start := time.Now()
		_, p, err = conn.ReadSliceContext(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Nil(t, p)
		assert.Equal(t, time.Second, time.Since(start))
		messageType, p, again := conn.ReadSlice()
		assert.Equal(t, -1, messageType)
		assert.Nil(t, p)
		assert.Equal(t, err, again)
		_, _, again = conn.ReadMessage()
		assert.Equal(t, err, again)
		_, _, again = conn.Conn.ReadMessage()
		require.ErrorIs(t, again, context.DeadlineExceeded)
	})
}

// A deadline that passes within a payload does not disturb the closing handshake.
func TestDeadlineWithinAPayload(t *testing.T) {
	for name, read := range readers {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{})
				payload := make([]byte, 100_000)
				frame := wstest.Binary(payload).Bytes()
				go func() { _, _ = client.Conn.Write(frame[:50_000]) }()
				require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
				_, _, err := read(conn, fixedRandom())
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				start := time.Now()
				done := make(chan error, 1)
				go func() { done <- conn.Close(4000, "bye") }()
				client.ExpectClose(4000, "bye")
				_, _ = client.Conn.Write(frame[50_000:])
				client.Send(wstest.Ping("still there?"), wstest.Binary(payload[:10]), wstest.Close(4000, ""))
				require.NoError(t, <-done)
				assert.Equal(t, time.Duration(0), time.Since(start))
				client.ExpectEnd()
			})
		})
	}
}

// A read ends if the application closes the socket or the peer resets it.
func TestSocketsThatEndWithinARead(t *testing.T) {
	for name, end := range map[string]struct {
		do   func(conn *websocket.Conn, client net.Conn)
		want func(t *testing.T, err error)
	}{
		"closed by way of NetConn": {
			func(conn *websocket.Conn, _ net.Conn) { _ = conn.NetConn().Close() },
			func(t *testing.T, err error) { require.ErrorIs(t, err, net.ErrClosed) }},
		"reset": {
			func(_ *websocket.Conn, client net.Conn) {
				_ = client.(*net.TCPConn).SetLinger(0) //nolint:errcheck // it is one
				_ = client.Close()
			},
			func(t *testing.T, err error) { require.True(t, websocket.IsDisconnect(err), "%v", err) }},
		"hung up": {
			func(_ *websocket.Conn, client net.Conn) { _ = client.Close() },
			func(t *testing.T, err error) {
				require.Equal(t, websocket.CloseAbnormalClosure, websocket.CloseStatus(err))
			}},
		"a deadline of the past": {
			func(conn *websocket.Conn, _ net.Conn) { _ = conn.SetReadDeadline(time.Unix(1, 0)) },
			func(t *testing.T, err error) { require.ErrorIs(t, err, os.ErrDeadlineExceeded) }},
	} {
		for within, sent := range map[string][]byte{"a header": {0x82}, "a payload": wstest.Binary(make([]byte, 100_000)).Bytes()[:50_000], "nothing": nil} {
			t.Run(name+" within "+within, func(t *testing.T) {
				errs, conns := make(chan error, 1), make(chan *websocket.Conn, 1)
				server := sliceServer(t, nil, func(conn *websocket.Conn, _ *http.Request) error {
					conns <- conn
					_, _, err := conn.ReadSlice()
					errs <- err
					return err
				})
				client := wstest.DialRaw(t, server, "/", nil)
				client.SendBytes(sent)
				end.do(<-conns, client.Conn)
				select {
				case err := <-errs:
					end.want(t, err)
				case <-time.After(20 * time.Second):
					t.Fatal("it reads on")
				}
			})
		}
	}
}

// Reads of Conn and reads of the embedded connection alternate.
func TestSlicesAndTheEmbeddedConnection(t *testing.T) {
	ended := errors.New("read")
	server := sliceServer(t, nil, func(conn *websocket.Conn, _ *http.Request) error {
		for i := 0; ; i++ {
			var p []byte
			var err error
			switch i % 3 {
			case 0:
				_, p, err = conn.ReadSlice()
			case 1:
				_, p, err = conn.Conn.ReadMessage()
			default:
				var r io.Reader
				if _, r, err = conn.Conn.NextReader(); err == nil {
					p = make([]byte, 1)
					_, err = r.Read(p) // and leave the rest
				}
			}
			if err != nil {
				return errors.Join(ended, err)
			}
			if err := conn.WriteMessage(websocket.BinaryMessage, p); err != nil {
				return err
			}
		}
	})
	client := wstest.DialRaw(t, server, "/", nil)
	for i, size := range []int{5, 6, 100, 20_000, 130, 129, 70_000, 70_000, 70_000, 1, 1, 1} {
		p := pattern(size, i)
		client.Send(wstest.Binary(p))
		if i%3 == 2 {
			p = p[:1]
		}
		client.Expect(wstest.Binary(p))
	}
}
