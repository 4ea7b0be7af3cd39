package websocket_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

// unwrappingWriter is the writer of careful middleware.
type unwrappingWriter struct{ http.ResponseWriter }

func (w unwrappingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func TestWriterOfAMiddleware(t *testing.T) {
	testws.OnNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
		upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
		client := wstest.Dial(t, serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			upgrader.ServeHTTP(unwrappingWriter{unwrappingWriter{w}}, r)
		})), "/", nil)
		client.WriteText("hello")
		client.ExpectText("hello")
	}, testws.Memory, testws.TCP)
}

func TestHTTP2(t *testing.T) {
	upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
	upgrader.Debug = true
	mux := http.NewServeMux()
	mux.Handle("/plain", upgrader)
	mux.HandleFunc("/translated", func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Connection", "Upgrade") // which HTTP/2 does not have
		r.Header.Set("Upgrade", "websocket")
		upgrader.ServeHTTP(w, r)
	})
	server := httptest.NewUnstartedServer(mux)
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()

	for _, tt := range []struct {
		name, path string
		status     int
		want       string
	}{
		{name: "as a client sends it", path: "/plain", status: http.StatusBadRequest, want: "the request is HTTP/2.0"},
		{name: "with the headers of HTTP/1.1", path: "/translated", status: http.StatusBadRequest, want: "the request is HTTP/2.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+tt.path, http.NoBody)
			require.NoError(t, err)
			request.Header.Set("Sec-Websocket-Version", "13")
			request.Header.Set("Sec-Websocket-Key", base64.StdEncoding.EncodeToString(make([]byte, 16)))
			response, err := server.Client().Do(request)
			require.NoError(t, err)
			defer func() { _ = response.Body.Close() }()
			require.Equal(t, 2, response.ProtoMajor)
			told := testws.ReadReply(t, response)
			assert.Equal(t, tt.status, told.Status)
			assert.Contains(t, told.Body, tt.want)
		})
	}
	testws.RequireIdle(t, upgrader)
}

func TestPanicsBeforeTheUpgrade(t *testing.T) {
	boom := func() { panic("boom") }
	for _, tt := range []struct {
		name   string
		ctrl   websocket.Controller
		change func(r *http.Request)
		down   bool
	}{
		{
			name: "CheckOrigin",
			ctrl: &testws.OriginController{ControllerFunc: testws.Echo, Check: func(*http.Request) bool { boom(); return true }},
		},
		{
			name: "UpgradeHeaders",
			ctrl: &testws.HeaderController{ControllerFunc: testws.Echo, Headers: func(*http.Request) http.Header { boom(); return nil }},
		},
		{
			name: "OnUpgradeError",
			ctrl: &testws.RefusalController{
				HeaderController: testws.HeaderController{ControllerFunc: testws.Echo, Headers: testws.NoHeaders},
				Refuse:           func(http.ResponseWriter, *http.Request, int, error) { boom() },
			},
			change: func(r *http.Request) { r.Header.Del("Upgrade") },
		},
		{
			name: "OnUpgradeError, while the server shuts down",
			ctrl: &testws.RefusalController{
				HeaderController: testws.HeaderController{ControllerFunc: testws.Echo, Headers: testws.NoHeaders},
				Refuse:           func(http.ResponseWriter, *http.Request, int, error) { boom() },
			},
			down: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(tt.ctrl)
			if tt.down {
				testws.RequireIdle(t, upgrader)
			}
			conn := testws.DialHTTP(t, wstest.Serve(t, testws.BesidesAlive(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer func() { http.Error(w, fmt.Sprint("recovered: ", recover()), http.StatusInternalServerError) }()
				upgrader.ServeHTTP(w, r)
			}))))
			response := conn.Do(testws.UpgradeRequest(tt.change))
			require.Equal(t, http.StatusInternalServerError, response.Status)
			require.Equal(t, "recovered: boom\n", response.Body)
			conn.ExpectAlive()
			require.Zero(t, upgrader.Stats().Open)
			require.Zero(t, upgrader.Stats().Upgrades)
			testws.RequireIdle(t, upgrader)
		})
	}
}

