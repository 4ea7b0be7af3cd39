package websocket_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/auth"
	"goyave.dev/goyave/v5/log"
	"goyave.dev/goyave/v5/middleware/parse"
	errorutil "goyave.dev/goyave/v5/util/errors"
	v "goyave.dev/goyave/v5/validation"
)

// These tests check each sentence of the documentation of goyave.dev/goyave/v5/websocket: its doc
// comments, then Goyave's manual. Brackets in a quoted sentence contain a difference.

const internalError = "Internal Server Error"

// full implements all the optional interfaces.
type full struct {
	plain
	headers        func(request *goyave.Request) http.Header
	checkOrigin    func(request *goyave.Request) bool
	onUpgradeError func(response *goyave.Response, request *goyave.Request, status int, reason error)
	onError        func(request *goyave.Request, err error)
	registerRoute  func(router *goyave.Router, handler goyave.Handler)
}

func (ctrl *full) UpgradeHeaders(request *goyave.Request) http.Header { return ctrl.headers(request) }
func (ctrl *full) CheckOrigin(request *goyave.Request) bool           { return ctrl.checkOrigin(request) }
func (ctrl *full) OnError(request *goyave.Request, err error)         { ctrl.onError(request, err) }
func (ctrl *full) RegisterRoute(router *goyave.Router, handler goyave.Handler) {
	ctrl.registerRoute(router, handler)
}

func (ctrl *full) OnUpgradeError(response *goyave.Response, request *goyave.Request, status int, reason error) {
	ctrl.onUpgradeError(response, request, status, reason)
}

// closing serves one connection with serve. It returns the client's raw end and the result of the
// call that serve made.
func closing(t *testing.T, call func(conn *websocket.Conn) error, settings ...setting) (client *wstest.Raw, result <-chan error) {
	t.Helper()
	results := make(chan error, 1)
	a := start(t, at("/ws", &plain{serve: func(conn *websocket.Conn, _ *goyave.Request) error {
		results <- call(conn)
		return nil
	}}), settings...)
	return wstest.DialRaw(t, a.url, "/ws", &wstest.Options{Timeout: patience}), results
}

