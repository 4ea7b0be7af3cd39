package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
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

func hidden(error) error  { return nil }
func failing(error) error { return testws.ErrDatabase }

const silence = slog.Level(-100) // not reported

// TestEndings is the table "how connections end", row by row.
func TestEndings(t *testing.T) {
	closeFrame := func(code int, text string) *wstest.Frame {
		f := wstest.Close(code, text)
		return &f
	}
	cases := []struct {
		name  string
		serve func(conn *websocket.Conn, r *http.Request) error
		send  []wstest.Frame
		hang  bool // the client closes its socket instead

		want   *wstest.Frame // nil: the socket ends without a close frame
		level  slog.Level    // of the report
		is     error         // a target of errors.Is for the reported error
		text   string        // or contains
		dbg    bool
		answer bool // the client answers the close frame
	}{
		// The peer sent a close frame.
		{name: "the peer closes with 1000", serve: testws.ReadLoop(testws.Returned), send: []wstest.Frame{wstest.Close(1000, "bye")}, want: closeFrame(1000, ""), level: silence},
		{name: "the peer closes with 1001", serve: testws.ReadLoop(testws.Wrapped), send: []wstest.Frame{wstest.Close(1001, "")}, want: closeFrame(1001, ""), level: silence},
		{name: "the peer closes with 1002, which is its word and not ours", serve: testws.ReadLoop(testws.Wrapped), send: []wstest.Frame{wstest.Close(1002, "you are wrong")}, want: closeFrame(1002, ""), level: silence},
		{name: "the peer closes with 1014, which gorilla does not know", serve: testws.ReadLoop(testws.Returned), send: []wstest.Frame{wstest.Close(1014, "")}, want: closeFrame(1014, ""), level: silence},
		{name: "the peer closes with 3000", serve: testws.ReadLoop(hidden), send: []wstest.Frame{wstest.Close(3000, "x")}, want: closeFrame(3000, ""), level: silence},
		{name: "the peer closes with 4999", serve: testws.ReadLoop(testws.Returned), send: []wstest.Frame{wstest.Close(4999, "x")}, want: closeFrame(4999, ""), level: silence},
		{name: "the peer closes without a code", serve: testws.ReadLoop(testws.Returned), send: []wstest.Frame{wstest.Close(0, "")}, want: closeFrame(1005, ""), level: silence},
		{name: "the peer closes inside a fragmented message", serve: testws.ReadLoop(testws.Returned), send: []wstest.Frame{{Opcode: wstest.OpText, Masked: true, Payload: []byte("a")}, wstest.Close(1000, "")}, want: closeFrame(1000, ""), level: silence},
		{name: "the peer closes, and Serve fails for a reason of its own", serve: testws.ReadLoop(failing), send: []wstest.Frame{wstest.Close(1000, "")}, want: closeFrame(1000, ""), level: slog.LevelError, is: testws.ErrDatabase},
		{name: "the peer closes, and Serve chooses a code too late", serve: testws.ReadLoop(func(error) error { return websocket.NewCloseError(4000, "") }), send: []wstest.Frame{wstest.Close(1000, "")}, want: closeFrame(1000, ""), level: silence},
		{name: "the peer closes, and Serve panics with what it read", serve: testws.ReadLoop(func(err error) error { panic(err) }), send: []wstest.Frame{wstest.Close(1000, "")}, want: closeFrame(1000, ""), level: slog.LevelError, text: "panic: websocket: close 1000"},
		{name: "the peer closes, and Serve returns the end of its context", serve: testws.ReadLoop(func(error) error { return context.Canceled }), send: []wstest.Frame{wstest.Close(1000, "")}, want: closeFrame(1000, ""), level: silence},

		// Our own Close was called.
		{name: "Close inside Serve", serve: func(conn *websocket.Conn, _ *http.Request) error {
			return conn.Close(4001, "enough")
		}, answer: true, want: closeFrame(4001, "enough"), level: silence},
		{name: "Close, then what a write returns", serve: func(conn *websocket.Conn, _ *http.Request) error {
			_ = conn.Close(4001, "enough")
			return testws.Wrapped(conn.WriteMessage(websocket.TextMessage, nil))
		}, answer: true, want: closeFrame(4001, "enough"), level: silence},
		{name: "Close, then another failure", serve: func(conn *websocket.Conn, _ *http.Request) error {
			_ = conn.Close(4001, "enough")
			return testws.ErrDatabase
		}, answer: true, want: closeFrame(4001, "enough"), level: slog.LevelError, is: testws.ErrDatabase},
		{name: "Close, then a panic", serve: func(conn *websocket.Conn, _ *http.Request) error {
			_ = conn.Close(4001, "enough")
			panic(testws.ErrDatabase)
		}, answer: true, want: closeFrame(4001, "enough"), level: slog.LevelError, is: testws.ErrDatabase},
		{name: "CloseNormal", serve: func(conn *websocket.Conn, _ *http.Request) error {
			return conn.CloseNormal()
		}, answer: true, want: closeFrame(1000, "Server closed connection"), level: silence},
		{name: "CloseWithError", serve: func(conn *websocket.Conn, _ *http.Request) error {
			return conn.CloseWithError(testws.ErrDatabase)
		}, answer: true, want: closeFrame(1011, "Internal Server Error"), level: silence},
		{name: "CloseWithError with Debug", dbg: true, serve: func(conn *websocket.Conn, _ *http.Request) error {
			return conn.CloseWithError(testws.ErrDatabase)
		}, answer: true, want: closeFrame(1011, "database is away"), level: silence},
		{name: "a CloseMessage written by Serve", serve: func(conn *websocket.Conn, _ *http.Request) error {
			_ = conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4002, "mine"))
			return testws.ReadLoop(testws.Wrapped)(conn, nil)
		}, answer: true, want: closeFrame(4002, "mine"), level: silence},
		{name: "a CloseMessage written by Serve, which returns at once", serve: func(conn *websocket.Conn, _ *http.Request) error {
			return conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4002, "mine"), time.Time{})
		}, answer: true, want: closeFrame(4002, "mine"), level: silence},
		{name: "CloseNow", serve: func(conn *websocket.Conn, _ *http.Request) error {
			_ = conn.CloseNow()
			return testws.ReadLoop(testws.Wrapped)(conn, nil)
		}, level: silence},
		{name: "the socket closed by way of NetConn", serve: func(conn *websocket.Conn, _ *http.Request) error {
			_ = conn.NetConn().Close()
			return testws.ReadLoop(testws.Wrapped)(conn, nil)
		}, level: silence},
		{name: "the embedded connection closed", serve: func(conn *websocket.Conn, _ *http.Request) error {
			_ = conn.Conn.Close()
			return testws.ReadLoop(testws.Wrapped)(conn, nil)
		}, level: silence},

		// The peer violates the protocol.
		{name: "a reserved opcode", serve: testws.ReadLoop(testws.Returned), send: []wstest.Frame{{Fin: true, Opcode: 3, Masked: true}}, answer: true, want: closeFrame(1002, "reserved opcode"), level: slog.LevelWarn, text: "reserved opcode"},
		{name: "a reserved opcode, told in Serve's words", serve: testws.ReadLoop(testws.Wrapped), send: []wstest.Frame{{Fin: true, Opcode: 3, Masked: true}}, answer: true, want: closeFrame(1002, "reserved opcode"), level: slog.LevelWarn, text: "reading a command: websocket: protocol error: reserved opcode"},
		{name: "a reserved opcode that Serve keeps to itself", serve: testws.ReadLoop(hidden), send: []wstest.Frame{{Fin: true, Opcode: 3, Masked: true}}, answer: true, want: closeFrame(1002, "reserved opcode"), level: slog.LevelWarn, text: "websocket: protocol error: reserved opcode"},
		{name: "a reserved opcode, and a failure of Serve's own", serve: testws.ReadLoop(failing), send: []wstest.Frame{{Fin: true, Opcode: 3, Masked: true}}, answer: true, want: closeFrame(1002, "reserved opcode"), level: slog.LevelError, is: testws.ErrDatabase},
		{name: "a close reason that is not UTF-8", serve: testws.ReadLoop(testws.Returned), send: []wstest.Frame{wstest.Close(1000, "\xff")}, answer: true, want: closeFrame(1007, "close reason is not UTF-8"), level: slog.LevelWarn, text: "not UTF-8"},
		{name: "a message over the limit", serve: func(conn *websocket.Conn, r *http.Request) error {
			conn.SetReadLimit(4)
			return testws.ReadLoop(testws.Returned)(conn, r)
		}, send: []wstest.Frame{wstest.Text("12345")}, answer: true, want: closeFrame(1009, "message too big"), level: slog.LevelWarn, is: websocket.ErrReadLimit},
		{name: "a breach, then Close", serve: testws.ReadLoop(func(err error) error { return err }), send: []wstest.Frame{wstest.Ping(strings.Repeat("x", 126))}, answer: true, want: closeFrame(1002, "control frame is longer than 125 bytes"), level: slog.LevelWarn, text: "125"},

		// The peer vanished.
		{name: "the peer hangs up", serve: testws.ReadLoop(testws.Wrapped), hang: true, level: slog.LevelDebug, text: "reading a command: websocket: close 1006"},
		{name: "the peer hangs up and Serve does not care", serve: testws.ReadLoop(hidden), hang: true, level: slog.LevelDebug, text: "1006"},
		{name: "the peer hangs up, and Serve fails for a reason of its own", serve: testws.ReadLoop(failing), hang: true, level: slog.LevelError, is: testws.ErrDatabase},

		// Serve decides.
		{name: "Serve returns nil", serve: func(*websocket.Conn, *http.Request) error { return nil }, answer: true, want: closeFrame(1000, "Server closed connection"), level: silence},
		{name: "Serve chooses", serve: func(*websocket.Conn, *http.Request) error {
			return fmt.Errorf("kicked: %w", websocket.NewCloseError(4003, "kicked"))
		}, answer: true, want: closeFrame(4003, "kicked"), level: silence},
		{name: "Serve chooses an empty frame", serve: func(*websocket.Conn, *http.Request) error {
			return websocket.NewCloseError(1005, "not sent")
		}, answer: true, want: closeFrame(1005, ""), level: silence},
		{name: "Serve chooses a long text", serve: func(*websocket.Conn, *http.Request) error {
			return websocket.NewCloseError(4003, strings.Repeat("é", 100))
		}, answer: true, want: closeFrame(4003, strings.Repeat("é", 61)), level: silence},
		{name: "Serve chooses a code that may not be sent", serve: func(*websocket.Conn, *http.Request) error {
			return websocket.NewCloseError(1006, "")
		}, answer: true, want: closeFrame(1011, "Internal Server Error"), level: slog.LevelError, text: "1006"},
		{name: "Serve returns that the queue is full", serve: func(conn *websocket.Conn, _ *http.Request) error {
			return testws.Wrapped(conn.Enqueue(websocket.QueueLimit{Bytes: 8}, testws.Encode(t, "hello"), testws.Encode(t, "hello")))
		}, answer: true, want: closeFrame(1013, "too slow"), level: silence},
		{name: "Serve returns that a message is too long for the queue", serve: func(conn *websocket.Conn, _ *http.Request) error {
			err := conn.Enqueue(websocket.QueueLimit{Bytes: 6}, testws.Encode(t, "a"), testws.Encode(t, "hello"))
			assert.ErrorIs(t, err, websocket.ErrQueueFull)
			return testws.Wrapped(err)
		}, answer: true, want: closeFrame(1009, "message too big"), level: silence},
		{name: "Serve returns that the queue is full, and something else", serve: func(*websocket.Conn, *http.Request) error {
			return errors.Join(testws.ErrDatabase, websocket.ErrQueueFull)
		}, answer: true, want: closeFrame(1013, "too slow"), level: silence},
		{name: "Serve returns that another server shuts down", serve: func(*websocket.Conn, *http.Request) error {
			return testws.Wrapped(websocket.ErrShutdown)
		}, answer: true, want: closeFrame(1001, "Server shutting down"), level: silence},
		{name: "Close, then that the queue is full", serve: func(conn *websocket.Conn, _ *http.Request) error {
			_ = conn.Close(4001, "enough")
			return testws.Wrapped(websocket.ErrQueueFull)
		}, answer: true, want: closeFrame(4001, "enough"), level: silence},
		{name: "Serve panics because the queue is full", serve: func(*websocket.Conn, *http.Request) error {
			panic(websocket.ErrQueueFull)
		}, answer: true, want: closeFrame(1011, "Internal Server Error"), level: slog.LevelError, is: websocket.ErrQueueFull},
		{name: "Serve fails", serve: func(*websocket.Conn, *http.Request) error { return testws.ErrDatabase }, answer: true, want: closeFrame(1011, "Internal Server Error"), level: slog.LevelError, is: testws.ErrDatabase},
		{name: "Serve fails, with Debug", dbg: true, serve: func(*websocket.Conn, *http.Request) error {
			return fmt.Errorf("%s: %w", strings.Repeat("é", 70), testws.ErrDatabase)
		}, answer: true, want: closeFrame(1011, strings.Repeat("é", 61)), level: slog.LevelError, is: testws.ErrDatabase},
		{name: "Serve panics", serve: func(*websocket.Conn, *http.Request) error { panic("oh") }, answer: true, want: closeFrame(1011, "Internal Server Error"), level: slog.LevelError, text: "panic: oh"},
		{name: "Serve panics with nil", serve: func(*websocket.Conn, *http.Request) error {
			panic(nil) //nolint:govet // meant
		}, answer: true, want: closeFrame(1011, "Internal Server Error"), level: slog.LevelError, text: "panic"},
		{name: "Serve panics as net/http's handlers may", serve: func(*websocket.Conn, *http.Request) error { panic(http.ErrAbortHandler) }, answer: true, want: closeFrame(1011, "Internal Server Error"), level: slog.LevelError, is: http.ErrAbortHandler},
		{name: "Serve leaves by Goexit", serve: func(*websocket.Conn, *http.Request) error {
			runtime.Goexit()
			return nil
		}, answer: true, want: closeFrame(1011, "Internal Server Error"), level: slog.LevelError, text: "runtime.Goexit"},
		{name: "a read deadline of Serve's own", serve: func(conn *websocket.Conn, r *http.Request) error {
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
			return testws.ReadLoop(testws.Wrapped)(conn, r)
		}, answer: true, want: closeFrame(1011, "Internal Server Error"), level: slog.LevelError, is: os.ErrDeadlineExceeded},
		{name: "a context of Serve's own", serve: func(conn *websocket.Conn, r *http.Request) error {
			ctx, cancel := context.WithTimeout(r.Context(), 10*time.Millisecond)
			defer cancel()
			_, _, err := conn.ReadMessageContext(ctx)
			return testws.Wrapped(err)
		}, answer: true, want: closeFrame(1011, "Internal Server Error"), level: slog.LevelError, is: context.DeadlineExceeded},
		{name: "a handler's error", serve: func(conn *websocket.Conn, r *http.Request) error {
			conn.SetPingHandler(func(string) error { return testws.ErrDatabase })
			return testws.ReadLoop(testws.Wrapped)(conn, r)
		}, send: []wstest.Frame{wstest.Ping("")}, answer: true, want: closeFrame(1011, "Internal Server Error"), level: slog.LevelError, is: testws.ErrDatabase},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				var log testws.Logs
				ctrl := &testws.Controller{ServeFunc: c.serve}
				for _, handler := range []websocket.Controller{ctrl, websocket.ControllerFunc(c.serve)} {
					u := websocket.New(handler)
					u.Debug = c.dbg
					u.Logger = log.Logger()
					client := wstest.DialRaw(t, serve(u), "/", nil)
					if len(c.send) > 0 {
						client.Send(c.send...)
					}
					if c.hang {
						require.NoError(t, client.Close())
					} else {
						if c.want != nil {
							client.ExpectClose(c.want.CloseCode(), c.want.CloseReason())
						}
						if c.answer {
							client.Send(wstest.Close(c.want.CloseCode(), ""))
						}
						client.ExpectEnd()
						require.NoError(t, client.Close())
					}
					testws.AwaitEnd(t, u)
				}

				told := ctrl.Told.All()
				if c.level == silence {
					assert.Empty(t, told)
					for _, line := range log.All() {
						assert.Equal(t, slog.LevelDebug, line.Level, line.Err)
					}
					return
				}
				require.Len(t, told, 1, "OnError")
				lines := log.All()
				require.NotEmpty(t, lines, "log")
				line := lines[len(lines)-1] // without OnError
				assert.Equal(t, c.level, line.Level)
				assert.NotEmpty(t, line.Attrs["remote"].String())
				assert.Contains(t, line.Attrs, "duration")
				for _, err := range []error{told[0], line.Err} {
					if c.is != nil {
						assert.ErrorIs(t, err, c.is)
					}
					assert.ErrorContains(t, err, c.text)
				}
			})
		})
	}
}

