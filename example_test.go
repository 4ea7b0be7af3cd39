package websocket_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strings"
	"sync"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
)

// Echo sends every message back unchanged.
type Echo struct{}

func (ctrl *Echo) Serve(conn *websocket.Conn, _ *http.Request) error {
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(messageType, message); err != nil {
			return err
		}
	}
}

func ExampleNew() {
	mux := http.NewServeMux()
	websocket.New(&Echo{}).RegisterRoutes(mux, "/echo")

	talk(mux, "/echo", nil, "hello")
	// Output:
	// > hello
	// < hello
	// closed: 1000
}

func ExampleController() {
	// Echo is a struct with the method
	//
	//	Serve(conn *websocket.Conn, request *http.Request) error
	//
	// and so a whole endpoint.
	var ctrl websocket.Controller = &Echo{}

	talk(websocket.New(ctrl), "/", nil, "hello", "world")
	// Output:
	// > hello
	// < hello
	// > world
	// < world
	// closed: 1000
}

func ExampleControllerFunc() {
	greet := websocket.ControllerFunc(func(conn *websocket.Conn, request *http.Request) error {
		greeting := "hello, " + request.PathValue("name")
		return conn.WriteMessage(websocket.TextMessage, []byte(greeting))
	})

	mux := http.NewServeMux()
	websocket.New(greet).RegisterRoutes(mux, "/greet/{name}")

	talk(mux, "/greet/Ada", nil)
	// Output:
	// < hello, Ada
	// closed: 1000 Server closed connection
}

// Quiz asks for the answer to everything.
type Quiz struct{}

// Open returns the value that handles the messages of a connection.
func (ctrl *Quiz) Open(conn *websocket.Conn, request *http.Request) (websocket.MessageHandler, error) {
	return &player{conn: conn, name: request.URL.Query().Get("name")}, nil
}

// A player is one connection.
type player struct {
	conn  *websocket.Conn
	name  string
	tries int
}

// OnMessage is called with one message after the other.
func (p *player) OnMessage(messageType int, message []byte) error {
	p.tries++
	if string(message) == "42" {
		return websocket.NewCloseError(websocket.CloseNormalClosure, "well done, "+p.name)
	}
	return p.conn.WriteMessage(messageType, []byte("no, try again"))
}

// OnClose is called once, however the connection ends.
func (p *player) OnClose(err error) {
	fmt.Printf("%s left after %d tries: %v\n", p.name, p.tries, err)
}

func ExampleNewMessages() {
	talk(websocket.NewMessages(&Quiz{}), "/?name=Ada", nil, "41", "42")
	// Output:
	// > 41
	// < no, try again
	// > 42
	// Ada left after 2 tries: websocket: close 1000 (normal): well done, Ada
	// closed: 1000 well done, Ada
}

func ExampleMessageHandlerFunc() {
	open := func(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
		count := 0
		return websocket.MessageHandlerFunc(func(messageType int, message []byte) error {
			count++
			return conn.WriteMessage(messageType, fmt.Appendf(nil, "%d: %s", count, message))
		}), nil
	}
	talk(websocket.NewMessages(websocket.MessageControllerFunc(open)), "/", nil, "hello", "again")
	// Output:
	// > hello
	// < 1: hello
	// > again
	// < 2: again
	// closed: 1000
}

func ExampleUpgrader() {
	upgrader := websocket.New(&Echo{})
	upgrader.CloseTimeout = 5 * time.Second
	upgrader.Settings.Subprotocols = []string{"echo.example.com"}
	upgrader.Settings.EnableCompression = true

	// RegisterRoutes mounts it on a ServeMux; for any other router it is an
	// http.Handler.
	var handler http.Handler = upgrader

	talk(handler, "/", nil, "hello")
	// Output:
	// > hello
	// < hello
	// closed: 1000
}