func TestOriginalConn(t *testing.T) {
	t.Run("Conn represents a WebSocket connection: gorilla's, with all its methods", func(t *testing.T) {
		client, result := closing(t, func(conn *websocket.Conn) error {
			assert.IsType(t, (*ws.Conn)(nil), conn.Conn)
			messageType, message, err := conn.ReadMessage()
			if err != nil {
				return err
			}
			writer, err := conn.NextWriter(messageType)
			if err != nil {
				return err
			}
			if _, err := writer.Write(message); err != nil {
				return err
			}
			return writer.Close()
		})
		client.Send(wstest.Text("hello"))
		client.Expect(wstest.Text("hello"))
		require.NoError(t, receive(t, result))
		client.ExpectClose(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
		client.Send(wstest.Close(websocket.CloseNormalClosure, ""))
		client.ExpectEnd()
	})

	t.Run("SetCloseHandshakeTimeout set the timeout used when writing and reading close frames during the close handshake. GetCloseHandshakeTimeout return the timeout", func(t *testing.T) {
		client, result := closing(t, func(conn *websocket.Conn) error {
			assert.Equal(t, 3*time.Second, conn.GetCloseHandshakeTimeout(), "server.websocketCloseTimeout")
			conn.SetCloseHandshakeTimeout(time.Millisecond)
			assert.Equal(t, time.Millisecond, conn.GetCloseHandshakeTimeout())
			return conn.CloseNormal() // the client does not answer
		}, setting{"server.websocketCloseTimeout", 3})
		require.NoError(t, receive(t, result))
		client.ExpectClose(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
		client.ExpectEnd()
	})

	t.Run("CloseNormal performs the closing handshake. Sends status code 1000 (normal closure) and message \"Server closed connection\"", func(t *testing.T) {
		client, result := closing(t, (*websocket.Conn).CloseNormal)
		client.ExpectClose(1000, "Server closed connection")
		client.Send(wstest.Close(1000, ""))
		client.ExpectEnd()
		require.NoError(t, receive(t, result))
	})

	t.Run("This function expects another goroutine to be reading the connection, expecting the close frame in response", func(t *testing.T) {
		client, result := closing(t, func(conn *websocket.Conn) error {
			closed := make(chan error, 1)
			go func() { closed <- conn.CloseNormal() }()
			_, _, err := conn.ReadMessage()
			assert.Equal(t, 1000, websocket.CloseStatus(err), "%v", err)
			return <-closed
		})
		client.ExpectClose(1000, "Server closed connection")
		client.Send(wstest.Close(1000, ""))
		client.ExpectEnd()
		require.NoError(t, receive(t, result))
	})

	t.Run("This waiting can time out. If so, Close will just close the connection", func(t *testing.T) {
		for name, call := range map[string]func(conn *websocket.Conn) error{
			"CloseNormal":    (*websocket.Conn).CloseNormal,
			"CloseWithError": func(conn *websocket.Conn) error { return conn.CloseWithError(errors.New("x")) },
			"Close":          func(conn *websocket.Conn) error { return conn.Close(4000, "x") },
		} {
			t.Run(name, func(t *testing.T) {
				client, result := closing(t, call, setting{"server.websocketCloseTimeout", 1})
				frame, err := client.Receive()
				require.NoError(t, err)
				assert.Equal(t, wstest.OpClose, frame.Opcode)
				client.ExpectEnd()
				require.NoError(t, receive(t, result))
			})
		}
	})

	t.Run("Calling this function multiple times is safe and only the first call will write the close frame to the connection", func(t *testing.T) {
		client, result := closing(t, func(conn *websocket.Conn) error {
			var calls sync.WaitGroup
			for range 10 {
				calls.Go(func() { assert.NoError(t, conn.CloseNormal()) })
			}
			calls.Wait()
			return errors.Join(conn.CloseNormal(), conn.Close(4000, "second"), conn.CloseWithError(errors.New("third")))
		})
		client.ExpectClose(1000, "Server closed connection")
		client.Send(wstest.Close(1000, ""))
		client.ExpectEnd()
		require.NoError(t, receive(t, result))
	})

	t.Run("CloseWithError performs the closing handshake because a server error occurred. Sends status code 1011 (internal server error) and message \"Internal server error\"", func(t *testing.T) {
		client, result := closing(t, func(conn *websocket.Conn) error { return conn.CloseWithError(errors.New("secret")) })
		client.ExpectClose(1011, internalError)
		client.Send(wstest.Close(1011, ""))
		client.ExpectEnd()
		require.NoError(t, receive(t, result))
	})

	t.Run("[It is] safe to call this function if there is already an active reader", func(t *testing.T) {
		client, result := closing(t, func(conn *websocket.Conn) error {
			closed := make(chan error, 1)
			go func() { closed <- conn.CloseWithError(nil) }()
			_, _, err := conn.ReadMessage()
			assert.Equal(t, 1011, websocket.CloseStatus(err), "%v", err)
			return <-closed
		})
		client.ExpectClose(1011, internalError)
		client.Send(wstest.Close(1011, ""))
		client.ExpectEnd()
		require.NoError(t, receive(t, result))
	})

	t.Run("Close performs the closing handshake as specified by RFC 6455 Section 1.4", func(t *testing.T) {
		client, result := closing(t, func(conn *websocket.Conn) error { return conn.Close(4321, "see you") })
		client.ExpectClose(4321, "see you")
		client.Send(wstest.Close(4321, ""))
		client.ExpectEnd()
		require.NoError(t, receive(t, result))
	})
}

func TestOriginalController(t *testing.T) {
	t.Run("The request parameter contains the original upgraded HTTP request", func(t *testing.T) {
		headers := make(chan http.Header, 1)
		a := start(t, at("/ws", &plain{serve: func(_ *websocket.Conn, request *goyave.Request) error {
			assert.Equal(t, "/ws?a=b", request.Request().RequestURI)
			headers <- request.Header()
			return nil
		}}))
		a.dialWith("/ws?a=b", http.Header{"X-Test": {"yes"}}).ExpectClose(1000, websocket.NormalClosureMessage)
		header := receive(t, headers)
		assert.Equal(t, "yes", header.Get("X-Test"))
		assert.Equal(t, "websocket", header.Get("Upgrade"))
	})

	t.Run("To keep the connection alive, these handlers should run an infinite for loop that can return on error or exit in a predictable manner", func(t *testing.T) {
		a := start(t, at("/ws", &plain{}))
		client := a.dial("/ws")
		for i := range 100 {
			client.WriteText(fmt.Sprint(i))
			client.ExpectText(fmt.Sprint(i))
		}
		client.Close(1000, "")
	})

	t.Run("They also can start goroutines for reads and writes, but shouldn't return before both of them do", func(t *testing.T) {
		a := start(t, at("/ws", &plain{serve: func(conn *websocket.Conn, _ *goyave.Request) error {
			messages := make(chan []byte)
			failed := make(chan error, 2)
			go func() {
				defer close(messages)
				for {
					_, message, err := conn.ReadMessage()
					if err != nil {
						failed <- err
						return
					}
					messages <- message
				}
			}()
			go func() {
				var err error
				for message := range messages {
					err = errors.Join(err, conn.WriteMessage(ws.TextMessage, message))
				}
				failed <- err
			}()
			return errors.Join(<-failed, <-failed)
		}}))
		client := a.dial("/ws")
		client.WriteText("hello")
		client.ExpectText("hello")
		client.Close(1000, "")
	})

	t.Run("When the websocket handler returns, the closing handshake is performed (if not already done using \"conn.Close()\") and the connection is closed", func(t *testing.T) {
		client, _ := closing(t, func(*websocket.Conn) error { return nil })
		client.ExpectClose(1000, websocket.NormalClosureMessage)
		client.Send(wstest.Close(1000, ""))
		client.ExpectEnd()

		client, _ = closing(t, func(conn *websocket.Conn) error { return conn.Close(4000, "done") })
		client.ExpectClose(4000, "done")
		client.Send(wstest.Close(4000, ""))
		client.ExpectEnd() // no second frame
	})

	t.Run("If the websocket handler returns nil, it means that everything went fine and the connection can be closed normally", func(t *testing.T) {
		a := start(t, at("/ws", &plain{serve: func(*websocket.Conn, *goyave.Request) error { return nil }}))
		a.dial("/ws").ExpectClose(1000, "Server closed connection")
	})

	t.Run("The websocket handler can return an error, such as a write error, to indicate that the connection should not be closed normally", func(t *testing.T) {
		a := start(t, at("/ws", &plain{serve: func(*websocket.Conn, *goyave.Request) error { return errors.New("failed") }}))
		a.dial("/ws").ExpectClose(1011, internalError)
	})

	t.Run("By default, the server shutdown [waits] for hijacked connections to be closed gracefully", func(t *testing.T) {
		a := start(t, at("/ws", &plain{}))
		client := a.dial("/ws")
		a.begin()
		client.ExpectClose(1001, shuttingDown)
		receive(t, a.stopped)
	})

	t.Run("It is advised to register a shutdown hook blocking until all the connections are gracefully closed using `*websocket.Conn.CloseNormal()` [no more, but it works]", func(t *testing.T) {
		conns := make(chan *websocket.Conn, 1)
		a := newApp(t)
		a.RegisterShutdownHook(func(*goyave.Server) { assert.NoError(t, (<-conns).CloseNormal()) })
		a.RegisterRoutes(at("/ws", &plain{serve: func(conn *websocket.Conn, request *goyave.Request) error {
			conns <- conn
			return echo(conn, request)
		}}))
		a.run()
		client := a.dial("/ws")
		a.begin()
		_, _, err := client.ReadMessage() // the server tells the client at the same time as the hook
		assert.Contains(t, []int{1000, 1001}, websocket.CloseStatus(err))
		receive(t, a.stopped)
	})
}

func TestOriginalRegistrer(t *testing.T) {
	t.Run("Registrer qualifies a Controller that registers its route itself, allowing to define validation rules, middleware, route meta, etc.", func(t *testing.T) {
		passed := make(chan struct{}, 1)
		ctrl := &registering{register: func(router *goyave.Router, handler goyave.Handler) {
			router.Get("/{id:[0-9]+}", handler).
				ValidateQuery(func(*goyave.Request) v.RuleSet {
					return v.RuleSet{{Path: "name", Rules: v.List{v.Required(), v.String(), v.Between(2, 50)}}}
				}).
				Middleware(&around{before: func(*goyave.Response, *goyave.Request) { passed <- struct{}{} }}).
				SetMeta("key", "value").
				Name("websocket")
		}}
		a := start(t, func(_ *goyave.Server, router *goyave.Router) {
			router.GlobalMiddleware(&parse.Middleware{})
			router.Subrouter("/ws").Controller(websocket.New(ctrl))
		})
		route := a.Router().GetRoute("websocket")
		require.NotNil(t, route)
		assert.Equal(t, "value", route.Meta["key"])
		a.dial("/ws/1?name=Ada").Close(1000, "")
		receive(t, passed)
		for _, path := range []string{"/ws/1", "/ws/1?name=A"} {
			response, _ := a.refused(path, nil)
			assert.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)
		}
		response, _ := a.refused("/ws", nil)
		assert.Equal(t, http.StatusNotFound, response.StatusCode)
	})

	t.Run("If the Controller doesn't implement this interface, the route is registered for the GET method and an empty path", func(t *testing.T) {
		a := start(t, at("/ws", &plain{}))
		route := a.Router().GetSubrouters()[0].GetRoutes()[0]
		assert.Empty(t, route.GetURI())
		assert.Equal(t, []string{http.MethodGet, http.MethodHead}, route.GetMethods())
		response, _ := a.answer(http.MethodPost, "/ws")
		assert.Equal(t, http.StatusMethodNotAllowed, response.StatusCode)
		response, _ = a.answer(http.MethodHead, "/ws")
		assert.Equal(t, http.StatusUpgradeRequired, response.StatusCode, "the original's is 400: see docs/migrating.md")
	})
}

func TestOriginalUpgradeErrorHandler(t *testing.T) {
	t.Run("UpgradeErrorHandler allows a Controller to define a custom behavior when the protocol switching process fails", func(t *testing.T) {
		a := start(t, at("/ws", &answering{answer: func(response *goyave.Response, _ *goyave.Request, status int, reason error) {
			response.JSON(status, map[string]string{"custom": reason.Error()})
		}}))
		response, body := a.answer(http.MethodGet, "/ws")
		assert.Equal(t, http.StatusUpgradeRequired, response.StatusCode, "the original's is 400: see docs/migrating.md")
		assert.Contains(t, body, `{"custom":"websocket: the client is not using the websocket protocol`)
	})

	t.Run("The default error handler returns a JSON response containing the status text corresponding to the status code returned", func(t *testing.T) {
		a := start(t, at("/ws", &plain{}))
		response, body := a.refused("/ws", http.Header{"Origin": {"https://evil.test"}})
		assert.Equal(t, http.StatusForbidden, response.StatusCode)
		assert.Equal(t, "application/json; charset=utf-8", response.Header.Get("Content-Type"))
		assert.Equal(t, "13", response.Header.Get("Sec-Websocket-Version"))
		assert.JSONEq(t, `{"error": "Forbidden"}`, body)

		// Where the request is no handshake, the original's is 400 without the reason: see
		// docs/migrating.md.
		response, body = a.answer(http.MethodGet, "/ws")
		assert.Equal(t, http.StatusUpgradeRequired, response.StatusCode)
		assert.Equal(t, "application/json; charset=utf-8", response.Header.Get("Content-Type"))
		assert.Equal(t, "13", response.Header.Get("Sec-Websocket-Version"))
		assert.Equal(t, "websocket", response.Header.Get("Upgrade"))
		assert.Contains(t, body, "this is a WebSocket endpoint")
	})

	t.Run("If debugging is enabled, the reason error message is returned instead", func(t *testing.T) {
		a := start(t, at("/ws", &plain{}), setting{"app.debug", true})
		_, body := a.answer(http.MethodGet, "/ws")
		assert.Contains(t, body, `{"error":"websocket: the client is not using the websocket protocol`)
	})

	t.Run("The error can be a user error or server error", func(t *testing.T) {
		statuses := make(chan int, 2)
		ctrl := &answering{answer: func(response *goyave.Response, _ *goyave.Request, status int, _ error) {
			statuses <- status
			response.Status(status)
		}}
		upgrader := websocket.New(ctrl)
		a := start(t, func(_ *goyave.Server, router *goyave.Router) { router.Subrouter("/ws").Controller(upgrader) })
		a.answer(http.MethodGet, "/ws")
		assert.Equal(t, http.StatusUpgradeRequired, receive(t, statuses), "the original's is 400: see docs/migrating.md")
		require.NoError(t, upgrader.Shutdown(t.Context()))
		a.refused("/ws", nil)
		assert.Equal(t, http.StatusServiceUnavailable, receive(t, statuses), "as in the original, 500 is the recovery's")
	})
}

func TestOriginalErrorHandler(t *testing.T) {
	t.Run("This custom error handler is called for both handled and unhandled errors (panics)", func(t *testing.T) {
		for name, serve := range map[string]func(*websocket.Conn, *goyave.Request) error{
			"handled":   func(*websocket.Conn, *goyave.Request) error { return errors.New("the value") },
			"unhandled": panicking,
		} {
			t.Run(name, func(t *testing.T) {
				failures := make(chan error, 1)
				a := start(t, at("/ws", &told{plain: plain{serve: serve}, onError: func(request *goyave.Request, err error) {
					assert.Equal(t, "/ws", request.URL().Path)
					failures <- err
				}}))
				a.dial("/ws").ExpectClose(1011, internalError)
				err := receive(t, failures)
				var failure *errorutil.Error
				require.ErrorAs(t, err, &failure)
				require.EqualError(t, err, "the value")
				assert.Empty(t, a.log.with("the value"))
			})
		}
	})

	t.Run("If the Controller doesn't implement this interface, the error is logged at the error level", func(t *testing.T) {
		a := start(t, at("/ws", &plain{serve: panicking}))
		a.dial("/ws").ExpectClose(1011, internalError)
		line := a.log.wait(t, "the value")
		assert.Equal(t, "ERROR", line["level"])
		assert.Equal(t, "the value", line["msg"])
		assert.Equal(t, "the value", line["reason"])
		assert.Contains(t, line["trace"], "panicking")
	})
}

func TestOriginalOriginChecker(t *testing.T) {
	t.Run("OriginChecker allows a Controller to define custom origin header checking behavior. CheckOrigin returns true if the request Origin header is acceptable", func(t *testing.T) {
		a := start(t, at("/ws", &refusing{origin: func(request *goyave.Request) bool {
			return request.Header().Get("Origin") == "https://friend.test"
		}}))
		a.dialWith("/ws", http.Header{"Origin": {"https://friend.test"}}).Close(1000, "")
		response, body := a.refused("/ws", http.Header{"Origin": {"http://" + a.Host()}})
		assert.Equal(t, http.StatusForbidden, response.StatusCode)
		assert.JSONEq(t, `{"error": "Forbidden"}`, body)
	})

	t.Run("A safe default is used: return false if the Origin request header is present and the origin host is not equal to request Host header", func(t *testing.T) {
		a := start(t, at("/ws", &plain{}))
		a.dial("/ws").Close(1000, "")
		a.dialWith("/ws", http.Header{"Origin": {"http://" + a.Host()}}).Close(1000, "")
		response, _ := a.refused("/ws", http.Header{"Origin": {"https://other.test"}})
		assert.Equal(t, http.StatusForbidden, response.StatusCode)
	})
}

func TestOriginalHeaderUpgrader(t *testing.T) {
	t.Run("HeaderUpgrader allows a Controller to define custom HTTP headers in the protocol switching response", func(t *testing.T) {
		a := start(t, at("/ws", &refusing{header: http.Header{
			"X-Custom-Header": {"value"}, "Set-Cookie": {"a=b", "c=d"},
		}}))
		client := a.dial("/ws")
		assert.Equal(t, "value", client.Response.Header.Get("X-Custom-Header"))
		assert.Equal(t, []string{"a=b", "c=d"}, client.Response.Header.Values("Set-Cookie"))
		assert.Equal(t, "websocket", client.Response.Header.Get("Upgrade"), "added to the mandatory ones")
		client.Close(1000, "")
	})
}

func TestOriginalUpgrader(t *testing.T) {
	t.Run("Settings the parameters for upgrading the connection. Error and CheckOrigin are ignored", func(t *testing.T) {
		upgrader := websocket.New(&plain{})
		upgrader.Settings.HandshakeTimeout = 3 * time.Second
		upgrader.Settings.EnableCompression = true
		upgrader.Settings.ReadBufferSize = 512
		upgrader.Settings.WriteBufferSize = 512
		upgrader.Settings.Subprotocols = []string{"chat"}
		upgrader.Settings.Error = func(http.ResponseWriter, *http.Request, int, error) { panic("not ignored") }
		upgrader.Settings.CheckOrigin = func(*http.Request) bool { panic("not ignored") }
		a := start(t, func(_ *goyave.Server, router *goyave.Router) { router.Subrouter("/ws").Controller(upgrader) })
		client := wstest.Dial(t, a.url, "/ws", &wstest.Options{Compression: true, Subprotocols: []string{"chat"}})
		assert.Equal(t, "chat", client.Subprotocol())
		assert.Contains(t, client.Response.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate")
		message := strings.Repeat("hello ", 1000)
		client.WriteText(message)
		client.ExpectText(message)
		client.Close(1000, "")
		response, _ := a.answer(http.MethodGet, "/ws")
		assert.Equal(t, http.StatusUpgradeRequired, response.StatusCode)
	})

	t.Run("New create a new Upgrader with default settings", func(t *testing.T) {
		ctrl := &plain{}
		upgrader := websocket.New(ctrl)
		assert.Same(t, ctrl, upgrader.Controller)
		assert.Zero(t, upgrader.Settings)
		assert.Zero(t, upgrader.Options)
	})
}

func TestOriginalHandler(t *testing.T) {
	t.Run("Handler create an HTTP handler upgrading the HTTP connection before passing it to the given websocket Handler", func(t *testing.T) {
		a := start(t, func(server *goyave.Server, router *goyave.Router) {
			upgrader := websocket.New(&plain{})
			upgrader.Init(server)
			router.Get("/ws", upgrader.Handler())
		})
		client := a.dial("/ws")
		client.WriteText("hello")
		client.ExpectText("hello")
		client.Close(1000, "")
	})

	t.Run("HTTP response's status is set to \"101 Switching Protocols\"", func(t *testing.T) {
		statuses := make(chan int, 1)
		a := start(t, func(_ *goyave.Server, router *goyave.Router) {
			router.Middleware(&around{after: func(response *goyave.Response, _ *goyave.Request) { statuses <- response.GetStatus() }})
			router.Subrouter("/ws").Controller(websocket.New(&plain{}))
		})
		client := a.dial("/ws")
		assert.Equal(t, http.StatusSwitchingProtocols, receive(t, statuses))
		client.Close(1000, "")
	})

	t.Run("If the websocket Handler returns an error that is not a CloseError, the Upgrader's error handler will be executed and the close frame sent to the client will have status code 1011 and \"Internal server error\" as message", func(t *testing.T) {
		failures := make(chan error, 1)
		a := start(t, at("/ws", &told{
			plain:   plain{serve: func(*websocket.Conn, *goyave.Request) error { return io.ErrUnexpectedEOF }},
			onError: func(_ *goyave.Request, err error) { failures <- err },
		}))
		a.dial("/ws").ExpectClose(1011, internalError)
		require.ErrorIs(t, receive(t, failures), io.ErrUnexpectedEOF)
	})

	t.Run("If debug is enabled, the message will be the error message returned by the websocket handler", func(t *testing.T) {
		a := start(t, at("/ws", &plain{serve: func(*websocket.Conn, *goyave.Request) error {
			return fmt.Errorf("details: %w", io.ErrUnexpectedEOF)
		}}), setting{"app.debug", true})
		a.dial("/ws").ExpectClose(1011, "details: unexpected EOF")
	})

	t.Run("Otherwise the close frame will have status code 1000 (normal closure) and \"Server closed connection\" as a message [or echo the code of the client's, with no text]", func(t *testing.T) {
		a := start(t, at("/ws", &told{
			plain:   plain{},
			onError: func(_ *goyave.Request, err error) { assert.NoError(t, err, "a CloseError is told to nobody") },
		}))
		for _, code := range []int{1000, 1001, 1005, 4000} {
			client := wstest.DialRaw(t, a.url, "/ws", &wstest.Options{Timeout: patience})
			client.Send(wstest.Close(code, "bye"))
			client.ExpectClose(code, "")
			client.ExpectEnd()
		}
	})

	t.Run("If the websocket Handler panics, the connection will be gracefully closed just like if the websocket Handler returned an error without panicking", func(t *testing.T) {
		a := start(t, at("/ws", &plain{serve: panicking}))
		client := wstest.DialRaw(t, a.url, "/ws", &wstest.Options{Timeout: patience})
		client.ExpectClose(1011, internalError)
		client.Send(wstest.Close(1011, ""))
		client.ExpectEnd()
		a.dial("/ws").ExpectClose(1011, internalError) // the server is still running
	})

	t.Run("This HTTP Handler returns once the connection has been successfully upgraded: logging middleware will log the request right away", func(t *testing.T) {
		a := start(t, func(_ *goyave.Server, router *goyave.Router) {
			router.GlobalMiddleware(log.CommonLogMiddleware())
			router.Subrouter("/ws").Controller(websocket.New(&plain{}))
		})
		client := a.dial("/ws")
		assert.Contains(t, a.log.wait(t, "GET")["msg"], `HTTP/1.1" 101 0`)
		client.WriteText("still open")
		client.ExpectText("still open")
		client.Close(1000, "")
	})
}

func TestOriginalIsCloseError(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{err: &ws.CloseError{Code: ws.CloseNormalClosure}, want: true},
		{err: &ws.CloseError{Code: ws.CloseGoingAway}, want: true},
		{err: &ws.CloseError{Code: ws.CloseNoStatusReceived}, want: true},
		{err: fmt.Errorf("wrap: %w", &ws.CloseError{Code: ws.CloseNoStatusReceived}), want: true},
		{err: errorutil.New(&ws.CloseError{Code: ws.CloseNormalClosure}), want: true},
		{err: &ws.CloseError{Code: ws.CloseAbnormalClosure}},
		{err: &ws.CloseError{Code: ws.CloseProtocolError}},
		{err: fmt.Errorf("wrap: %w", &ws.CloseError{Code: ws.CloseProtocolError})},
		{err: errorutil.New(&ws.CloseError{Code: ws.CloseProtocolError})},
		{err: io.EOF},
		{err: nil},
	} {
		assert.Equal(t, tc.want, websocket.IsCloseError(tc.err), "%v", tc.err)
	}
}

func TestOriginalManual(t *testing.T) {
	t.Run("Websocket connections have the following life-cycle: the client requests, the server upgrades, both peers communicate in either way, either decides to close, the close handshake is performed before the TCP connection is closed", func(t *testing.T) {
		for _, byServer := range []bool{true, false} {
			a := start(t, at("/ws", &plain{serve: func(conn *websocket.Conn, request *goyave.Request) error {
				if err := conn.WriteMessage(ws.TextMessage, []byte("welcome")); err != nil {
					return err
				}
				if _, _, err := conn.ReadMessage(); err != nil || byServer {
					return err
				}
				return echo(conn, request)
			}}))
			client := wstest.DialRaw(t, a.url, "/ws", &wstest.Options{Timeout: patience})
			assert.Equal(t, http.StatusSwitchingProtocols, client.Response.StatusCode)
			client.Expect(wstest.Text("welcome"))
			client.Send(wstest.Text("thank you"))
			if byServer {
				client.ExpectClose(1000, websocket.NormalClosureMessage)
				client.Send(wstest.Close(1000, ""))
			} else {
				client.Send(wstest.Close(1000, "bye"))
				client.ExpectClose(1000, "")
			}
			client.ExpectEnd()
		}
	})

	t.Run("You can still access query and body data from the websocket handler, as well as the authenticated user, and every other information from the original request", func(t *testing.T) {
		seen := make(chan seenRequest, 1)
		ctrl := &registering{register: func(router *goyave.Router, handler goyave.Handler) {
			router.Get("/{room}", handler).Name("rooms").SetMeta(auth.MetaAuth, true)
		}}
		ctrl.serve = func(_ *websocket.Conn, request *goyave.Request) error {
			seen <- look(request)
			return nil
		}
		a := start(t, func(_ *goyave.Server, router *goyave.Router) {
			router.GlobalMiddleware(&parse.Middleware{}, auth.Middleware(&tokenAuthenticator{}))
			router.Middleware(&around{before: func(_ *goyave.Response, request *goyave.Request) {
				request.Data = "the body" // gorilla's client sends none
			}})
			router.Subrouter("/ws").Controller(websocket.New(ctrl))
		})
		a.dialWith("/ws/1?q=x", http.Header{"Authorization": {"Bearer Ada"}}).ExpectClose(1000, websocket.NormalClosureMessage)
		got := receive(t, seen)
		assert.Equal(t, map[string]any{"q": "x"}, got.Query)
		assert.Equal(t, "the body", got.Data)
		assert.Equal(t, &tokenUser{Name: "Ada"}, got.User)
		assert.Equal(t, map[string]string{"room": "1"}, got.Params)
		assert.Equal(t, "rooms", got.Route)
	})

	t.Run("This data is validated by implementing the Registrer interface", func(t *testing.T) {
		ctrl := &registering{register: func(router *goyave.Router, handler goyave.Handler) {
			router.Get("", handler).ValidateQuery(func(*goyave.Request) v.RuleSet {
				return v.RuleSet{{Path: "n", Rules: v.List{v.Required(), v.Int()}}}
			})
		}}
		values := make(chan any, 1)
		ctrl.serve = func(_ *websocket.Conn, request *goyave.Request) error {
			values <- request.Query["n"]
			return nil
		}
		a := start(t, func(_ *goyave.Server, router *goyave.Router) {
			router.GlobalMiddleware(&parse.Middleware{})
			router.Subrouter("/ws").Controller(websocket.New(ctrl))
		})
		a.dial("/ws?n=7").ExpectClose(1000, websocket.NormalClosureMessage)
		assert.Equal(t, 7, receive(t, values))
		response, _ := a.refused("/ws?n=x", nil)
		assert.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)
	})

	t.Run("Upgraded connections are hijacked", func(t *testing.T) {
		hijacked := make(chan bool, 1)
		a := start(t, func(_ *goyave.Server, router *goyave.Router) {
			router.Middleware(&around{after: func(response *goyave.Response, _ *goyave.Request) { hijacked <- response.Hijacked() }})
			router.Subrouter("/ws").Controller(websocket.New(&plain{}))
		})
		a.dial("/ws").Close(1000, "")
		assert.True(t, receive(t, hijacked))
	})

	t.Run("The controller given to the upgrader is automatically initialized as usual when the route is registered", func(t *testing.T) {
		ctrl := &plain{}
		var inRoute *goyave.Server
		registrer := &registering{register: func(*goyave.Router, goyave.Handler) {}}
		a := newApp(t)
		a.RegisterRoutes(func(_ *goyave.Server, router *goyave.Router) {
			router.Subrouter("/a").Controller(websocket.New(ctrl))
			registrer.register = func(*goyave.Router, goyave.Handler) { inRoute = registrer.Server() }
			router.Subrouter("/b").Controller(websocket.New(registrer))
		})
		assert.Same(t, a.Server, ctrl.Server())
		assert.Same(t, a.Server, inRoute)
	})

	t.Run("UpgradeErrorHandler: this happens before the connection is hijacked", func(t *testing.T) {
		a := start(t, at("/ws", &answering{answer: func(response *goyave.Response, _ *goyave.Request, status int, _ error) {
			assert.False(t, response.Hijacked())
			response.Status(status)
		}}))
		response, body := a.answer(http.MethodGet, "/ws")
		assert.Equal(t, http.StatusUpgradeRequired, response.StatusCode)
		assert.JSONEq(t, `{"error": "Upgrade Required"}`, body, "a status alone is the status handler's")
	})

	t.Run("ErrorHandler: this happens after the connection is hijacked. The close handshake is automatically performed immediately after this error handling", func(t *testing.T) {
		a := start(t, at("/ws", &told{plain: plain{serve: panicking}, onError: func(request *goyave.Request, _ error) {
			conn, ok := websocket.FromContext(request.Context())
			if assert.True(t, ok) {
				assert.NoError(t, conn.WriteMessage(ws.TextMessage, []byte("handling")))
			}
		}}))
		client := a.dial("/ws")
		client.ExpectText("handling")
		client.ExpectClose(1011, internalError)
	})

	t.Run("All the optional interfaces at once", func(t *testing.T) {
		failures := make(chan error, 1)
		ctrl := &full{
			plain:   plain{serve: panicking},
			headers: func(*goyave.Request) http.Header { return http.Header{"X-Test": {"yes"}} },
			checkOrigin: func(request *goyave.Request) bool {
				return request.Header().Get("Origin") == ""
			},
			onUpgradeError: func(response *goyave.Response, _ *goyave.Request, status int, _ error) {
				response.String(status, "refused")
			},
			onError:       func(_ *goyave.Request, err error) { failures <- err },
			registerRoute: func(router *goyave.Router, handler goyave.Handler) { router.Get("/own", handler) },
		}
		a := start(t, at("/ws", ctrl))
		client := a.dial("/ws/own")
		assert.Equal(t, "yes", client.Response.Header.Get("X-Test"))
		client.ExpectClose(1011, internalError)
		require.EqualError(t, receive(t, failures), "the value")
		_, body := a.refused("/ws/own", http.Header{"Origin": {"http://" + a.Host()}})
		assert.Equal(t, "refused", body)
	})
}