func TestResetIsADisconnect(t *testing.T) {
	ctrl := &testws.Controller{ServeFunc: testws.ReadLoop(testws.Wrapped)}
	u := websocket.New(ctrl)
	client := wstest.DialRaw(t, u, "/", nil)
	wstest.Reset(client.Conn)
	testws.AwaitEnd(t, u)
	require.Len(t, ctrl.Told.All(), 1)
	assert.True(t, websocket.IsDisconnect(ctrl.Told.All()[0]))
}

func TestPanicKeepsItsStack(t *testing.T) {
	ctrl := &testws.Controller{ServeFunc: func(*websocket.Conn, *http.Request) error { panic(testws.ErrDatabase) }}
	u := websocket.New(ctrl)
	client := wstest.DialRaw(t, u, "/", nil)
	client.ExpectClose(1011, "Internal Server Error")
	require.NoError(t, client.Close())
	testws.AwaitEnd(t, u)

	var p *websocket.PanicError
	require.ErrorAs(t, ctrl.Told.All()[0], &p)
	assert.Equal(t, testws.ErrDatabase, p.Value)
	assert.Contains(t, string(p.Stack), "TestPanicKeepsItsStack")
}

func TestOnErrorMayWriteBeforeTheCloseFrame(t *testing.T) {
	ctrl := &testws.Controller{
		ServeFunc: func(*websocket.Conn, *http.Request) error { return testws.ErrDatabase },
		ErrorFunc: func(r *http.Request, err error) {
			conn, ok := websocket.FromContext(r.Context())
			if assert.True(t, ok) {
				assert.NoError(t, conn.WriteMessage(websocket.TextMessage, []byte(err.Error())))
			}
		},
	}
	client := wstest.Dial(t, websocket.New(ctrl), "/", nil)
	client.ExpectText("database is away")
	client.ExpectClose(1011, "Internal Server Error")
}