func TestEarlyData(t *testing.T) {
	var many []wstest.Frame
	for i := range 1000 {
		many = append(many, wstest.Text(fmt.Sprint("message ", i)))
	}
	for _, tt := range []struct {
		name   string
		frames []wstest.Frame
	}{
		{name: "one frame", frames: []wstest.Frame{wstest.Text("hello")}},
		{name: "two frames", frames: []wstest.Frame{wstest.Text("hello"), wstest.Text("again")}},
		{name: "more than the HTTP server's buffer", frames: many},
		{name: "one frame larger than the HTTP server's buffer", frames: []wstest.Frame{wstest.Binary(bytes.Repeat([]byte("x"), 50_000))}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testws.OnNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
				conn := testws.DialHTTP(t, serve(websocket.New(websocket.ControllerFunc(testws.Echo))))
				all := testws.UpgradeBytes(t)
				for _, frame := range tt.frames {
					all = frame.AppendTo(all)
				}
				conn.Send(all)
				response := conn.Answer(testws.UpgradeRequest(nil))
				require.Equal(t, http.StatusSwitchingProtocols, response.Status)
				conn.ExpectFrames(tt.frames...)

				conn.Send(wstest.Close(websocket.CloseNormalClosure, "").Bytes())
				conn.ExpectFrames(wstest.Close(websocket.CloseNormalClosure, ""))
				_, err := conn.R.ReadByte()
				require.ErrorIs(t, err, io.EOF)
			}, testws.Memory, testws.TCP)
		})
	}
	t.Run("wherever the HTTP server's buffer ends", func(t *testing.T) {
		const buffer = 4096 // bytes of the server's reader
		server := wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo)))
		plain := len(testws.UpgradeBytes(t))
		for size := buffer - 20; size <= buffer+5; size++ {
			var all bytes.Buffer
			require.NoError(t, testws.UpgradeRequest(func(r *http.Request) {
				r.Header.Set("X-Pad", strings.Repeat("x", size-plain-len("X-Pad: \r\n")))
			}).Write(&all))
			require.Equal(t, size, all.Len())
			all.Write(wstest.Text("hello, early bird").Bytes())
			conn := testws.DialHTTP(t, server)
			conn.Send(all.Bytes())
			response := conn.Answer(testws.UpgradeRequest(nil))
			require.Equal(t, http.StatusSwitchingProtocols, response.Status, "%d bytes", size)
			conn.ExpectFrames(wstest.Text("hello, early bird"))
		}
	})
	t.Run("a close frame and nothing else", func(t *testing.T) {
		conn := testws.DialHTTP(t, wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo))))
		conn.Send(append(testws.UpgradeBytes(t), wstest.Close(websocket.CloseGoingAway, "gone").Bytes()...))
		response := conn.Answer(testws.UpgradeRequest(nil))
		require.Equal(t, http.StatusSwitchingProtocols, response.Status)
		conn.ExpectFrames(wstest.Close(websocket.CloseGoingAway, ""))
	})
	t.Run("after a request that is refused: the next request", func(t *testing.T) {
		conn := testws.DialHTTP(t, wstest.Serve(t, testws.BesidesAlive(websocket.New(websocket.ControllerFunc(testws.Echo)))))
		var all bytes.Buffer
		require.NoError(t, testws.UpgradeRequest(func(r *http.Request) { r.Header.Set("Origin", "https://evil.test") }).Write(&all))
		require.NoError(t, testws.UpgradeRequest(nil).Write(&all))
		all.Write(wstest.Text("hello").Bytes())
		conn.Send(all.Bytes())
		response := conn.Answer(testws.UpgradeRequest(nil))
		require.Equal(t, http.StatusForbidden, response.Status)
		response = conn.Answer(testws.UpgradeRequest(nil))
		require.Equal(t, http.StatusSwitchingProtocols, response.Status)
		conn.ExpectFrames(wstest.Text("hello"))
	})
}

func TestHandshakeByteByByte(t *testing.T) {
	testws.OnNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
		conn := testws.DialHTTP(t, serve(websocket.New(websocket.ControllerFunc(testws.Echo))))
		for _, b := range append(testws.UpgradeBytes(t), wstest.Text("hello").Bytes()...) {
			conn.Send([]byte{b})
		}
		response := conn.Answer(testws.UpgradeRequest(nil))
		require.Equal(t, http.StatusSwitchingProtocols, response.Status)
		conn.ExpectFrames(wstest.Text("hello"))
	}, testws.Memory, testws.TCP)
}

// Deadlines that the HTTP server has set before the connection is hijacked have no effect.
func TestTimeoutsOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := wstest.Listen()
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.PingInterval = -1
		server := &http.Server{
			Handler:     u,
			ReadTimeout: 2 * time.Second, WriteTimeout: 3 * time.Second, IdleTimeout: time.Second,
		}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { _ = server.Close() })

		conn := testws.DialHTTP(t, listener)
		require.Equal(t, http.StatusSwitchingProtocols, conn.Do(testws.UpgradeRequest(nil)).Status)
		for range 3 {
			time.Sleep(20 * time.Second)
			conn.Send(wstest.Text("still there?").Bytes())
			conn.ExpectFrames(wstest.Text("still there?"))
		}
	})
}

// unwritableConn is a connection whose peer is gone.
type unwritableConn struct {
	net.Conn
	err error
}

func (c *unwritableConn) Write([]byte) (int, error) { return 0, c.err }

