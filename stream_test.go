package websocket_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
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

// echoStream returns all data to the peer until the peer closes the stream.
func echoStream(stream net.Conn) error {
	_, err := io.Copy(stream, stream)
	return err
}

// streamPair returns the two ends of a connection in memory, the server's end as a stream of
// binary messages.
func streamPair(t *testing.T, ctx context.Context, options websocket.Options) (*wstest.Raw, net.Conn) { //nolint:revive // t comes first
	t.Helper()
	options.PingInterval = cmp.Or(options.PingInterval, -1) // tests wait for longer than a peer may be silent
	client, conn := testws.RawPair(t, options)
	return client, websocket.Stream(ctx, conn, websocket.BinaryMessage)
}

// peerStream is a gorilla client as a net.Conn, with the methods that these tests need.
type peerStream struct {
	*wstest.Client
	r io.Reader
}

func (p *peerStream) Read(b []byte) (int, error) {
	for {
		if p.r == nil {
			_, r, err := p.NextReader()
			if err != nil {
				return 0, err
			}
			p.r = r
		}
		n, err := p.r.Read(b)
		if err == io.EOF {
			p.r, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (p *peerStream) Write(b []byte) (int, error) {
	if err := p.WriteMessage(websocket.BinaryMessage, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (p *peerStream) Close() error { return p.Conn.Close() }

func (p *peerStream) SetDeadline(d time.Time) error {
	return errors.Join(p.SetReadDeadline(d), p.SetWriteDeadline(d))
}

func randomBytes(n int) []byte {
	source := rand.NewChaCha8([32]byte{1})
	p := make([]byte, n)
	_, _ = source.Read(p) // never fails
	return p
}

func TestStreamCarriesBytesBothWaysAtOnce(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		data := randomBytes(3 << 20)
		u := websocket.New(testws.OnStream(func(stream net.Conn) error {
			var sending sync.WaitGroup
			defer sending.Wait()
			sending.Go(func() {
				for rest := data; len(rest) > 0; {
					n, err := stream.Write(rest[:min(rand.IntN(100_000), len(rest))]) //nolint:gosec // no secret
					if !assert.NoError(t, err) {
						return
					}
					rest = rest[n:]
				}
			})
			got, err := io.ReadAll(stream)
			assert.True(t, bytes.Equal(data, got))
			return err
		}))
		client := &peerStream{Client: wstest.Dial(t, serve(u), "/", nil)}
		var receiving sync.WaitGroup
		receiving.Go(func() {
			got := make([]byte, len(data))
			_, err := io.ReadFull(client, got)
			assert.NoError(t, err)
			assert.True(t, bytes.Equal(data, got))
		})
		for rest := data; len(rest) > 0; {
			n, err := client.Write(rest[:min(rand.IntN(100_000), len(rest))]) //nolint:gosec // no secret
			require.NoError(t, err)
			rest = rest[n:]
		}
		receiving.Wait()
		client.Client.Close(1000, "")
		testws.AwaitEnd(t, u)
	})
}

func TestStreamFrames(t *testing.T) {
	for messageType, frame := range map[int]func(string) wstest.Frame{
		websocket.TextMessage:   wstest.Text,
		websocket.BinaryMessage: func(s string) wstest.Frame { return wstest.Binary([]byte(s)) },
	} {
		t.Run(frame("").String(), func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
					stream := websocket.Stream(r.Context(), conn, messageType)
					assert.Equal(t, conn.LocalAddr(), stream.LocalAddr())
					assert.Equal(t, conn.RemoteAddr(), stream.RemoteAddr())
					for _, message := range []string{"one", "", "two"} {
						n, err := stream.Write([]byte(message))
						assert.NoError(t, err)
						assert.Len(t, message, n)
					}
					got := make([]byte, 9)
					_, err := io.ReadFull(stream, got)
					assert.NoError(t, err)
					assert.Equal(t, "abcdefghi", string(got))
					n, err := stream.Read(nil)
					assert.NoError(t, err)
					assert.Zero(t, n)
					return stream.Close()
				}))
				client := wstest.DialRaw(t, serve(u), "/", nil)
				client.Expect(frame("one"), frame("two"))
				first := frame("def")
				first.Fin = false
				client.Send(frame("abc"), frame(""), first, wstest.Ping("still there?"), testws.Part(wstest.OpContinuation, true, "ghi"))
				client.Expect(wstest.Pong("still there?"))
				client.ExpectClose(1000, "")
				client.Send(wstest.Close(1000, ""))
				client.ExpectEnd()
				testws.AwaitEnd(t, u)
			})
		})
	}
}