func TestOnErrorMayFail(t *testing.T) {
	for name, fail := range map[string]func(){
		"by panic":  func() { panic("in OnError") },
		"by Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			var log testws.Logs
			u := websocket.New(&testws.Controller{
				ServeFunc: func(*websocket.Conn, *http.Request) error { return testws.ErrDatabase },
				ErrorFunc: func(*http.Request, error) { fail() },
			})
			u.Logger = log.Logger()
			client := wstest.Dial(t, u, "/", nil)
			client.ExpectClose(1011, "Internal Server Error")
			_ = client.Conn.Close()
			testws.AwaitEnd(t, u)
			lines := log.All()
			require.Len(t, lines, 1)
			assert.Equal(t, slog.LevelError, lines[0].Level)
			assert.ErrorContains(t, lines[0].Err, "OnError failed")
			assert.Contains(t, lines[0].Attrs["stack"].String(), "TestOnErrorMayFail")
		})
	}
}

func TestLogMayPanic(t *testing.T) {
	u := websocket.New(websocket.ControllerFunc(func(*websocket.Conn, *http.Request) error { return testws.ErrDatabase }))
	u.Logger = testws.LogTo(func(testws.Logged) { panic("in the logger") })
	var lines testws.Logs // of the default logger
	before := slog.Default()
	slog.SetDefault(lines.Logger())
	defer slog.SetDefault(before)
	client := wstest.Dial(t, u, "/", nil)
	client.ExpectClose(1011, "Internal Server Error")
	_ = client.Conn.Close()
	testws.AwaitEnd(t, u)
	told := slices.DeleteFunc(slices.Clone(lines.All()), func(line testws.Logged) bool {
		return line.Message != "websocket: logger failed" // connections of other tests may still end
	})
	require.Len(t, told, 1)
	line := told[0]
	assert.Equal(t, slog.LevelError, line.Level)
	assert.Equal(t, "in the logger", line.Attrs["panic"].String())
	assert.Contains(t, line.Attrs["stack"].String(), "TestLogMayPanic")
	assert.Equal(t, "websocket: connection failed", line.Attrs["message"].String())
}

