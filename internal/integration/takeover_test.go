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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A tap keeps what passes through a connection.
type tap struct {
	net.Conn
	mu            sync.Mutex
	read, written bytes.Buffer
}

func (c *tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read.Write(p[:n])
	return n, err
}

func (c *tap) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.written.Write(p)
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// messagesBehindHead returns the messages that are behind the head of a request or a response, and
// how many bytes their frames have. Compressed ones are inflated by z.
func messagesBehindHead(t *testing.T, stream []byte, z *testws.Inflater) (messages [][]byte, compressed int) {
	t.Helper()
	_, frames, found := bytes.Cut(stream, []byte("\r\n\r\n"))
	require.True(t, found)
	var payload []byte
	var deflated bool
	for r := bytes.NewReader(frames); r.Len() > 0; {
		f, err := wstest.ReadFrame(r)
		require.NoError(t, err)
		switch f.Opcode {
		case wstest.OpText, wstest.OpBinary:
			payload, deflated = f.Payload, f.RSV == 4
		case wstest.OpContinuation:
			payload = append(payload, f.Payload...)
		default:
			continue
		}
		if f.Fin && deflated {
			compressed++
			payload, err = z.Inflate(payload)
			require.NoError(t, err)
		}
		if f.Fin {
			messages = append(messages, append([]byte{}, payload...))
		}
	}
	return messages, compressed
}

// chatter returns messages that are alike, and some others.
func chatter(random *rand.Rand, n int) (messages [][]byte) {
	for i := range n {
		p := fmt.Appendf(nil, `{"type":"message","id":%d,"user":"user%d","text":"`, i, random.IntN(30))
		switch random.IntN(10) {
		case 0:
			p = p[:random.IntN(len(p))]
		case 1:
			p = append(p, strings.Repeat("long ", random.IntN(1+random.IntN(20_000)))...)
		case 2:
			for range random.IntN(2000) {
				p = append(p, "abcdefghijklmnopqrstuvwxyz0123456789"[random.IntN(36)])
			}
		default:
			for range random.IntN(60) {
				p = append(p, []string{"hello ", "world ", "websocket ", "the ", "and "}[random.IntN(5)]...)
			}
		}
		messages = append(messages, p)
	}
	return messages
}

// enqueueAndWait enqueues a message and returns when it was sent.
func enqueueAndWait(conn *websocket.Conn, m *websocket.EncodedMessage) error {
	if err := conn.Enqueue(testws.Unlimited, m); err != nil {
		return err
	}
	for conn.Flush(); ; time.Sleep(time.Microsecond) {
		if messages, _ := conn.Queued(); messages == 0 {
			return nil
		}
	}
}

// writeSomehow writes a message in one of all ways. When it returns, the message has been sent.
func writeSomehow(conn *websocket.Conn, random *rand.Rand, p []byte) error {
	if random.IntN(10) == 0 {
		conn.EnableWriteCompression(random.IntN(4) > 0)
	}
	if random.IntN(20) == 0 {
		if err := conn.SetCompressionLevel(random.IntN(12) - 2); err != nil {
			return err
		}
	}
	switch random.IntN(8) {
	case 0:
		m, err := websocket.EncodeMessage(websocket.TextMessage, p)
		if err != nil {
			return err
		}
		return enqueueAndWait(conn, m)
	case 1:
		prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, p)
		if err != nil {
			return err
		}
		return conn.WritePreparedMessage(prepared)
	case 2:
		w, err := conn.NextWriter(websocket.TextMessage)
		if err != nil {
			return err
		}
		for len(p) > 0 {
			n := min(len(p), 1+random.IntN(10_000))
			if _, err := w.Write(p[:n]); err != nil {
				return err
			}
			if random.IntN(3) == 0 {
				if err := conn.WriteControl(websocket.PingMessage, []byte("between"), time.Time{}); err != nil {
					return err
				}
			}
			p = p[n:]
		}
		return w.Close()
	case 3:
		return conn.Conn.WriteMessage(websocket.TextMessage, p)
	default:
		return conn.WriteMessage(websocket.TextMessage, p)
	}
}