func TestStreamRefusesTheOtherType(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		ctrl := &testws.Controller{ServeFunc: testws.OnStream(echoStream)}
		u := websocket.New(ctrl)
		client := wstest.DialRaw(t, serve(u), "/", nil)
		client.Send(wstest.Text(""))
		client.ExpectClose(1003, "text and binary messages in one stream")
		client.Send(wstest.Close(1003, ""))
		client.ExpectEnd()
		_ = client.Close()
		testws.AwaitEnd(t, u)
		require.Len(t, ctrl.Told.All(), 1)
		assert.ErrorContains(t, ctrl.Told.All()[0], "in one stream")
	})
}

func TestStreamTakesNoOtherMessageType(t *testing.T) {
	for _, messageType := range []int{0, websocket.CloseMessage, websocket.PingMessage} {
		assert.Panics(t, func() { websocket.Stream(t.Context(), nil, messageType) })
	}
}

func TestStreamHasNoMessageLimit(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		data := randomBytes(5 << 20)
		u := websocket.New(testws.OnStream(func(stream net.Conn) error {
			got, err := io.ReadAll(stream)
			assert.True(t, bytes.Equal(data, got))
			return err
		}))
		client := wstest.Dial(t, serve(u), "/", nil)
		client.WriteBinary(data)
		client.Close(1000, "")
		testws.AwaitEnd(t, u)
	})
}

func TestStreamReadDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, stream := streamPair(t, t.Context(), websocket.Options{})
		var b [10]byte
		timesOut := func(wait time.Duration) {
			t.Helper()
			start := time.Now()
			n, err := stream.Read(b[:])
			testws.AssertElapsed(t, start, wait)
			assert.Zero(t, n)
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			var timeout net.Error
			require.ErrorAs(t, err, &timeout)
			assert.True(t, timeout.Timeout())
		}
		require.NoError(t, stream.SetReadDeadline(time.Now().Add(time.Minute)))
		timesOut(time.Minute)
		timesOut(0)
		client.Send(wstest.Binary([]byte("x")))
		synctest.Wait()
		timesOut(0) // although there is data
		require.NoError(t, stream.SetReadDeadline(time.Time{}))
		n, err := stream.Read(b[:])
		require.NoError(t, err)
		assert.Equal(t, "x", string(b[:n]))

		// The deadline of a waiting read is moved, to an earlier time and to a later one.
		require.NoError(t, stream.SetDeadline(time.Now().Add(time.Hour)))
		go func() {
			time.Sleep(time.Second)
			assert.NoError(t, stream.SetDeadline(time.Unix(1, 0)))
		}()
		timesOut(time.Second)
		require.NoError(t, stream.SetReadDeadline(time.Now().Add(2*time.Second)))
		go func() {
			time.Sleep(time.Second)
			assert.NoError(t, stream.SetReadDeadline(time.Now().Add(time.Minute)))
		}()
		timesOut(time.Minute + time.Second)
		require.NoError(t, stream.SetDeadline(time.Time{}))
		client.Send(wstest.Binary([]byte("y")), wstest.Close(1000, ""))
		got, err := io.ReadAll(stream)
		require.NoError(t, err)
		assert.Equal(t, "y", string(got))
		require.NoError(t, stream.SetReadDeadline(time.Unix(1, 0)), "after the end")
		require.NoError(t, stream.Close())
	})
}