// Messages are constant and name the kind of the line; the error is an attribute.
func TestMessagesOfTheLog(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve websocket.ControllerFunc
		end   func(client *wstest.Raw)
		level slog.Level
		want  string
		err   string
	}{
		{name: "Serve fails", end: func(client *wstest.Raw) { client.Send(wstest.Text("oh")) }, level: slog.LevelError, want: "websocket: connection failed", err: "said oh"},
		{name: "the peer breaks the protocol", end: func(client *wstest.Raw) { client.Send(wstest.Text("").Unmasked()) }, level: slog.LevelWarn, want: "websocket: peer broke the protocol", err: "mask"},
		{name: "the peer vanishes", end: func(client *wstest.Raw) { _ = client.Conn.Close() }, level: slog.LevelDebug, want: "websocket: peer vanished", err: "1006"},
		{name: "the peer says goodbye", end: func(client *wstest.Raw) { client.Send(wstest.Close(1000, "")) }, level: slog.LevelDebug, want: "websocket: connection ended", err: "1000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var lines testws.Logs
			u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
				_, message, err := conn.ReadMessage()
				if err == nil {
					err = errors.New("it said " + string(message))
				}
				return err
			}))
			u.Logger = lines.Logger()
			client := wstest.DialRaw(t, u, "/", nil)
			tt.end(client)
			_ = client.Conn.Close()
			testws.AwaitEnd(t, u)
			require.Len(t, lines.All(), 1)
			line := lines.All()[0]
			assert.Equal(t, tt.level, line.Level)
			assert.Equal(t, tt.want, line.Message)
			require.ErrorContains(t, line.Err, tt.err)
			assert.Contains(t, line.Attrs, "remote")
			assert.Contains(t, line.Attrs, "duration")
		})
	}
}