// http.Server.Shutdown does not know of upgraded connections: the Upgrader ends them.
func ExampleUpgrader_Shutdown() {
	upgrader := websocket.New(&Echo{})
	mux := http.NewServeMux()
	upgrader.RegisterRoutes(mux, "/echo")
	server := &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: 5 * time.Second}

	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	go func() {
		if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
			slog.Error("server failed", "error", err)
			stop()
		}
	}()
	<-interrupted.Done()

	// Longer than CloseTimeout, so that one silent client is not cut.
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := errors.Join(upgrader.Shutdown(ctx), server.Shutdown(ctx)); err != nil {
		slog.Error("shutdown failed", "error", err)
	}
}

// A server that is replaced sends its clients away one after the other.
func ExampleUpgrader_Drain() {
	signaled := make(chan struct{}) // by the first connection, in this example
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		close(signaled)
		_, _, err := conn.ReadMessage()
		return err
	}))
	upgrader.DrainClose = websocket.NewCloseError(websocket.CloseServiceRestart, "connect again")
	drained := make(chan error)
	go func() {
		<-signaled
		const over = 100 * time.Millisecond
		// CloseTimeout and the 3 seconds that Serve has to return are left after the last turn.
		ctx, cancel := context.WithTimeout(context.Background(), over+15*time.Second)
		defer cancel()
		drained <- upgrader.Drain(ctx, over)
	}()

	talk(upgrader, "/", nil)
	fmt.Println(<-drained)
	// Output:
	// closed: 1012 connect again
	// <nil>
}

// Chat registers itself behind a middleware.
type Chat struct{ Echo }

func (ctrl *Chat) RegisterRoute(mux *http.ServeMux, pattern string, handler http.Handler) {
	mux.Handle("GET "+pattern, loggedIn(handler))
}