func TestStreamWriteDeadlines(t *testing.T) {
	big := make([]byte, 2*wstest.PipeBuffer)
	cases := []struct {
		name string
		set  func(t *testing.T, stream net.Conn) // before the write, which waits
		want time.Duration
		gone bool // the peer counts as gone
	}{
		{name: "none: WriteTimeout", set: func(*testing.T, net.Conn) {}, want: 10 * time.Second, gone: true},
		{name: "taken away again: WriteTimeout", set: func(t *testing.T, stream net.Conn) {
			t.Helper()
			require.NoError(t, stream.SetWriteDeadline(time.Now().Add(time.Minute)))
			require.NoError(t, stream.SetWriteDeadline(time.Time{}))
		}, want: 10 * time.Second, gone: true},
		{name: "shorter than WriteTimeout", set: func(t *testing.T, stream net.Conn) {
			t.Helper()
			require.NoError(t, stream.SetWriteDeadline(time.Now().Add(time.Second)))
		}, want: time.Second},
		{name: "longer than WriteTimeout", set: func(t *testing.T, stream net.Conn) {
			t.Helper()
			require.NoError(t, stream.SetDeadline(time.Now().Add(time.Minute)))
		}, want: time.Minute},
		{name: "set while the write waits", set: func(t *testing.T, stream net.Conn) {
			t.Helper()
			time.AfterFunc(time.Second, func() {
				assert.NoError(t, stream.SetWriteDeadline(time.Now().Add(time.Second)))
			})
		}, want: 2 * time.Second},
		{name: "put off while the write waits", set: func(t *testing.T, stream net.Conn) {
			t.Helper()
			require.NoError(t, stream.SetWriteDeadline(time.Now().Add(2*time.Second)))
			time.AfterFunc(time.Second, func() {
				assert.NoError(t, stream.SetWriteDeadline(time.Now().Add(time.Minute)))
			})
		}, want: 61 * time.Second},
		{name: "into the past while the write waits", set: func(t *testing.T, stream net.Conn) {
			t.Helper()
			require.NoError(t, stream.SetWriteDeadline(time.Now().Add(time.Hour)))
			time.AfterFunc(time.Second, func() { assert.NoError(t, stream.SetDeadline(time.Unix(1, 0))) })
		}, want: time.Second},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, stream := streamPair(t, t.Context(), websocket.Options{})
				c.set(t, stream)
				start := time.Now()
				_, err := stream.Write(big)
				testws.AssertElapsed(t, start, c.want)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				assert.Equal(t, c.gone, websocket.IsDisconnect(err))
				var timeout net.Error
				require.ErrorAs(t, err, &timeout)
				assert.True(t, timeout.Timeout())

				require.NoError(t, stream.SetDeadline(time.Time{}))
				_, err = stream.Write([]byte("x"))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded, "there is no half of a message")
				_, err = stream.Read(make([]byte, 1))
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				require.Error(t, stream.Close(), "no close frame was sent")
				testws.AssertElapsed(t, start, c.want)
			})
		})
	}
}

func TestStreamWritesThatNeverBeganCanBeTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, stream := streamPair(t, t.Context(), websocket.Options{})
		require.NoError(t, stream.SetWriteDeadline(time.Unix(1, 0)))
		for range 2 {
			_, err := stream.Write([]byte("late"))
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		}
		require.NoError(t, stream.SetWriteDeadline(time.Now().Add(time.Second)))
		_, err := stream.Write([]byte("early"))
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, err = stream.Write([]byte("late"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, stream.SetWriteDeadline(time.Now().Add(time.Second)))
		_, err = stream.Write([]byte("in time"))
		require.NoError(t, err)
		require.NoError(t, stream.SetWriteDeadline(time.Time{}))
		time.Sleep(time.Hour)
		_, err = stream.Write([]byte("again"))
		require.NoError(t, err)
		client.Expect(wstest.Binary([]byte("early")), wstest.Binary([]byte("in time")), wstest.Binary([]byte("again")))
	})
}

func TestStreamClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, stream := streamPair(t, t.Context(), websocket.Options{})
		var waiting sync.WaitGroup
		for range 2 {
			waiting.Go(func() {
				_, err := stream.Read(make([]byte, 1))
				assert.ErrorIs(t, err, net.ErrClosed)
			})
		}
		synctest.Wait()
		start := time.Now()
		waiting.Go(func() { assert.NoError(t, stream.Close()) })
		synctest.Wait()
		require.ErrorIs(t, stream.Close(), net.ErrClosed, "at once")
		testws.AssertElapsed(t, start, 0)
		client.ExpectClose(1000, "")
		time.Sleep(time.Second)
		client.Send(wstest.Binary([]byte("too late")), wstest.Close(1000, ""))
		client.ExpectEnd()
		waiting.Wait()
		testws.AssertElapsed(t, start, time.Second)

		_, err := stream.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = stream.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = stream.Read(nil)
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = stream.Write(nil)
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorIs(t, stream.SetDeadline(time.Time{}), net.ErrClosed)
		require.ErrorIs(t, stream.SetReadDeadline(time.Time{}), net.ErrClosed)
		require.ErrorIs(t, stream.SetWriteDeadline(time.Time{}), net.ErrClosed)
	})
}

func TestStreamCloseIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		timeout, want time.Duration
	}{
		"close timeout": {3 * time.Second, 3 * time.Second},
		"no waiting":    {-1, 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, stream := streamPair(t, t.Context(), websocket.Options{CloseTimeout: c.timeout})
				var waiting sync.WaitGroup
				start := time.Now()
				waiting.Go(func() { // fills the network, and waits for the peer
					_, err := stream.Write(make([]byte, 2*wstest.PipeBuffer))
					assert.ErrorIs(t, err, net.ErrClosed)
					testws.AssertElapsed(t, start, c.want)
				})
				synctest.Wait()
				waiting.Go(func() { // waits for the write before it
					_, err := stream.Write([]byte("x"))
					assert.ErrorIs(t, err, net.ErrClosed)
					testws.AssertElapsed(t, start, 0)
				})
				synctest.Wait()
				require.ErrorIs(t, stream.Close(), net.ErrClosed, "no close frame could be sent")
				testws.AssertElapsed(t, start, c.want)
				waiting.Wait()
			})
		})
	}
}

func TestStreamCloseComesAfterAWholeMessage(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789"), wstest.PipeBuffer/5)
	for name, compression := range map[string]bool{"plain": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				closing := make(chan struct{})
				u := websocket.New(testws.OnStream(func(stream net.Conn) error {
					var writing sync.WaitGroup
					defer writing.Wait()
					writing.Go(func() {
						for range 50 {
							if n, err := stream.Write(big); err != nil {
								assert.ErrorIs(t, err, net.ErrClosed)
								assert.Zero(t, n)
								return
							}
						}
					})
					<-closing
					return stream.Close()
				}))
				u.Settings.EnableCompression = compression
				client := wstest.Dial(t, u, "/", &wstest.Options{Compression: compression})
				client.ExpectBinary(big)
				close(closing)
				synctest.Wait()
				for {
					_, p, err := client.ReadMessage()
					if err != nil {
						assert.Equal(t, 1000, websocket.CloseStatus(err), err)
						break
					}
					require.Equal(t, big, p)
				}
				testws.AwaitEnd(t, u)
			})
		})
	}
}

