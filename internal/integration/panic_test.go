package integration_test

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// aghast is a slog.Handler, an Observer, an Options.Logger and an ErrorHandler, one of
// whose functions panics or calls runtime.Goexit.
type aghast struct {
	function string
	leave    func()

	left  *atomic.Int64 // how often it was
	mu    sync.Mutex
	ended []websocket.Ending
}

func (a *aghast) call(function string) {
	if a.function == function {
		a.left.Add(1)
		a.leave()
	}
}

func (a *aghast) Enabled(context.Context, slog.Level) bool { a.call("Enabled"); return true }

func (a *aghast) Handle(_ context.Context, record slog.Record) error {
	record.Attrs(func(attr slog.Attr) bool {
		if err, ok := attr.Value.Any().(error); ok {
			_ = err.Error()
		}
		return true
	})
	a.call("Handle")
	return nil
}

func (a *aghast) WithAttrs([]slog.Attr) slog.Handler { return a }
func (a *aghast) WithGroup(string) slog.Handler      { return a }

func (a *aghast) observer() *websocket.Observer {
	return &websocket.Observer{UpgradeRefused: a.UpgradeRefused, Opened: a.Opened, Ended: a.Ended}
}

func (a *aghast) UpgradeRefused(*http.Request, int, error) { a.call("UpgradeRefused") }
func (a *aghast) Opened(*websocket.Conn)                   { a.call("Opened") }

func (a *aghast) Ended(_ *websocket.Conn, ending websocket.Ending) {
	a.mu.Lock()
	a.ended = append(a.ended, ending)
	a.mu.Unlock()
	a.call("Ended")
}

// An aghastLogger is the handler of Options.Logger, as distinct from that of the default
// logger.
type aghastLogger struct{ *aghast }

func (a aghastLogger) Enabled(context.Context, slog.Level) bool {
	a.call("Logger, Enabled")
	return true
}

func (a aghastLogger) Handle(context.Context, slog.Record) error {
	a.call("Logger, Handle")
	return nil
}

// An unspeakable is an error whose methods panic.
type unspeakable struct{ aghast *aghast }

func (u unspeakable) Error() string   { u.aghast.call("Error"); return "unspeakable" }
func (u unspeakable) Is(error) bool   { u.aghast.call("Is"); return false }
func (u unspeakable) As(any) bool     { u.aghast.call("As"); return false }
func (u unspeakable) Unwrap() []error { u.aghast.call("Unwrap"); return nil }

// serveLogs makes h the handler of slog's default logger until the end of the test.
func serveLogs(t *testing.T, h slog.Handler) {
	before := slog.Default()
	slog.SetDefault(slog.New(h))
	t.Cleanup(func() { slog.SetDefault(before) })
}

