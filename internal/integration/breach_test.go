package integration_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
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

// openFor asserts that for this long nothing more arrives and the stream does not end.
func openFor(t *testing.T, client *wstest.Raw, d time.Duration) {
	t.Helper()
	require.NoError(t, client.SetReadDeadline(time.Now().Add(d)))
	_, err := client.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// The stream ends after the peer's close frame, not directly after ours: browsers would
// report the latter as unclean.
func TestEndAfterABreachWaitsForTheCloseFrame(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	invalid := "\xff" + long
	cases := []struct {
		name string
		send []byte
		code int
	}{
		{name: "a reserved opcode", send: wstest.Frame{Fin: true, Opcode: 7, Masked: true, Payload: []byte("payload")}.Bytes(), code: 1002},
		{name: "a reserved control opcode", send: wstest.Frame{Fin: true, Opcode: 11, Masked: true}.Bytes(), code: 1002},
		{name: "reserved bits", send: wstest.Frame{Fin: true, RSV: 3, Opcode: 1, Masked: true, Payload: []byte("payload")}.Bytes(), code: 1002},
		{name: "no mask", send: wstest.Text("payload").Unmasked().Bytes(), code: 1002},
		{name: "a long ping", send: wstest.Ping(strings.Repeat("x", 126)).Bytes(), code: 1002},
		{name: "a continuation of nothing", send: testws.Part(wstest.OpContinuation, true, "payload").Bytes(), code: 1002},
		{name: "a message that is too long", send: wstest.Text(strings.Repeat("x", 300_000)).Bytes(), code: 1009},
		{name: "a short text", send: wstest.Text("\xff").Bytes(), code: 1007},
		{name: "the begin of a long text", send: wstest.Text(invalid).Bytes(), code: 1007},
		{name: "the end of a long text", send: wstest.Text(long + "\xff").Bytes(), code: 1007},
		{name: "a fragment", send: append(testws.Part(wstest.OpText, false, "valid").Bytes(), testws.Part(wstest.OpContinuation, true, invalid).Bytes()...), code: 1007},
		{name: "a message, with others behind it", send: append(wstest.Text("\xff").Bytes(), append(wstest.Text(long).Bytes(), wstest.Ping("").Bytes()...)...), code: 1007},
	}
	reads := map[string]func(*websocket.Conn) error{
		"whole": func(conn *websocket.Conn) error { _, _, err := conn.ReadMessage(); return err },
		"in parts": func(conn *websocket.Conn) error {
			_, r, err := conn.NextReader()
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			return err
		},
	}
	for _, c := range cases {
		for name, read := range reads {
			t.Run(c.name+", read "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					client, conn := testws.RawPair(t, websocket.Options{MaxMessageSize: 200_000})
					ended := make(chan error, 1)
					go func() { ended <- read(conn) }()
					sent := make(chan struct{})
					go func() {
						defer close(sent)
						_, _ = client.Write(c.send)
					}()
					client.ExpectClose(c.code, closeText(c.code, c.name))
					<-sent
					openFor(t, client, 400*time.Millisecond)
					answered := time.Now()
					for _, b := range wstest.Close(c.code, "as you wish").Bytes() { // a byte at a time
						_, err := client.Write([]byte{b})
						require.NoError(t, err)
						synctest.Wait()
					}
					client.ExpectEnd()
					testws.AssertElapsed(t, answered, 0)
					require.NoError(t, client.Close())
					require.Error(t, <-ended)
					testws.AssertElapsed(t, answered, 0)
				})
			})
		}
	}
}

// closeText returns the text of the close frame for a protocol violation.
func closeText(code int, name string) string {
	switch code {
	case 1007:
		return "text is not UTF-8"
	case 1009:
		return "message too big"
	default:
		return map[string]string{
			"a reserved opcode":         "reserved opcode",
			"a reserved control opcode": "reserved opcode",
			"reserved bits":             "RSV2 or RSV3 is set",
			"no mask":                   "frame is not masked",
			"a long ping":               "control frame is longer than 125 bytes",
			"a continuation of nothing": "continuation of no message",
		}[name]
	}
}