func TestContextTellsWhyTheConnectionEnded(t *testing.T) {
	causes := make(chan error, 1)
	wait := func(conn *websocket.Conn, r *http.Request) error {
		conn.Go(func(ctx context.Context) error {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return nil
		})
		return testws.Echo(conn, r)
	}
	dial := func(t *testing.T) (*websocket.Upgrader, *wstest.Raw) {
		u := websocket.New(websocket.ControllerFunc(wait))
		u.Logger = testws.Silent
		client := wstest.DialRaw(t, u, "/", nil)
		client.Send(wstest.Text("served?"))
		client.Expect(wstest.Text("served?"))
		return u, client
	}
	t.Run("close frame", func(t *testing.T) {
		u, client := dial(t)
		client.Send(wstest.Close(4000, "why"))
		assert.Equal(t, &websocket.CloseError{Code: 4000, Text: "why"}, <-causes)
		testws.AwaitEnd(t, u)
	})
	t.Run("shutdown", func(t *testing.T) {
		u, client := dial(t)
		done := make(chan error)
		go func() { done <- u.Shutdown(t.Context()) }()
		assert.Equal(t, websocket.ErrShutdown, <-causes)
		client.ExpectClose(1001, "Server shutting down")
		client.Send(wstest.Close(1001, ""))
		assert.NoError(t, <-done)
	})
	t.Run("reset", func(t *testing.T) {
		u, client := dial(t)
		wstest.Reset(client.Conn)
		assert.True(t, websocket.IsDisconnect(<-causes))
		testws.AwaitEnd(t, u)
	})
	t.Run("CloseNow", func(t *testing.T) {
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			_ = conn.CloseNow()
			causes <- context.Cause(conn.Context())
			return nil
		}))
		_ = wstest.DialRaw(t, u, "/", nil)
		assert.ErrorIs(t, <-causes, net.ErrClosed)
		testws.AwaitEnd(t, u)
	})
}