// Whatever a logger, an observer or an error does, the process continues and the connection
// ends as usual: its socket is closed, it no longer counts toward MaxConnections, and the
// observer is notified.
func TestPanickingLoggersAndObservers(t *testing.T) {
	functions := []string{"Enabled", "Handle", "UpgradeRefused", "Opened", "Ended", "Logger, Enabled", "Logger, Handle", "OnError", "Error", "Is", "As", "Unwrap"}
	codes := map[string]int{"nil": 1000, "a breach": 1002} // or else 1011
	leaves := map[string]func(){"panics": func() { panic("aghast") }, "leaves by Goexit": runtime.Goexit}
	serves := map[string]func(a *aghast) func(*websocket.Conn, *http.Request) error{
		"nil": func(*aghast) func(*websocket.Conn, *http.Request) error {
			return func(*websocket.Conn, *http.Request) error { return nil }
		},
		"an error": func(a *aghast) func(*websocket.Conn, *http.Request) error {
			return func(*websocket.Conn, *http.Request) error { return unspeakable{a} }
		},
		"a panic": func(a *aghast) func(*websocket.Conn, *http.Request) error {
			return func(*websocket.Conn, *http.Request) error { panic(unspeakable{a}) }
		},
		"a goroutine's error": func(a *aghast) func(*websocket.Conn, *http.Request) error {
			return func(conn *websocket.Conn, _ *http.Request) error {
				conn.Go(func(context.Context) error { return unspeakable{a} })
				_, _, err := conn.ReadMessage()
				return err
			}
		},
		"a breach": func(*aghast) func(*websocket.Conn, *http.Request) error { return testws.Echo },
	}
	for _, function := range functions {
		for how, leave := range leaves {
			if function == "UpgradeRefused" && how != "panics" {
				continue // that goroutine is net/http's, and left without an answer
			}
			var left atomic.Int64
			for end, serve := range serves {
				t.Run(function+" "+how+"/"+end, func(t *testing.T) {
					testws.OnEveryNetwork(t, func(t *testing.T, network func(http.Handler) any) {
						a := &aghast{function: function, leave: leave, left: &left}
						serveLogs(t, a)
						u := websocket.New(a.controller(serve(a)))
						u.Observer, u.MaxConnections = a.observer(), 1
						if strings.HasPrefix(function, "Logger") {
							u.Logger = slog.New(aghastLogger{a})
						}
						target := network(u)
						wstest.DialRefused(t, target, "/", &wstest.Options{Header: http.Header{"Origin": {"https://evil.test"}}}) //nolint:bodyclose // it is in memory
						want := cmp.Or(codes[end], 1011)
						if function == "Opened" && how != "panics" {
							want = 1011 // Serve is not called
						}
						for range 2 { // there is one place
							client := wstest.DialRaw(t, target, "/", nil)
							if end == "a breach" {
								client.Send(wstest.Text("").Unmasked())
							}
							frame, err := client.Receive()
							require.NoError(t, err)
							assert.Equal(t, want, frame.CloseCode())
							_ = client.Conn.Close()
							testws.AwaitEnd(t, u)
						}
						a.mu.Lock()
						assert.Len(t, a.ended, 2)
						a.mu.Unlock()
						require.NoError(t, u.Shutdown(t.Context()))
					})
				})
			}
			assert.NotZero(t, left.Load(), "%s was called", function)
		}
	}
}

func (a *aghast) controller(serve func(*websocket.Conn, *http.Request) error) websocket.Controller {
	ctrl := &testws.Controller{ServeFunc: serve, ErrorFunc: func(*http.Request, error) { a.call("OnError") }}
	if a.function == "OnError" {
		return ctrl
	}
	return websocket.ControllerFunc(serve) // the log reports it
}

// faultyConn is a connection whose Write can be made to fail.
type faultyConn struct {
	net.Conn
	fault *atomic.Pointer[func()]
}

func (c faultyConn) Write(p []byte) (int, error) {
	if fault := c.fault.Load(); fault != nil {
		(*fault)()
	}
	return c.Conn.Write(p)
}

type faultyListener struct {
	net.Listener
	fault atomic.Pointer[func()]
}

func (l *faultyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return faultyConn{conn, &l.fault}, err
}