// readSomehow reads a message in one of all ways. Some it skips, at most so many, and returns the
// next one.
func readSomehow(conn *websocket.Conn, random *rand.Rand, most int) (p []byte, skipped int, err error) {
	for ; skipped < most && random.IntN(8) == 0; skipped++ {
		_, r, err := conn.NextReader()
		if err != nil {
			return nil, skipped, err
		}
		if _, err := r.Read(make([]byte, random.IntN(100))); err != nil && err != io.EOF {
			return nil, skipped, err
		}
	}
	switch random.IntN(4) {
	case 0:
		_, r, err := conn.NextReader()
		if err != nil {
			return nil, skipped, err
		}
		p, err = io.ReadAll(r)
		return p, skipped, err
	case 1:
		_, p, err = conn.Conn.ReadMessage()
	case 2:
		_, p, err = conn.ReadSlice()
		p = bytes.Clone(p)
	default:
		_, p, err = conn.ReadMessage()
	}
	return p, skipped, err
}

// exchange sends messages and reads what the peer sends at the same time, and compares it.
func exchange(t *testing.T, conn *websocket.Conn, seed uint64, sends, receives [][]byte) {
	var writing sync.WaitGroup
	writing.Go(func() {
		random := rand.New(rand.NewPCG(seed, 1))
		for _, p := range sends {
			if !assert.NoError(t, writeSomehow(conn, random, p)) {
				return
			}
		}
		assert.NoError(t, conn.WriteMessage(websocket.BinaryMessage, nil), "the last one")
	})
	random := rand.New(rand.NewPCG(seed, 2))
	for i := 0; ; i++ {
		p, skipped, err := readSomehow(conn, random, len(receives)-i)
		i += skipped
		if !assert.NoError(t, err) || i > len(receives) || i == len(receives) && len(p) == 0 {
			break
		}
		if !assert.Less(t, i, len(receives)) || !assert.True(t, bytes.Equal(receives[i], p), "message %d", i) {
			break
		}
	}
	writing.Wait()
}

// Two ends exchange messages in all ways at all levels. What passes between them is inflated by a
// decoder that has the window that was agreed on, and no more.
func TestTakeoverBetweenTwoEnds(t *testing.T) {
	const takes, none = websocket.CompressionContextTakeover, websocket.CompressionNoContextTakeover
	for _, tt := range []struct {
		server, client         websocket.CompressionMode
		serverBits, clientBits int
	}{
		{takes, takes, 0, 0}, {takes, takes, 15, 8}, {takes, takes, 9, 15}, {takes, takes, 10, 11}, {takes, takes, 12, 12},
		{takes, takes, 13, 15}, {takes, takes, 14, 0}, {takes, none, 11, 0}, {none, takes, 9, 12}, {none, none, 8, 8}, {none, none, 0, 0},
	} {
		t.Run(fmt.Sprintf("%s %d and %s %d", tt.server, tt.serverBits, tt.client, tt.clientBits), func(t *testing.T) {
			testws.OnNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
				seed := uint64(100*tt.serverBits + tt.clientBits) //nolint:gosec // not negative
				random := rand.New(rand.NewPCG(seed, 0))
				toServer, toClient := chatter(random, 120), chatter(random, 120)
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					exchange(t, conn, seed, toClient, toServer)
					return nil
				}))
				u.Compression, u.MaxWindowBits = tt.server, tt.serverBits
				var tapped *tap
				conn := testws.Dial(t, serve(u), func(o *websocket.DialOptions) {
					o.Compression, o.MaxWindowBits = tt.client, tt.clientBits
					dial := o.DialContext
					if dial == nil {
						dial = (&net.Dialer{}).DialContext
					}
					o.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
						nc, err := dial(ctx, network, address)
						tapped = &tap{Conn: nc}
						return tapped, err
					}
				})
				exchange(t, conn, seed+1, toServer, toClient)
				require.NoError(t, conn.Close(websocket.CloseNormalClosure, ""))
				testws.AwaitEnd(t, u)

				window := func(a, b int) int { return 1 << min(max(a, 15*(1-min(a, 1))), max(b, 15*(1-min(b, 1)))) }
				z := testws.Inflater{Takeover: tt.server == takes && tt.client == takes, Window: window(tt.serverBits, tt.clientBits)}
				other := z
				got, compressed := messagesBehindHead(t, tapped.read.Bytes(), &z)
				require.Equal(t, append(toClient, []byte{}), got[:121])
				assert.Greater(t, compressed, 20)
				got, compressed = messagesBehindHead(t, tapped.written.Bytes(), &other)
				require.Equal(t, append(toServer, []byte{}), got[:121])
				assert.Greater(t, compressed, 20)
			}, testws.Memory, testws.TCP)
		})
	}
}