// hijackedWriter is a response writer whose Hijack returns a connection of the test.
type hijackedWriter struct {
	*httptest.ResponseRecorder
	conn net.Conn
}

func (w *hijackedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.conn, bufio.NewReadWriter(bufio.NewReader(w.conn), bufio.NewWriter(w.conn)), nil
}

func TestAnswerThatCannotBeWritten(t *testing.T) {
	var log testws.Logs
	endpoint := websocket.NewEndpoint(websocket.Options{Logger: log.Logger()})
	client, server := wstest.Pipe()
	gone := errors.New("the peer is gone")
	recorder := httptest.NewRecorder()

	conn, err := endpoint.Accept(&hijackedWriter{recorder, &unwritableConn{server, gone}}, testws.UpgradeRequest(nil), websocket.Handshake{
		Refuse: func(int, error) { assert.Fail(t, "there is no HTTP left to refuse with") },
	})
	require.ErrorIs(t, err, gone)
	require.Nil(t, conn)
	require.False(t, recorder.Flushed)
	require.Empty(t, recorder.Body.String())
	_, err = client.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "the socket is closed")
	require.Len(t, log.All(), 1)
	assert.Equal(t, slog.LevelDebug, log.All()[0].Level)
	require.ErrorIs(t, log.All()[0].Err, gone)
	assert.Equal(t, "192.0.2.1:1234", log.All()[0].Attrs["remote"].String())
	require.Zero(t, endpoint.Stats().Open)
	testws.RequireIdle(t, endpoint)
}

// carelessWriter is the writer of middleware whose Hijack returns too little.
type carelessWriter struct {
	*httptest.ResponseRecorder
	conn net.Conn
	rw   *bufio.ReadWriter
}

func (w *carelessWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { return w.conn, w.rw, nil }

func TestCarelessHijack(t *testing.T) {
	reader, writer := bufio.NewReader(strings.NewReader("")), bufio.NewWriter(io.Discard)
	for _, tt := range []struct {
		name         string
		rw           *bufio.ReadWriter
		noConnection bool
	}{
		{name: "no buffers"},
		{name: "nothing to read from", rw: bufio.NewReadWriter(nil, writer)},
		{name: "nothing to write to", rw: bufio.NewReadWriter(reader, nil)},
		{name: "no connection", rw: bufio.NewReadWriter(reader, writer), noConnection: true},
		{name: "nothing at all", noConnection: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client, server := wstest.Pipe()
			defer func() { _ = client.Close() }()
			w := &carelessWriter{ResponseRecorder: httptest.NewRecorder(), conn: server, rw: tt.rw}
			if tt.noConnection {
				w.conn = nil
				_ = server.Close()
			}
			upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
			upgrader.ServeHTTP(w, testws.UpgradeRequest(nil))
			require.Equal(t, http.StatusInternalServerError, w.Code)
			_, err := client.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF, "the socket is closed")
			testws.RequireIdle(t, upgrader)
		})
	}
}

// readingConn is a connection that reads through the buffer that Hijack returns.
type readingConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *readingConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// No byte in the buffers that Hijack returns is lost or read twice, whether or not gorilla
// reads.
func TestBuffersOfTheHijack(t *testing.T) {
	throughGorilla := func(conn *websocket.Conn) (int, []byte, error) {
		messageType, r, err := conn.NextReader()
		if err != nil {
			return -1, nil, err
		}
		p, err := io.ReadAll(r)
		return messageType, p, err
	}
	for _, size := range []int{16, 256, 257, 4096} {
		for name, read := range map[string]func(*websocket.Conn) (int, []byte, error){
			"ReadMessage": (*websocket.Conn).ReadMessage, "NextReader": throughGorilla,
		} {
			for _, reads := range []bool{false, true} {
				t.Run(fmt.Sprint(size, name, reads), func(t *testing.T) {
					client, server := wstest.Pipe()
					reader := bufio.NewReaderSize(server, size)
					early := wstest.Text("early").Bytes()
					_, err := client.Write(early)
					require.NoError(t, err)
					_, err = reader.Peek(len(early))
					require.NoError(t, err)
					w := &carelessWriter{httptest.NewRecorder(), server, bufio.NewReadWriter(reader, bufio.NewWriterSize(server, size))}
					if reads {
						w.conn = &readingConn{server, reader}
					}
					u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
						for {
							messageType, p, err := read(conn)
							if err != nil {
								return err
							}
							if err := conn.WriteMessage(messageType, p); err != nil {
								return err
							}
						}
					}))
					u.ServeHTTP(w, testws.UpgradeRequest(nil))
					_ = client.SetDeadline(time.Now().Add(10 * time.Second))
					answers := bufio.NewReader(client)
					answer, err := http.ReadResponse(answers, nil)
					require.NoError(t, err)
					require.NoError(t, answer.Body.Close())
					require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode)
					_, err = client.Write(wstest.Text("late").Bytes())
					require.NoError(t, err)
					for _, want := range []string{"early", "late"} {
						frame, err := wstest.ReadFrame(answers)
						require.NoError(t, err)
						assert.Equal(t, want, string(frame.Payload))
					}
					_ = client.Close()
					testws.AwaitEnd(t, u)
				})
			}
		}
	}
}