// A panic of the net.Conn is reported like any other and ends only the connection: nothing
// is written after half a frame.
func TestPanicOfTheConnection(t *testing.T) {
	for name, write := range map[string]func(conn *websocket.Conn) error{
		"by Flush": func(conn *websocket.Conn) error {
			err := conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "a"), testws.Encode(t, "b"))
			conn.Flush()
			<-conn.Context().Done()
			return err
		},
		"by the end of Serve": func(conn *websocket.Conn) error {
			return conn.Enqueue(websocket.QueueLimit{}, testws.Encode(t, "a"), testws.Encode(t, "b"))
		},
		"by WriteMessage": func(conn *websocket.Conn) error {
			return conn.WriteMessage(websocket.TextMessage, []byte("a"))
		},
		"by a large message": func(conn *websocket.Conn) error {
			return conn.WriteMessage(websocket.TextMessage, make([]byte, 10_000))
		},
		"by a ping": func(conn *websocket.Conn) error {
			_, err := conn.Ping(context.Background())
			return err
		},
		"by the keep-alive": func(conn *websocket.Conn) error {
			_, _, err := conn.ReadMessage()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory := wstest.Listen()
				listener := &faultyListener{Listener: memory}
				ctrl := &testws.Controller{}
				ctrl.ServeFunc = func(conn *websocket.Conn, _ *http.Request) error {
					oh := func() { panic("oh") }
					listener.fault.Store(&oh)
					return write(conn)
				}
				u := websocket.New(ctrl)
				server := &http.Server{Handler: u, ReadHeaderTimeout: time.Minute}
				defer func() { _ = server.Close() }()
				go func() { _ = server.Serve(listener) }()
				client, err := memory.DialContext(t.Context())
				require.NoError(t, err)
				start := time.Now()
				require.Equal(t, http.StatusSwitchingProtocols, testws.UpgradeBare(t, client))
				rest, err := io.ReadAll(client)
				require.NoError(t, err)
				assert.Empty(t, rest)
				if name == "by the keep-alive" {
					start = start.Add(30 * time.Second)
				}
				testws.AssertElapsed(t, start, 0)
				testws.AwaitEnd(t, u)
				require.Len(t, ctrl.Told.All(), 1)
				var p *websocket.PanicError
				require.ErrorAs(t, ctrl.Told.All()[0], &p)
				assert.Equal(t, "oh", p.Value)
			})
		})
	}
}

// If a handler panics within a message, the application may recover and read on: the next read drops
// the rest of that message, and returns the next one, in whatever two parts the bytes come.
func TestHandlerThatPanicsWithinAMessage(t *testing.T) {
	plain := []wstest.Frame{testws.Part(wstest.OpText, false, "hello "), testws.Part(wstest.OpContinuation, true, "world")}
	binary := []wstest.Frame{testws.Part(wstest.OpBinary, false, "hello "), plain[1]}
	deflated := []wstest.Frame{testws.Deflated("hello world"), testws.Deflated("hello world")}
	deflated[0].Fin, deflated[0].Payload = false, deflated[0].Payload[:6]
	deflated[1].Opcode, deflated[1].RSV, deflated[1].Payload = wstest.OpContinuation, 0, deflated[1].Payload[6:]
	reads := map[string]func(conn *websocket.Conn) (int, []byte, error){
		"ReadMessage": (*websocket.Conn).ReadMessage,
		"ReadSlice":   (*websocket.Conn).ReadSlice,
		"skipped":     (*websocket.Conn).ReadMessage,
		"NextReader": func(conn *websocket.Conn) (int, []byte, error) {
			messageType, r, err := conn.NextReader()
			if err != nil {
				return messageType, nil, err
			}
			p, err := io.ReadAll(r)
			return messageType, p, err
		},
	}
	for name, frames := range map[string][]wstest.Frame{"plain": plain, "binary": binary, "compressed": deflated} {
		for method, read := range reads {
			t.Run(name+"/"+method, func(t *testing.T) {
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					conn.SetPingHandler(func(string) error { panic("x") })
					if method == "skipped" {
						_, _, err := conn.NextReader()
						assert.NoError(t, err)
					}
					assert.PanicsWithValue(t, "x", func() { _, _, _ = read(conn) })
					conn.SetPingHandler(nil)
					messageType, p, err := read(conn)
					assert.NoError(t, err)
					assert.Equal(t, websocket.TextMessage, messageType)
					assert.Equal(t, "next", string(p))
					return nil
				}))
				u.Settings.EnableCompression = true
				var all []byte
				for _, frame := range []wstest.Frame{frames[0], wstest.Ping(""), frames[1], wstest.Text("next")} {
					all = frame.AppendTo(all)
				}
				for cut := range all {
					synctest.Test(t, func(t *testing.T) {
						client := wstest.DialRaw(t, u, "/", &wstest.Options{Compression: true})
						client.SendBytes(all[:cut])
						synctest.Wait()
						client.SendBytes(all[cut:])
						client.ExpectClose(1000, "Server closed connection")
					})
				}
			})
		}
	}
}