// loggedIn admits requests with a session.
func loggedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("session"); err != nil {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func ExampleRegistrer() {
	mux := http.NewServeMux()
	websocket.New(&Chat{}).RegisterRoutes(mux, "/chat")

	talk(mux, "/chat", nil)
	talk(mux, "/chat", http.Header{"Cookie": {"session=s3cr3t"}}, "hello")
	// Output:
	// refused: 401 log in first
	// > hello
	// < hello
	// closed: 1000
}

// Widget accepts pages of a partner.
type Widget struct{ Echo }

func (ctrl *Widget) CheckOrigin(request *http.Request) bool {
	switch request.Header.Get("Origin") {
	case "https://www.example.com", "https://partner.example.net":
		return true
	default:
		return false
	}
}

func ExampleOriginChecker() {
	upgrader := websocket.New(&Widget{})

	talk(upgrader, "/", http.Header{"Origin": {"https://partner.example.net"}}, "hello")
	talk(upgrader, "/", http.Header{"Origin": {"https://evil.example.org"}})
	// Output:
	// > hello
	// < hello
	// closed: 1000
	// refused: 403 {"error":"Forbidden"}
}

// Lobby admits only clients with a ticket.
type Lobby struct{ Echo }

func (ctrl *Lobby) CheckUpgrade(request *http.Request) error {
	if request.URL.Query().Get("ticket") != "7" {
		return &websocket.RefusedError{Status: http.StatusForbidden, Reason: errors.New("no such ticket")}
	}
	return nil
}

func ExampleUpgradeChecker() {
	upgrader := websocket.New(&Lobby{})

	talk(upgrader, "/?ticket=7", nil, "hello")
	talk(upgrader, "/?ticket=8", nil)
	// Output:
	// > hello
	// < hello
	// closed: 1000
	// refused: 403 {"error":"Forbidden"}
}

// Dialects speaks the next version of its protocol with clients that try it out.
type Dialects struct{}

func (ctrl *Dialects) Subprotocols(request *http.Request) []string {
	if request.URL.Query().Has("beta") {
		return []string{"chat.v3", "chat.v2"}
	}
	return nil // those of the Settings
}

func (ctrl *Dialects) Serve(conn *websocket.Conn, _ *http.Request) error {
	return conn.WriteMessage(websocket.TextMessage, []byte(conn.Subprotocol()))
}

func ExampleSubprotocolLister() {
	upgrader := websocket.New(&Dialects{})
	upgrader.Settings.Subprotocols = []string{"chat.v2"}
	upgrader.RequireSubprotocol = true

	offers := func(subprotocols string) http.Header {
		return http.Header{"Sec-WebSocket-Protocol": {subprotocols}}
	}
	talk(upgrader, "/", offers("chat.v2, chat.v3"))
	talk(upgrader, "/?beta", offers("chat.v2, chat.v3"))
	talk(upgrader, "/", offers("chat.v1"))
	// Output:
	// < chat.v2
	// closed: 1000 Server closed connection
	// < chat.v3
	// closed: 1000 Server closed connection
	// refused: 400 {"error":"Bad Request"}
}

// Visit gives each visitor a number.
type Visit struct{}

func (ctrl *Visit) UpgradeHeaders(_ *http.Request) http.Header {
	cookie := &http.Cookie{Name: "visitor", Value: "42", HttpOnly: true, Secure: true}
	return http.Header{"Set-Cookie": {cookie.String()}}
}

func (ctrl *Visit) Serve(conn *websocket.Conn, _ *http.Request) error {
	return conn.WriteMessage(websocket.TextMessage, []byte("welcome"))
}

func ExampleHeaderUpgrader() {
	talk(websocket.New(&Visit{}), "/", nil)
	// Output:
	// set-cookie: visitor=42; HttpOnly; Secure
	// < welcome
	// closed: 1000 Server closed connection
}

// Plain answers refused upgrades in plain text.
type Plain struct{ Echo }

func (ctrl *Plain) OnUpgradeError(w http.ResponseWriter, request *http.Request, status int, reason error) {
	slog.DebugContext(request.Context(), "upgrade refused", "status", status, "reason", reason)
	http.Error(w, "this is a WebSocket", status)
}

func ExampleUpgradeErrorHandler() {
	talk(websocket.New(&Plain{}), "/", http.Header{"Origin": {"https://evil.example.org"}})
	// Output:
	// refused: 403 this is a WebSocket
}

// Fragile fails at once and handles its own error.
type Fragile struct{}

func (ctrl *Fragile) Serve(_ *websocket.Conn, _ *http.Request) error {
	return errors.New("out of coffee")
}

func (ctrl *Fragile) OnError(request *http.Request, err error) {
	fmt.Println(request.URL.Path, "failed:", err)
	if conn, ok := websocket.FromContext(request.Context()); ok {
		// It runs before the close frame is sent.
		_ = conn.WriteMessage(websocket.TextMessage, []byte("sorry"))
	}
}

func ExampleErrorHandler() {
	talk(websocket.New(&Fragile{}), "/fragile", nil)
	// Output:
	// /fragile failed: out of coffee
	// < sorry
	// closed: 1011 Internal Server Error
}

// A controller that writes on its own initiative still has to read: the peer's close frame
// arrives only through a read.
func ExampleConn_Go() {
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		conn.Go(func(ctx context.Context) error {
			for i := 3; i > 0; i-- {
				if err := conn.WriteMessageContext(ctx, websocket.TextMessage, fmt.Append(nil, i)); err != nil {
					return err
				}
			}
			return websocket.NewCloseError(websocket.CloseNormalClosure, "liftoff")
		})
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return err
			}
		}
	}))

	talk(upgrader, "/", nil)
	// Output:
	// < 3
	// < 2
	// < 1
	// closed: 1000 liftoff
}

// Close may be called from any goroutine, even while another one reads.
func ExampleConn_Close() {
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, request *http.Request) error {
		limit := time.AfterFunc(time.Millisecond, func() {
			_ = conn.Close(websocket.ClosePolicyViolation, "time is up")
		})
		defer limit.Stop()
		return (&Echo{}).Serve(conn, request)
	}))

	talk(upgrader, "/", nil)
	// Output:
	// closed: 1008 time is up
}