func TestClientHangsUpBeforeTheUpgrade(t *testing.T) {
	testws.OnNetworks(t, func(t *testing.T, serve func(http.Handler) any) {
		var log testws.Logs
		upgrader := websocket.New(&testws.RefusalController{
			HeaderController: testws.HeaderController{Headers: testws.NoHeaders, ControllerFunc: func(*websocket.Conn, *http.Request) error {
				assert.Fail(t, "nobody is there to be served")
				return nil
			}},
			Refuse: func(_ http.ResponseWriter, _ *http.Request, status int, reason error) {
				assert.Fail(t, "refused", "%d: %v", status, reason)
			},
		})
		upgrader.Logger = log.Logger()
		arrived, returned := make(chan struct{}), make(chan struct{})
		conn := testws.DialHTTP(t, serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(returned)
			close(arrived)
			<-r.Context().Done() // the HTTP server has noticed
			upgrader.ServeHTTP(w, r)
		})))
		conn.Send(testws.UpgradeBytes(t))
		<-arrived
		if tcp, ok := conn.Conn.(*net.TCPConn); ok {
			require.NoError(t, tcp.SetLinger(0)) // a reset
			require.NoError(t, tcp.Close())
		} else {
			wstest.Reset(conn.Conn)
		}
		<-returned
		require.Len(t, log.All(), 1)
		assert.Equal(t, slog.LevelDebug, log.All()[0].Level)
		require.Zero(t, upgrader.Stats().Open)
		testws.RequireIdle(t, upgrader)
	}, testws.Memory, testws.TCP)
}

func TestHandshakeTimeout(t *testing.T) {
	for _, tt := range []struct {
		name                           string
		option                         time.Duration
		handshakeTimeout, writeTimeout time.Duration // of the Settings, of the options
		want                           time.Duration
	}{
		{name: "as the option has it", option: 4 * time.Second, want: 4 * time.Second},
		{name: "as the option has it, and not the setting", option: 4 * time.Second, handshakeTimeout: 3 * time.Second, want: 4 * time.Second},
		{name: "switched off by the option", option: -1, handshakeTimeout: 3 * time.Second, want: time.Hour},
		{name: "as it is set", handshakeTimeout: 3 * time.Second, want: 3 * time.Second},
		{name: "longer than a write", handshakeTimeout: time.Minute, writeTimeout: time.Second, want: time.Minute},
		{name: "as long as a write", writeTimeout: 7 * time.Second, want: 7 * time.Second},
		{name: "by default", want: 10 * time.Second},
		{name: "switched off", handshakeTimeout: -1, want: time.Hour},
		{name: "switched off for all writes", writeTimeout: -1, want: time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failed := make(chan error, 1)
				upgrader := websocket.New(&testws.HeaderController{ControllerFunc: testws.Echo, Headers: func(*http.Request) http.Header {
					return http.Header{"X-Long": {strings.Repeat("x", 2*wstest.PipeBuffer)}}
				}})
				upgrader.HandshakeTimeout = tt.option
				upgrader.Settings.HandshakeTimeout = tt.handshakeTimeout
				upgrader.WriteTimeout = tt.writeTimeout
				upgrader.Logger = testws.LogTo(func(line testws.Logged) { failed <- line.Err })
				conn := testws.DialHTTP(t, wstest.Serve(t, upgrader))
				start := time.Now()
				conn.Send(testws.UpgradeBytes(t)) // and nothing is read
				hangUp := time.AfterFunc(time.Hour, func() { _ = conn.Close() })
				defer hangUp.Stop()

				err := <-failed
				require.Equal(t, tt.want, time.Since(start))
				if tt.want < time.Hour {
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
					_, err = io.Copy(io.Discard, conn)
					require.NoError(t, err, "the socket is closed")
				}
				synctest.Wait()
				testws.RequireIdle(t, upgrader)
			})
		})
	}
}

// The deadline of the 101 response does not stay on the connection.
func TestHandshakeTimeoutEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
		upgrader.Settings.HandshakeTimeout = time.Second
		client := wstest.Dial(t, upgrader, "/", nil)
		time.Sleep(20 * time.Second)
		client.WriteText("hello")
		client.ExpectText("hello")
		client.Close(websocket.CloseNormalClosure, "")
	})
}