// What is answered, for offers of any client and each setting of the server.
func TestTakeoverOffers(t *testing.T) {
	const pd, sn, cn = "permessage-deflate", "; server_no_context_takeover", "; client_no_context_takeover"
	const sb, cb = "; server_max_window_bits", "; client_max_window_bits"
	for _, tt := range []struct {
		offer  string
		bits   int    // of the server
		answer string // "" for none
	}{
		{offer: pd, answer: pd},
		{offer: pd + cb, answer: pd},
		{offer: pd + cb + "=15", answer: pd},
		{offer: pd + cb + "=10", answer: pd + cb + "=10"},
		{offer: pd + cb, bits: 12, answer: pd + cb + "=12"},
		{offer: pd + cb + "=9", bits: 12, answer: pd + cb + "=9"},
		{offer: pd, bits: 12, answer: pd},
		{offer: pd + sn, answer: pd + sn},
		{offer: pd + cn, answer: pd + cn},
		{offer: pd + cn + sn, answer: pd + sn + cn},
		{offer: pd + cn + cb + "=9", answer: pd + cn},
		{offer: pd + sb + "=8", answer: pd + sb + "=8"},
		{offer: pd + sb + `="1\5"`, answer: pd + sb + "=15"},
		{offer: pd + sb + "=15", bits: 9, answer: pd + sb + "=9"},
		{offer: pd + sb + "=10" + cb, bits: 11, answer: pd + sb + "=10" + cb + "=11"},
		{offer: pd + sb + "=16, " + pd + sb + "=10, " + pd, answer: pd + sb + "=10"},
		{offer: pd + sb + ", " + pd + sn, answer: pd + sn},
		{offer: "x, " + pd + "; x, " + pd + cn + cn + ", " + pd + sb + "=11" + sb + "=11"},
		{offer: pd + cb + cb + "=10, " + pd + cb + "=10" + cb},
		{offer: pd + cb + "=7, " + pd + sb + "=08"},
	} {
		t.Run(tt.offer, func(t *testing.T) {
			u := websocket.New(websocket.ControllerFunc(testws.Echo))
			u.Compression, u.MaxWindowBits = websocket.CompressionContextTakeover, tt.bits
			client := wstest.DialRaw(t, u, "/", &wstest.Options{Header: http.Header{"Sec-Websocket-Extensions": {tt.offer}}})
			require.Equal(t, tt.answer, client.Response.Header.Get("Sec-Websocket-Extensions"))
		})
	}
}

// What a client offers, and which answers it takes for it.
func TestTakeoverAnswers(t *testing.T) {
	const pd, sn, cn = "permessage-deflate", "; server_no_context_takeover", "; client_no_context_takeover"
	const sb, cb = "; server_max_window_bits", "; client_max_window_bits"
	for _, tt := range []struct {
		mode      websocket.CompressionMode
		bits      int
		offer     string
		good, bad []string
	}{
		{
			mode: websocket.CompressionContextTakeover, offer: pd + cb,
			good: []string{"", pd, pd + sn, pd + cn + sn, pd + sb + "=8", pd + cb + "=9" + sb + `="12"`},
			bad:  []string{pd + cb, pd + sb, pd + sn + sn, pd + sb + "=16", pd + "; x", "x", pd + ", " + pd, pd + sn + "=1", pd + cb + "=9" + cb + "=9"},
		},
		{
			mode: websocket.CompressionContextTakeover, bits: 10, offer: pd + sb + "=10" + cb + "=10",
			good: []string{"", pd + sb + "=10", pd + sb + "=8" + cb + "=15", pd + sn + cn + sb + "=9" + cb + "=8"},
			bad:  []string{pd, pd + cb + "=10", pd + sb + "=11", pd + sb + "=10" + cb},
		},
		{
			mode: websocket.CompressionNoContextTakeover, offer: pd + sn + cn + cb,
			good: []string{"", pd + sn, pd + sn + cn, pd + sn + sb + "=9", pd + sn + cb + "=9", pd + sn + cn + sb + "=15" + cb + "=8"},
			bad:  []string{pd, pd + cn, pd + cb + "=9", pd + sn + cb, pd + sn + cb + "=7", pd + sn + cb + "=16", pd + sn + cb + "=9" + cb + "=9"},
		},
		{
			mode: websocket.CompressionNoContextTakeover, bits: 9, offer: pd + sn + cn + sb + "=9" + cb + "=9",
			good: []string{"", pd + sn + sb + "=9", pd + sn + cn + sb + "=8" + cb + "=8"},
			bad:  []string{pd + sn, pd + sb + "=9"},
		},
		{offer: "", good: []string{""}, bad: []string{pd}},
	} {
		for i, answer := range append(tt.good, tt.bad...) {
			t.Run(fmt.Sprintf("%s, then %s", tt.offer, answer), func(t *testing.T) {
				server := wstest.Serve(t, testws.BareServer(func(r *http.Request, conn net.Conn, _ *bufio.ReadWriter) {
					assert.Equal(t, tt.offer, r.Header.Get("Sec-Websocket-Extensions"))
					var more []string
					if answer != "" {
						more = append(more, "Sec-WebSocket-Extensions: "+answer)
					}
					_, _ = io.WriteString(conn, testws.Switching(r, more...))
				}))
				conn, _, err := websocket.Dial(t.Context(), "ws://example.test/", &websocket.DialOptions{
					DialContext: server.DialContext, Compression: tt.mode, MaxWindowBits: tt.bits,
				})
				if i < len(tt.good) {
					require.NoError(t, err)
					_ = conn.CloseNow()
					return
				}
				require.ErrorIs(t, err, websocket.ErrBadHandshake)
				require.ErrorContains(t, err, "which were not offered")
			})
		}
	}
}