// The error that Serve returns chooses how the connection is closed.
func ExampleNewCloseError() {
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		_, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if string(message) != "open sesame" {
			return websocket.NewCloseError(websocket.ClosePolicyViolation, "wrong password")
		}
		return nil // code 1000
	}))

	talk(upgrader, "/", nil, "open barley")
	talk(upgrader, "/", nil, "open sesame")
	// Output:
	// > open barley
	// closed: 1008 wrong password
	// > open sesame
	// closed: 1000 Server closed connection
}

// A function that has only the request's context can get the connection from it.
func ExampleFromContext() {
	progress := func(ctx context.Context, percent int) {
		if conn, ok := websocket.FromContext(ctx); ok {
			_ = conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "%d %%", percent))
		}
	}
	upgrader := websocket.New(websocket.ControllerFunc(func(_ *websocket.Conn, request *http.Request) error {
		progress(request.Context(), 50)
		progress(request.Context(), 100)
		return nil
	}))

	progress(context.Background(), 0) // belongs to no connection
	talk(upgrader, "/", nil)
	// Output:
	// < 50 %
	// < 100 %
	// closed: 1000 Server closed connection
}

// A goroutine that writes to many connections does not wait for any of them. A client that
// reads too slowly is disconnected with code 1013 (try again later).
func ExampleConn_Enqueue() {
	var mu sync.Mutex
	members := make(map[*websocket.Conn]struct{})
	publish := func(text []byte) error {
		message, err := websocket.EncodeMessage(websocket.TextMessage, text)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for conn := range members {
			err := conn.Enqueue(websocket.QueueLimit{Bytes: 256 << 10}, message)
			if errors.Is(err, websocket.ErrQueueFull) {
				delete(members, conn)
				conn.Go(func(context.Context) error {
					return websocket.NewCloseError(websocket.CloseTryAgainLater, "too slow")
				})
			}
			conn.Flush()
		}
		return nil
	}
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		mu.Lock()
		members[conn] = struct{}{}
		mu.Unlock()
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			delete(members, conn)
		}()
		for {
			_, text, err := conn.ReadMessage()
			if err != nil {
				return err
			}
			if err := publish(text); err != nil {
				return err
			}
		}
	}))

	talk(upgrader, "/", nil, "anybody here?", "nobody")
	// Output:
	// > anybody here?
	// < anybody here?
	// > nobody
	// < nobody
	// closed: 1000
}

// A message for many connections is encoded once.
func ExamplePreparedMessage() {
	news, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte("it snows"))
	if err != nil {
		fmt.Println(err)
		return
	}
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		return conn.WritePreparedMessage(news)
	}))

	talk(upgrader, "/", nil)
	talk(upgrader, "/", nil)
	// Output:
	// < it snows
	// closed: 1000 Server closed connection
	// < it snows
	// closed: 1000 Server closed connection
}

func ExampleConn_ReadJSON() {
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		var question struct{ A, B int }
		if err := conn.ReadJSON(&question); err != nil {
			return websocket.NewCloseError(websocket.CloseUnsupportedData, "no question")
		}
		return conn.WriteJSON(map[string]int{"sum": question.A + question.B})
	}))

	talk(upgrader, "/", nil, `{"a": 2, "b": 3}`)
	// Output:
	// > {"a": 2, "b": 3}
	// < {"sum":5}
	// closed: 1000 Server closed connection
}

// Orderly ends can be distinguished from failures.
func ExampleIsCloseError() {
	for _, err := range []error{
		fmt.Errorf("reading a vote: %w", websocket.NewCloseError(websocket.CloseGoingAway, "")),
		websocket.NewCloseError(websocket.CloseInternalServerErr, ""),
		errors.New("out of coffee"),
	} {
		fmt.Println(websocket.IsCloseError(err), websocket.CloseStatus(err))
	}
	// Output:
	// true 1001
	// false 1011
	// false -1
}