// manualEcho is the controller of the manual, unchanged.
type manualEcho struct {
	goyave.Component
}

func (ctrl *manualEcho) Serve(c *websocket.Conn, _ *goyave.Request) error {
	for {
		mt, message, err := c.ReadMessage()
		if err != nil {
			return errorutil.New(err)
		}
		ctrl.Logger().Debug("recv", "message", string(message))
		err = c.WriteMessage(mt, message)
		if err != nil {
			return errorutil.Errorf("write: %w", err)
		}
	}
}

// The test of the manual's section on testing, unchanged except for the server's configuration.
func TestOriginalManualTesting(t *testing.T) {
	server := newApp(t)
	server.RegisterRoutes(func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/echo").Controller(websocket.New(&manualEcho{}))
	})

	wg := sync.WaitGroup{}
	wg.Add(1)

	server.RegisterStartupHook(func(_ *goyave.Server) {
		defer wg.Done()
		addr := fmt.Sprintf("ws://%s/echo", server.Host())
		conn, _, err := ws.DefaultDialer.Dial(addr, nil) //nolint:bodyclose // gorilla: it need not be closed
		if !assert.NoError(t, err) {
			return
		}
		defer func() { _ = conn.Close() }()

		message := []byte("hello world")
		assert.NoError(t, conn.WriteMessage(ws.TextMessage, message))

		messageType, data, err := conn.ReadMessage()
		assert.NoError(t, err)
		assert.Equal(t, ws.TextMessage, messageType)
		assert.Equal(t, message, data)

		m := ws.FormatCloseMessage(ws.CloseNormalClosure, "Connection closed by client")
		assert.NoError(t, conn.WriteControl(ws.CloseMessage, m, time.Now().Add(time.Second)))
	})

	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		assert.NoError(t, server.Start())
	}()
	wg.Wait()
	server.Stop()
	<-stopped
	assert.Equal(t, "hello world", server.log.wait(t, "recv")["message"])
}