// Both ends wait in a write. Close discards what arrives, so that the peer gets to its reads.
func TestStreamCloseTakesWhatStillArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, stream := streamPair(t, t.Context(), websocket.Options{})
		var waiting sync.WaitGroup
		waiting.Go(func() {
			_, err := stream.Write(make([]byte, 2*wstest.PipeBuffer))
			assert.NoError(t, err)
		})
		waiting.Go(func() {
			for range 10 {
				client.Send(wstest.Binary(make([]byte, wstest.PipeBuffer)))
			}
			client.Expect(wstest.Binary(make([]byte, 2*wstest.PipeBuffer)))
			client.ExpectClose(1000, "")
			client.Send(wstest.Close(1000, ""))
		})
		synctest.Wait()
		start := time.Now()
		require.NoError(t, stream.Close())
		testws.AssertElapsed(t, start, 0)
		waiting.Wait()
	})
}

func TestStreamCloseInAHandlerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{CloseTimeout: time.Second})
		stream := websocket.Stream(t.Context(), conn, websocket.BinaryMessage)
		start := time.Now()
		conn.SetPingHandler(func(string) error {
			assert.NoError(t, stream.Close())
			testws.AssertElapsed(t, start, time.Second)
			return nil
		})
		client.Send(wstest.Ping(""), wstest.Close(1000, ""))
		client.ExpectClose(1000, "")
		client.ExpectEnd()
		synctest.Wait()
	})
}

func TestStreamContext(t *testing.T) {
	errCause := errors.New("the tunnel is not needed any more")
	for name, begin := range map[string]func(stream net.Conn) error{
		"nothing waits": nil,
		"a read waits":  func(stream net.Conn) error { _, err := stream.Read(make([]byte, 1)); return err },
		"a write waits": func(stream net.Conn) error { _, err := stream.Write(make([]byte, 2*wstest.PipeBuffer)); return err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				client, stream := streamPair(t, ctx, websocket.Options{})
				start := time.Now()
				var waiting sync.WaitGroup
				if begin != nil {
					waiting.Go(func() { assert.ErrorIs(t, begin(stream), errCause) })
					synctest.Wait()
				}
				cancel(errCause)
				_, err := stream.Write([]byte("x"))
				require.ErrorIs(t, err, errCause)
				_, err = stream.Read(make([]byte, 1))
				require.ErrorIs(t, err, errCause)
				waiting.Wait()
				require.Error(t, stream.Close(), "no close frame was sent")
				testws.AssertElapsed(t, start, 0)
				rest, err := io.ReadAll(client)
				require.NoError(t, err)
				assert.False(t, bytes.HasPrefix(rest, []byte{0x88}), "the peer must not take it for the end of the data")
			})
		})
	}

	t.Run("over before it begins", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(errCause)
			client, stream := streamPair(t, ctx, websocket.Options{})
			_, err := stream.Read(make([]byte, 1))
			require.ErrorIs(t, err, errCause)
			client.ExpectEnd()
		})
	})
	t.Run("over after the stream", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			client, stream := streamPair(t, ctx, websocket.Options{})
			client.Send(wstest.Close(1000, ""))
			client.ExpectClose(1000, "")
			synctest.Wait()
			cancel(errCause)
			_, err := stream.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
			require.NoError(t, stream.Close())
		})
	})
}

func TestStreamMethodsMayBeCalledAtOnce(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(testws.OnStream(func(stream net.Conn) error {
			var using sync.WaitGroup
			for range 20 {
				using.Go(func() {
					for i := range 20 {
						_, _ = stream.Read(make([]byte, 100))
						_, _ = stream.Write(make([]byte, 100))
						_ = stream.SetReadDeadline(time.Now().Add(time.Millisecond))
						_ = stream.SetWriteDeadline(time.Now().Add(time.Minute))
						_, _ = stream.LocalAddr(), stream.RemoteAddr()
						if i == 19 {
							_ = stream.Close()
						}
					}
				})
			}
			using.Wait()
			return nil
		}))
		u.Logger = testws.Silent
		client := &peerStream{Client: wstest.Dial(t, serve(u), "/", nil)}
		var sending sync.WaitGroup
		sending.Go(func() {
			for {
				if _, err := client.Write(make([]byte, 100)); err != nil {
					return
				}
			}
		})
		_, err := io.Copy(io.Discard, client)
		assert.Equal(t, 1000, websocket.CloseStatus(err), err)
		_ = client.Close()
		sending.Wait()
		testws.AwaitEnd(t, u)
	})
}