// Options are fields of the Upgrader: set the ones you need before it is mounted.
func ExampleOptions() {
	upgrader := &websocket.Upgrader{
		Controller: &Echo{},
		Options: websocket.Options{
			CloseTimeout: 3 * time.Second,
			WriteTimeout: 5 * time.Second,
			Logger:       slog.Default().With("route", "chat"),
		},
	}
	upgrader.Debug = os.Getenv("APP_ENV") == "development"

	talk(upgrader, "/", nil, "hello")
	// Output:
	// > hello
	// < hello
	// closed: 1000
}

// An adapter for a framework needs one Endpoint for each route. This one is for a framework
// whose handlers are functions of a context.
func ExampleEndpoint() {
	type Context struct {
		Response http.ResponseWriter
		Request  *http.Request
	}
	endpoint := websocket.NewEndpoint(websocket.Options{})
	serve := func(conn *websocket.Conn, _ *Context) error {
		return conn.WriteMessage(websocket.TextMessage, []byte("hello"))
	}

	handle := func(c *Context) {
		conn, err := endpoint.Accept(c.Response, c.Request, websocket.Handshake{
			Refuse: func(status int, reason error) { http.Error(c.Response, reason.Error(), status) },
		})
		if err != nil {
			return // the response has been written
		}
		request := &Context{Request: c.Request.WithContext(conn.Context())}
		endpoint.Run(conn, func() error { return serve(conn, request) }, func(err error) {
			slog.ErrorContext(conn.Context(), "serve failed", "error", err)
		})
	}

	talk(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handle(&Context{Response: w, Request: r}) }), "/", nil)
	// Output:
	// < hello
	// closed: 1000 Server closed connection
}

// Package wstest tests a controller in memory. An unmet expectation fails the test.
func Example_testing() {
	TestEcho := func(t *testing.T) {
		client := wstest.Dial(t, websocket.New(&Echo{}), "/", nil)
		client.WriteText("hello")
		client.ExpectText("hello")
		client.Close(websocket.CloseNormalClosure, "bye")
	}
	_ = TestEcho // go test runs it where it is a function of the package
}

// talk is the client of the examples: it prints what it sends and what it receives. It
// closes the connection when its last message is answered. Without messages, it listens
// until the server closes.
func talk(handler http.Handler, path string, header http.Header, messages ...string) {
	server := httptest.NewServer(handler)
	defer server.Close()
	client, response, err := ws.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http")+path, header)
	if response == nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	if err != nil {
		body, _ := io.ReadAll(response.Body)
		fmt.Println("refused:", response.StatusCode, strings.TrimSpace(string(body)))
		return
	}
	defer func() { _ = client.Close() }()
	if cookie := response.Header.Get("Set-Cookie"); cookie != "" {
		fmt.Println("set-cookie:", cookie)
	}

	if len(messages) == 0 {
		for listen(client) {
		}
		return
	}
	for _, message := range messages {
		fmt.Println(">", message)
		_ = client.WriteMessage(ws.TextMessage, []byte(message)) // then reading fails, too
		if !listen(client) {
			return
		}
	}
	_ = client.WriteMessage(ws.CloseMessage, ws.FormatCloseMessage(ws.CloseNormalClosure, ""))
	listen(client)
}

// listen prints the next message, or how the connection was closed.
func listen(client *ws.Conn) bool {
	_, message, err := client.ReadMessage()
	var closed *ws.CloseError
	switch {
	case err == nil:
		fmt.Println("<", strings.TrimSpace(string(message)))
	case errors.As(err, &closed):
		fmt.Println(strings.TrimSpace(fmt.Sprint("closed: ", closed.Code, " ", closed.Text)))
	default:
		fmt.Println(err)
	}
	return err == nil
}