// dialTakeover returns a client of a server that takes context over, and the inflater for what it
// sends.
func dialTakeover(t *testing.T, u *websocket.Upgrader, offer string) (*wstest.Raw, *testws.Inflater) {
	t.Helper()
	u.Compression = websocket.CompressionContextTakeover
	client := wstest.DialRaw(t, u, "/", &wstest.Options{Header: http.Header{"Sec-Websocket-Extensions": {"permessage-deflate" + offer}}})
	return client, &testws.Inflater{Takeover: true, Window: 1 << 15}
}

// receiveDeflated receives a compressed message in one frame, and returns it with the length of
// its payload.
func receiveDeflated(t *testing.T, client *wstest.Raw, z *testws.Inflater) (message string, length int) {
	t.Helper()
	f, err := client.Receive()
	require.NoError(t, err)
	require.True(t, f.Fin)
	require.EqualValues(t, 4, f.RSV)
	p, err := z.Inflate(f.Payload)
	require.NoError(t, err)
	return string(p), len(f.Payload)
}

// deflated returns a frame with a message that a client compressed with its window.
func deflated(t *testing.T, w *deflate.SendWindow, message string) wstest.Frame {
	t.Helper()
	f := wstest.Frame{Fin: true, RSV: 4, Opcode: wstest.OpBinary, Masked: true}
	require.NoError(t, w.Compress([]byte(message), 1, func(p []byte) error {
		f.Payload = bytes.Clone(p)
		return nil
	}))
	return f
}

var unlike = func() string {
	random := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	for range 400 {
		b.WriteByte("abcdefghijklmnopqrstuvwxyz0123456789"[random.IntN(36)])
	}
	return b.String()
}()

// A message that was not sent is no context of later ones. One that was sent to many is.
func TestContextIsWhatWasSent(t *testing.T) {
	testws.OnNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
		message := testws.Encode(t, unlike)
		prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte(unlike))
		require.NoError(t, err)
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			write := func(message string) {
				assert.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(message)))
			}
			_ = conn.SetWriteDeadline(time.Now().Add(-time.Second))
			assert.Error(t, conn.WriteMessage(websocket.TextMessage, []byte(unlike)), "not sent")
			assert.Error(t, conn.WritePreparedMessage(prepared), "likewise")
			_ = conn.SetWriteDeadline(time.Time{})
			write(unlike[:300])
			write(unlike[:299])
			assert.NoError(t, enqueueAndWait(conn, message))
			write(unlike)
			assert.NoError(t, conn.WritePreparedMessage(prepared))
			write(unlike)
			return testws.ReadLoop(testws.Returned)(conn, r)
		}))
		u.Compression = websocket.CompressionContextTakeover
		client := wstest.DialRaw(t, serve(u), "/", &wstest.Options{Header: http.Header{"Sec-Websocket-Extensions": {"permessage-deflate"}}})
		z := &testws.Inflater{Takeover: true, Window: 1 << 15}
		for _, want := range []struct {
			message     string
			least, most int
		}{{unlike[:300], 180, 300}, {unlike[:299], 1, 12}, {unlike, 250, 410}, {unlike, 1, 12}, {unlike, 250, 410}, {unlike, 1, 12}} {
			message, length := receiveDeflated(t, client, z)
			require.Equal(t, want.message, message)
			require.GreaterOrEqual(t, length, want.least)
			require.LessOrEqual(t, length, want.most)
		}
		client.Send(wstest.Close(1000, ""))
		testws.AwaitEnd(t, u)
	}, testws.Memory, testws.TCP)
}

