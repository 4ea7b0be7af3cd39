package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/goyave"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/config"
	"goyave.dev/goyave/v5/middleware/parse"
	"goyave.dev/goyave/v5/slog"
	v "goyave.dev/goyave/v5/validation"
)

// Echo sends every message back.
type Echo struct {
	goyave.Component
}

func (ctrl *Echo) Serve(conn *websocket.Conn, _ *goyave.Request) error {
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

// A WebSocket controller is mounted like any other. When the server stops, its clients get a close
// frame.
func Example() {
	visit("/echo", func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/echo").Controller(websocket.New(&Echo{}))
	}, func(client *ws.Conn, stop func()) {
		_ = client.WriteMessage(ws.TextMessage, []byte("hello"))
		_, message, _ := client.ReadMessage()
		fmt.Println(string(message))
		stop()
		_, _, err := client.ReadMessage()
		fmt.Println(err)
	})
	// Output:
	// hello
	// websocket: close 1001 (going away): Server shutting down
}

// Counter counts the messages of each connection.
type Counter struct {
	goyave.Component
}

// Open returns the value that handles the messages of a connection.
func (ctrl *Counter) Open(conn *websocket.Conn, request *goyave.Request) (websocket.MessageHandler, error) {
	return &tally{conn: conn, room: request.RouteParams["room"]}, nil
}

// A tally is one connection.
type tally struct {
	conn  *websocket.Conn
	room  string
	count int
}

// OnMessage is called with one message after the other.
func (c *tally) OnMessage(_ int, message []byte) error {
	c.count++
	return c.conn.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, "%s %d: %s", c.room, c.count, message))
}

// A controller may leave the loop to the library.
func ExampleNewMessages() {
	visit("/rooms/kitchen", func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/rooms/{room}").Controller(websocket.NewMessages(&Counter{}))
	}, func(client *ws.Conn, _ func()) {
		for _, text := range []string{"hello", "again"} {
			_ = client.WriteMessage(ws.TextMessage, []byte(text))
			_, message, _ := client.ReadMessage()
			fmt.Println(string(message))
		}
	})
	// Output:
	// kitchen 1: hello
	// kitchen 2: again
}

// Greeter has a route of its own, with validation.
type Greeter struct {
	goyave.Component
}

func (ctrl *Greeter) RegisterRoute(router *goyave.Router, handler goyave.Handler) {
	router.Get("/{language}", handler).Name("greet").ValidateQuery(func(*goyave.Request) v.RuleSet {
		return v.RuleSet{{Path: "name", Rules: v.List{v.Required(), v.String(), v.Between(2, 50)}}}
	})
}

func (ctrl *Greeter) Serve(conn *websocket.Conn, request *goyave.Request) error {
	if request.RouteParams["language"] != "en" {
		return websocket.NewCloseError(websocket.CloseUnsupportedData, "English only, sorry")
	}
	return conn.WriteJSON(map[string]any{"hello": request.Query["name"]})
}

func ExampleRegistrer() {
	register := func(_ *goyave.Server, router *goyave.Router) {
		router.GlobalMiddleware(&parse.Middleware{})
		router.Subrouter("/greet").Controller(websocket.New(&Greeter{}))
	}
	for _, path := range []string{"/greet/en?name=Ada", "/greet/fr?name=Ada"} {
		visit(path, register, func(client *ws.Conn, _ func()) {
			_, message, err := client.ReadMessage()
			fmt.Println(strings.TrimSpace(string(message)), err)
		})
	}
	// Output:
	// {"hello":"Ada"} <nil>
	//  websocket: close 1003 (unsupported data): English only, sorry
}

// Careful implements all optional interfaces.
type Careful struct {
	Echo
}

func (ctrl *Careful) CheckOrigin(request *goyave.Request) bool {
	origin := request.Header().Get("Origin")
	return origin == "" || origin == "https://app.example.com"
}

func (ctrl *Careful) UpgradeHeaders(request *goyave.Request) http.Header {
	return http.Header{"X-Language": {request.Lang.Name()}}
}

func (ctrl *Careful) OnUpgradeError(response *goyave.Response, _ *goyave.Request, status int, _ error) {
	response.JSON(status, map[string]string{"message": "no WebSocket for you"})
}

func (ctrl *Careful) OnError(request *goyave.Request, err error) {
	if websocket.IsDisconnect(err) {
		return // a lost connection is no error here
	}
	ctrl.Logger().Error(err, "user", request.User)
}

func ExampleUpgrader() {
	register := func(_ *goyave.Server, router *goyave.Router) {
		upgrader := websocket.New(&Careful{})
		upgrader.WriteTimeout = 5 * time.Second // overrides websocket.writeTimeout
		upgrader.Settings.Subprotocols = []string{"v2", "v1"}
		router.Subrouter("/careful").Controller(upgrader)
	}
	visit("/careful", register, func(client *ws.Conn, _ func()) {
		_ = client.WriteMessage(ws.TextMessage, []byte("hello"))
		_, message, _ := client.ReadMessage()
		fmt.Println(string(message))
	})
	// Output: hello
}

// Clock writes the time until the client disconnects.
type Clock struct {
	goyave.Component
}

func (ctrl *Clock) Serve(conn *websocket.Conn, request *goyave.Request) error {
	defer func() {
		// The request's context has ended with the connection: later work needs another
		// context.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(request.Context()), time.Second)
		defer cancel()
		fmt.Println("left:", context.Cause(request.Context()), ctx.Err())
	}()
	conn.Go(func(ctx context.Context) error {
		ticks := time.NewTicker(time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case now := <-ticks.C:
				if err := conn.WriteJSON(now); err != nil {
					return err
				}
			}
		}
	})
	for { // read even if nothing is expected: close frames arrive through reads
		if _, _, err := conn.ReadMessage(); err != nil {
			return err
		}
	}
}

// A connection's context ends with the connection, and has the reason as its cause.
func ExampleController() {
	visit("/clock", func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/clock").Controller(websocket.New(&Clock{}))
	}, func(client *ws.Conn, stop func()) {
		var now time.Time
		fmt.Println("read:", client.ReadJSON(&now))
		stop()
		for {
			if _, _, err := client.ReadMessage(); err != nil {
				return
			}
		}
	})
	// Output:
	// read: <nil>
	// left: websocket: server shutting down <nil>
}

// visit runs an application until the visit of a client is over. The stop function makes the server
// stop and does not wait for it.
func visit(path string, register func(*goyave.Server, *goyave.Router), client func(conn *ws.Conn, stop func())) {
	cfg := config.LoadDefault()
	cfg.Set("server.port", 0)
	server, err := goyave.New(goyave.Options{Config: cfg, Logger: slog.DiscardLogger()})
	if err != nil {
		fmt.Println(err)
		return
	}
	server.RegisterRoutes(register)
	visited := make(chan struct{})
	server.RegisterStartupHook(func(s *goyave.Server) {
		defer close(visited)
		defer func() { go s.Stop() }()
		conn, response, err := ws.DefaultDialer.Dial("ws://"+s.Host()+path, nil)
		if err != nil {
			fmt.Println(errors.Join(err, response.Body.Close()))
			return
		}
		defer func() { _ = conn.Close() }()
		client(conn, func() { go s.Stop() })
	})
	if err := server.Start(); err != nil {
		fmt.Println(err)
		return
	}
	<-visited // Start does not wait for startup hooks
}