// A peer that does not answer sees the end of the stream after half of the close timeout.
// The socket is closed when the timeout has passed.
func TestEndAfterABreachDoesNotWaitForLong(t *testing.T) {
	breach := wstest.Text("").Unmasked()
	cases := []struct {
		name    string
		timeout time.Duration
		peer    func(client *wstest.Raw)
		end     time.Duration // of the stream
		closed  time.Duration
	}{
		{name: "a peer that is silent", peer: func(*wstest.Raw) {}, end: 500 * time.Millisecond, closed: time.Second},
		{name: "a short close timeout", timeout: 100 * time.Millisecond, peer: func(*wstest.Raw) {}, end: 50 * time.Millisecond, closed: 100 * time.Millisecond},
		{name: "no waiting", timeout: -1, peer: func(*wstest.Raw) {}},
		{name: "a peer that ends its stream", peer: testws.HalfClose},
		{name: "a peer that answers and stays", peer: func(client *wstest.Raw) { client.Send(wstest.Close(1002, "")) }, closed: time.Second},
		{name: "a peer that had sent its close frame", peer: func(*wstest.Raw) {}, closed: time.Second},
		{name: "a peer that hangs up", peer: func(client *wstest.Raw) { _ = client.Close() }},
		{name: "a peer that talks on", end: 500 * time.Millisecond, closed: time.Second, peer: func(client *wstest.Raw) {
			go func() {
				for {
					if _, err := client.Write(wstest.Text("x").Bytes()); err != nil {
						return
					}
					time.Sleep(time.Millisecond)
				}
			}()
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, conn := testws.RawPair(t, websocket.Options{CloseTimeout: c.timeout})
				start := time.Now()
				read := make(chan time.Duration, 1)
				go func() { _, _, _ = conn.ReadMessage(); read <- time.Since(start) }()
				if c.name == "a peer that had sent its close frame" {
					client.Send(breach, wstest.Close(1000, ""))
				} else {
					client.Send(breach)
				}
				client.ExpectClose(1002, "frame is not masked")
				c.peer(client)
				client.ExpectEnd()
				testws.AssertElapsed(t, start, c.end)
				assert.Equal(t, c.closed, <-read)
				_, err := conn.NetConn().Read(make([]byte, 1))
				require.ErrorIs(t, err, net.ErrClosed)
				time.Sleep(time.Second) // a peer that continues to write gets an error
			})
		})
	}
}

// The same holds on real networks, and for connections that can't be half-closed.
func TestEndAfterABreachOnEveryNetwork(t *testing.T) {
	end := func(t *testing.T, u *websocket.Upgrader, server any) (took time.Duration) {
		client := wstest.DialRaw(t, server, "/", nil)
		client.Send(wstest.Frame{Fin: true, Opcode: 7, Masked: true})
		client.ExpectClose(1002, "reserved opcode")
		openFor(t, client, 100*time.Millisecond)
		start := time.Now()
		client.Send(wstest.Close(1002, ""))
		client.ExpectEnd()
		require.NoError(t, client.Close())
		testws.AwaitEnd(t, u)
		return time.Since(start)
	}
	check := func(t *testing.T, u *websocket.Upgrader, server any) {
		const most = 400 * time.Millisecond // less than the wait for a peer that is silent
		took := end(t, u, server)
		for range 4 { // on a busy machine one may take longer, but not all
			if took >= most {
				took = end(t, u, server)
			}
		}
		assert.Less(t, took, most)
	}
	endpoint := func() *websocket.Upgrader {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Logger = testws.Silent
		return u
	}
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := endpoint()
		check(t, u, serve(u))
	})
	t.Run("wrapped", func(t *testing.T) {
		u := endpoint()
		server := httptest.NewUnstartedServer(u)
		server.Listener = testws.PlainListener{Listener: server.Listener}
		server.Start()
		defer server.Close()
		check(t, u, server)
	})
}