// A message that the application skips is context of later ones all the same.
func TestSkippedMessagesAreContext(t *testing.T) {
	got := make(chan string, 1)
	u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		_, r, err := conn.NextReader()
		if err != nil {
			return err
		}
		if _, err := r.Read(make([]byte, 10)); err != nil {
			return err
		}
		_, message, err := conn.ReadMessage()
		got <- string(message)
		return err
	}))
	client, _ := dialTakeover(t, u, "")
	w := deflate.NewSendWindow(15)
	client.Send(deflated(t, w, unlike), deflated(t, w, unlike))
	require.Equal(t, unlike, <-got)
}

// So is one within which a handler panicked.
func TestInterruptedMessagesAreContext(t *testing.T) {
	for name, begin := range map[string]func(*websocket.Conn) error{
		"ReadMessage": func(conn *websocket.Conn) error { _, _, err := conn.ReadMessage(); return err },
		"skipped": func(conn *websocket.Conn) error {
			if _, _, err := conn.NextReader(); err != nil {
				return err
			}
			_, _, err := conn.ReadMessage()
			return err
		},
		"NextReader": func(conn *websocket.Conn) error {
			_, r, err := conn.NextReader()
			if err == nil {
				_, err = io.ReadAll(r)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 1)
			u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
				conn.SetPingHandler(func(string) error { panic("in the middle") })
				assert.Panics(t, func() { _ = begin(conn) })
				_, message, err := conn.ReadMessage()
				got <- string(message)
				return err
			}))
			client, _ := dialTakeover(t, u, "")
			w := deflate.NewSendWindow(15)
			f := deflated(t, w, unlike)
			first, last := f, f
			first.Fin, first.Payload = false, f.Payload[:100]
			last.RSV, last.Opcode, last.Payload = 0, wstest.OpContinuation, f.Payload[100:]
			ping := wstest.Ping("?")
			ping.Masked = true
			client.Send(first, ping, last, deflated(t, w, unlike))
			require.Equal(t, unlike, <-got)
		})
	}
}

// Limits hold for what is inflated with context, also where it is only skipped.
func TestTakeoverBombs(t *testing.T) {
	for name, read := range map[string]websocket.ControllerFunc{
		"ReadMessage": testws.Echo,
		"skipped": func(conn *websocket.Conn, _ *http.Request) error {
			for {
				if _, _, err := conn.NextReader(); err != nil {
					return err
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := websocket.New(read)
			u.MaxMessageSize = 100_000
			client, z := dialTakeover(t, u, "")
			w := deflate.NewSendWindow(15)
			const zero = "\x00"
			client.Send(deflated(t, w, strings.Repeat(zero, 100_000)))
			if name == "ReadMessage" {
				message, _ := receiveDeflated(t, client, z)
				require.Len(t, message, 100_000)
			}
			client.Send(deflated(t, w, strings.Repeat(zero, 100_001)))
			client.ExpectClose(websocket.CloseMessageTooBig, "message too big")
		})
	}
}

// Windows are counted, from the first compressed message on in each direction, and no longer than
// the connection is open.
func TestWindowsAreCounted(t *testing.T) {
	u := websocket.New(websocket.ControllerFunc(testws.Echo))
	client, z := dialTakeover(t, u, "")
	client.Send(wstest.Text("short"))
	client.Expect(wstest.Text("short"))
	require.Zero(t, u.Stats().WindowBytes)
	w := deflate.NewSendWindow(15)
	for range 100 {
		client.Send(deflated(t, w, unlike+unlike))
		_, _ = receiveDeflated(t, client, z)
	}
	assert.Equal(t, int64(2*32<<10+5376), u.Stats().WindowBytes)
	client.Send(wstest.Close(1000, ""))
	testws.AwaitEnd(t, u)
	require.Zero(t, u.Stats().WindowBytes)
}

// Without a threshold of the application's, short messages are compressed from 128 bytes on where
// they have context, and from 512 on otherwise.
func TestTakeoverThreshold(t *testing.T) {
	for offer, threshold := range map[string]int{"": 128, "; server_no_context_takeover": 512} {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		client, z := dialTakeover(t, u, offer)
		z.Takeover = threshold == 128
		text := strings.Repeat(unlike, 2)
		for range 2 {
			client.Send(wstest.Text(text[:threshold-1]), wstest.Text(text[:threshold]))
			client.Expect(wstest.Text(text[:threshold-1]))
			message, _ := receiveDeflated(t, client, z)
			require.Equal(t, text[:threshold], message)
		}
	}
}