type ownError struct{ details any }

func (e *ownError) Error() string { return fmt.Sprint(e.details) }

type uncomparable struct{ details []string }

func (e uncomparable) Error() string { return e.details[0] }

// Serve returns errors whose methods panic.
func TestErrorsThatPanic(t *testing.T) {
	for name, err := range map[string]error{
		"a nil *CloseError":       (*websocket.CloseError)(nil),
		"a nil pointer":           (*ownError)(nil),
		"one that can't compared": uncomparable{[]string{"x"}},
		"one whose method panics": uncomparable{},
	} {
		for _, debug := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, debug %t", name, debug), func(t *testing.T) {
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					conn.Go(func(context.Context) error { return err })
					<-conn.Context().Done()
					return err
				}))
				u.Debug = debug
				client := wstest.DialRaw(t, u, "/", nil)
				got, receiveErr := client.Receive()
				require.NoError(t, receiveErr)
				assert.Equal(t, 1011, got.CloseCode())
				_ = client.Close()
				testws.AwaitEnd(t, u)
			})
		}
		t.Run(name+", told", func(t *testing.T) {
			ctrl := &testws.Controller{ServeFunc: func(*websocket.Conn, *http.Request) error { return err }}
			u := websocket.New(ctrl)
			client := wstest.DialRaw(t, u, "/", nil)
			client.ExpectClose(1011, "Internal Server Error")
			_ = client.Close()
			testws.AwaitEnd(t, u)
			assert.Len(t, ctrl.Told.All(), 1)
		})
	}
}