func TestBreachEndsTheSocketPromptly(t *testing.T) {
	breach := wstest.Frame{Fin: true, Opcode: 3, Masked: true}
	t.Run("as soon as the peer hung up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			client.Send(breach, wstest.Text("more"))
			go func() {
				client.ExpectClose(1002, "reserved opcode")
				client.ExpectEnd() // after half a second, as it sends no close frame
				time.Sleep(300 * time.Millisecond)
				_ = client.Close()
			}()
			start := time.Now()
			_, _, err := conn.ReadMessage()
			require.ErrorContains(t, err, "reserved opcode")
			testws.AssertElapsed(t, start, 800*time.Millisecond)
		})
	})
	t.Run("after a second", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			client.Send(breach)
			start := time.Now()
			_, _, err := conn.ReadMessage()
			require.Error(t, err)
			testws.AssertElapsed(t, start, time.Second)
			_, again := conn.NetConn().Read(nil)
			require.ErrorIs(t, again, net.ErrClosed)
		})
	})
	t.Run("after a megabyte", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			client.Send(breach)
			go func() { _, _ = io.Copy(client.Conn, zeros{}) }()
			start := time.Now()
			_, _, err := conn.ReadMessage()
			require.Error(t, err)
			testws.AssertElapsed(t, start, 0)
		})
	})
	t.Run("at once where nothing is waited for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{CloseTimeout: -1})
			client.Send(breach)
			start := time.Now()
			_, _, err := conn.ReadMessage()
			require.Error(t, err)
			testws.AssertElapsed(t, start, 0)
			client.ExpectClose(1002, "reserved opcode")
		})
	})
	t.Run("of a peer that never reads", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, conn := testws.RawPair(t, websocket.Options{})
			write := testws.Fill(conn)
			client.Send(breach)
			start := time.Now()
			_, _, err := conn.ReadMessage()
			require.ErrorContains(t, err, "reserved opcode")
			testws.AssertElapsed(t, start, time.Second)
			require.ErrorIs(t, <-write, net.ErrClosed)
		})
	})
}

// The frame that is being written uses a part of the close timeout.
func TestBreachOfASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{})
		write := testws.Fill(conn)
		client.Send(wstest.Text("").Unmasked())
		start := time.Now()
		go func() {
			time.Sleep(400 * time.Millisecond)
			_, _ = io.Copy(io.Discard, client)
		}()
		_, _, err := conn.ReadMessage()
		require.ErrorContains(t, err, "not masked")
		testws.AssertElapsed(t, start, time.Second)
		require.NoError(t, <-write)
	})
}

// Much data is in flight in both directions when the socket is closed. A TCP reset would
// destroy the close frame.
func TestAnswerToABreachSurvivesUnreadData(t *testing.T) {
	for name, wrap := range map[string]func(net.Listener) net.Listener{
		"on TCP":                  func(l net.Listener) net.Listener { return l },
		"on a wrapped connection": func(l net.Listener) net.Listener { return testws.PlainListener{Listener: l} },
	} {
		t.Run(name, func(t *testing.T) {
			const size = 200_000
			begin := make(chan struct{})
			u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
				conn.SetReadLimit(1024)
				nc := conn.NetConn()
				if plain, ok := nc.(testws.PlainConn); ok {
					nc = plain.Conn
				}
				if tcp, ok := nc.(*net.TCPConn); ok {
					_ = tcp.SetWriteBuffer(8 * size)
				}
				<-begin
				if err := conn.WriteMessage(websocket.BinaryMessage, make([]byte, size)); err != nil {
					return err
				}
				return testws.ReadLoop(testws.Returned)(conn, r)
			}))
			u.Logger = testws.Silent
			server := httptest.NewUnstartedServer(u)
			server.Listener = wrap(server.Listener)
			server.Start()
			defer server.Close()
			client := wstest.DialRaw(t, server, "/", nil)
			if tcp, ok := client.Conn.(*net.TCPConn); ok {
				require.NoError(t, tcp.SetReadBuffer(size/8))
			}
			client.SendBytes(wstest.Binary(make([]byte, size/2)).Bytes())
			close(begin)
			testws.AwaitEnd(t, u) // most of the message is still to be sent
			_, err := client.Receive()
			require.NoError(t, err)
			client.ExpectClose(1009, "message too big")
			client.ExpectEnd()
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