// Code that uses a net.Conn runs on a WebSocket: here a line-based protocol.
func ExampleStream() {
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, request *http.Request) error {
		stream := websocket.Stream(request.Context(), conn, websocket.TextMessage)
		lines := bufio.NewScanner(stream)
		for lines.Scan() {
			if _, err := fmt.Fprintln(stream, strings.ToUpper(lines.Text())); err != nil {
				return err
			}
		}
		return lines.Err() // nil where the client said goodbye
	}))

	talk(upgrader, "/", nil, "hello\n", "world\n")
	// Output:
	// > hello
	//
	// < HELLO
	// > world
	//
	// < WORLD
	// closed: 1000
}

// A tunnel to a TCP service.
func ExampleStream_tunnel() {
	service := startEchoService()
	defer func() { _ = service.Close() }()

	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, request *http.Request) error {
		backend, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(request.Context(), "tcp", service.Addr().String())
		if err != nil {
			return websocket.NewCloseError(websocket.CloseBadGateway, "")
		}
		stream := websocket.Stream(request.Context(), conn, websocket.BinaryMessage)
		defer func() { _ = backend.Close() }()
		conn.Go(func(context.Context) error {
			switch _, err := io.Copy(stream, backend); {
			case err == nil: // the service hung up
				return websocket.NewCloseError(websocket.CloseNormalClosure, "")
			case errors.Is(err, net.ErrClosed): // Serve has returned
				return nil
			default:
				return err
			}
		})
		_, err = io.Copy(backend, stream)
		return err
	}))

	server := httptest.NewServer(upgrader)
	defer server.Close()
	client, _, err := ws.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil) //nolint:bodyclose // there is none
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	_ = client.WriteMessage(ws.BinaryMessage, []byte("through the tunnel and back")) // then reading fails, too
	listen(client)
	_ = client.WriteMessage(ws.CloseMessage, ws.FormatCloseMessage(ws.CloseNormalClosure, ""))
	listen(client)
	// Output:
	// < through the tunnel and back
	// closed: 1000
}

// startEchoService serves one TCP client.
func startEchoService() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is there at once
	if err != nil {
		panic(err)
	}
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.Copy(conn, conn)
	}()
	return l
}

func ExampleDial() {
	server := httptest.NewServer(websocket.New(&Echo{}))
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // for the handshake
	defer cancel()
	conn, _, err := websocket.Dial(ctx, server.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.CloseNow() }() // where Close is not reached

	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		fmt.Println(err)
		return
	}
	_, message, err := conn.ReadMessage()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", message)
	fmt.Println(conn.Close(websocket.CloseNormalClosure, "bye"))
	// Output:
	// hello
	// <nil>
}

func ExampleDial_refused() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}))
	defer server.Close()

	conn, response, err := websocket.Dial(context.Background(), server.URL, nil)
	switch {
	case errors.Is(err, websocket.ErrBadHandshake): // there is an answer
		reason, _ := io.ReadAll(response.Body) // from memory
		fmt.Printf("%s: %s", response.Status, reason)
	case err != nil: // no connection, or none in time
		fmt.Println(err)
	default:
		_ = conn.CloseNow()
	}
	// Output:
	// 401 Unauthorized: who are you?
}

func ExampleDialOptions() {
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		greeting := r.Header.Get("Authorization") + " speaks " + conn.Subprotocol()
		return conn.WriteMessage(websocket.TextMessage, []byte(greeting))
	}))
	upgrader.Settings.Subprotocols = []string{"chat.v2", "chat.v1"}
	server := httptest.NewServer(upgrader)
	defer server.Close()

	conn, _, err := websocket.Dial(context.Background(), server.URL, &websocket.DialOptions{
		MaxMessageSize: 64 << 10,
		PingInterval:   20 * time.Second,
		Header:         http.Header{"Authorization": {"Bearer ada"}},
		Subprotocols:   []string{"chat.v1"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.CloseNow() }()

	_, message, err := conn.ReadMessage()
	fmt.Println(string(message), err)
	_, _, err = conn.ReadMessage()
	fmt.Println(err)
	// Output:
	// Bearer ada speaks chat.v1 <nil>
	// websocket: close 1000 (normal): Server closed connection
}