func TestPanicOfTheCloseHandler(t *testing.T) {
	ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, r *http.Request) error {
		conn.SetCloseHandler(func(int, string) error { panic("x") })
		return testws.Echo(conn, r)
	}}
	u := websocket.New(ctrl)
	client := wstest.DialRaw(t, u, "/", nil)
	client.Send(wstest.Close(3000, "bye"))
	client.ExpectClose(3000, "")
	client.ExpectEnd()
	testws.AwaitEnd(t, u)
	assert.Len(t, ctrl.Told.All(), 1)
}

// A function of the connection fails as a consequence of its end and returns before Serve,
// which returns the reason.
func TestConsequencesHideNoReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctrl := &testws.Controller{ServeFunc: func(conn *websocket.Conn, _ *http.Request) error {
			conn.Go(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, _, err := conn.ReadMessageContext(ctx)
			time.Sleep(time.Millisecond)
			return testws.Wrapped(err)
		}}
		client := wstest.DialRaw(t, websocket.New(ctrl), "/", nil)
		client.ExpectClose(1011, "Internal Server Error")
		require.Len(t, ctrl.Told.All(), 1)
		require.ErrorIs(t, ctrl.Told.All()[0], context.DeadlineExceeded)
		require.NotErrorIs(t, ctrl.Told.All()[0], context.Canceled)
	})
}