func TestStreamCarriesHTTP(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(testws.OnStream(func(stream net.Conn) error {
			done := make(chan struct{})
			l := testws.OneConn{Conns: make(chan net.Conn, 1)}
			l.Conns <- stream
			server := &http.Server{ //nolint:gosec // the client is the test's own
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					assert.NoError(t, err)
					_, err = w.Write(body)
					assert.NoError(t, err)
				}),
				ConnState: func(_ net.Conn, state http.ConnState) {
					if state == http.StateClosed {
						close(l.Conns)
						close(done)
					}
				},
			}
			err := server.Serve(l)
			<-done
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}))
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return &peerStream{Client: wstest.Dial(t, serve(u), "/", nil)}, nil
		}}
		client := http.Client{Transport: transport}
		for i := range 20 {
			body := strings.Repeat(fmt.Sprint(i), 10_000*i)
			response, err := client.Post("http://tunnel.test/", "text/plain", strings.NewReader(body))
			require.NoError(t, err)
			got, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.True(t, body == string(got)) //nolint:testifylint // too long to be printed
		}
		assert.EqualValues(t, 1, u.Stats().Upgrades, "all on one connection")
		transport.CloseIdleConnections()
		testws.AwaitEnd(t, u)
	})
}

func TestStreamCarriesTLS(t *testing.T) {
	pki := httptest.NewTLSServer(nil)
	t.Cleanup(pki.Close)
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(testws.OnStream(func(stream net.Conn) error {
			secure := tls.Server(stream, &tls.Config{Certificates: pki.TLS.Certificates, MinVersion: tls.VersionTLS13})
			if err := secure.Handshake(); !assert.NoError(t, err) {
				return err
			}
			assert.NoError(t, secure.SetReadDeadline(time.Unix(1, 0)))
			_, err := secure.Read(make([]byte, 1))
			assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
			assert.NoError(t, secure.SetReadDeadline(time.Time{}))
			_, err = io.Copy(secure, secure)
			assert.NoError(t, err)
			assert.NoError(t, secure.Close())
			return nil
		}))
		config := pki.Client().Transport.(*http.Transport).TLSClientConfig.Clone() //nolint:errcheck // it is
		config.ServerName = "example.com"
		peer := &peerStream{Client: wstest.Dial(t, serve(u), "/", nil)}
		secure := tls.Client(peer, config)
		data := randomBytes(1 << 20)
		var sending sync.WaitGroup
		sending.Go(func() {
			_, err := secure.Write(data)
			assert.NoError(t, err)
			assert.NoError(t, secure.CloseWrite())
		})
		got, err := io.ReadAll(secure)
		require.NoError(t, err, "TLS itself says goodbye")
		assert.True(t, bytes.Equal(data, got))
		sending.Wait()
		_, err = peer.Read(make([]byte, 1))
		assert.Equal(t, 1000, websocket.CloseStatus(err), err)
		testws.AwaitEnd(t, u)
	})
}

func TestStreamEchoesLines(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(testws.OnStream(echoStream))
		client := &peerStream{Client: wstest.Dial(t, serve(u), "/", nil)}
		lines := bufio.NewReader(client)
		for i := range 100 {
			line := fmt.Sprintln("line", i)
			_, err := io.WriteString(client, line)
			require.NoError(t, err)
			got, err := lines.ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, line, got)
		}
		client.Client.Close(1001, "")
		testws.AwaitEnd(t, u)
	})
}
