// Command server serves what the tests of this module need beside examples/echo,
// in a process of its own: it can be told to shut down, and it can be killed.
//
//	server [-addr ADDRESS] [-allow ORIGIN] [-compression MODE] [-window-bits BITS]
//
// /stats has the server's Stats as JSON. A connection to /NAME?id=ID gets the behavior
// with this name. Standard output has the line "listening on http://...", then what
// happened to each connection, one JSON object a line. An interrupt or SIGTERM shuts
// down.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/goyave-contrib/websocket"
)

const (
	readHeaderTimeout = 5 * time.Second
	// closeTimeout is longer than any test waits, so that an answer which does not
	// come fails the test.
	closeTimeout    = time.Minute
	shutdownTimeout = 2 * closeTimeout

	writeBuffer = 1024 // bytes, also the length of a streamed message's frames
)

// behaviors are what Serve does, by the path of the request.
var behaviors = map[string]websocket.ControllerFunc{
	"echo": echo,
	"nil":  func(*websocket.Conn, *http.Request) error { return nil },
	"error": func(*websocket.Conn, *http.Request) error {
		return errors.New("out of ink")
	},
	"panic":   func(*websocket.Conn, *http.Request) error { panic("out of paper") },
	"close":   chosen,
	"enough":  enough,
	"ping":    ping,
	"stream":  stream,
	"invalid": invalid,
	"hold":    hold,
}

func echo(conn *websocket.Conn, _ *http.Request) error {
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

// chosen ends the connection as the request says.
func chosen(_ *websocket.Conn, request *http.Request) error {
	code, err := strconv.Atoi(request.FormValue("code"))
	if err != nil {
		return err
	}
	return websocket.NewCloseError(code, request.FormValue("reason"))
}

// enough ends the connection with 4004 after one message.
func enough(conn *websocket.Conn, _ *http.Request) error {
	if _, _, err := conn.ReadMessage(); err != nil {
		return err
	}
	return websocket.NewCloseError(4004, "enough")
}

// ping says "pong" when the client has answered.
func ping(conn *websocket.Conn, _ *http.Request) error {
	conn.Go(func(ctx context.Context) error {
		if _, err := conn.Ping(ctx); err != nil {
			return err
		}
		return conn.WriteMessage(websocket.TextMessage, []byte("pong"))
	})
	return untilClosed(conn)
}

// stream sends one message of 10,000 bytes in many frames, with a ping among them.
func stream(conn *websocket.Conn, _ *http.Request) error {
	w, err := conn.NextWriter(websocket.TextMessage)
	if err != nil {
		return err
	}
	for i := range 10 {
		if _, err := w.Write([]byte(strings.Repeat(strconv.Itoa(i), 1000))); err != nil {
			return err
		}
		if i == 5 {
			if err := conn.WriteControl(websocket.PingMessage, []byte("in between"), time.Now().Add(time.Second)); err != nil {
				return err
			}
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return untilClosed(conn)
}

// invalid sends text that is not UTF-8.
func invalid(conn *websocket.Conn, _ *http.Request) error {
	if err := conn.WriteMessage(websocket.TextMessage, []byte("caf\xe9")); err != nil {
		return err
	}
	return untilClosed(conn)
}

func untilClosed(conn *websocket.Conn) error {
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return err
		}
	}
}

// hold notes when the client has read a message and answered.
func hold(conn *websocket.Conn, request *http.Request) error {
	if err := conn.WriteMessage(websocket.TextMessage, []byte("are you there?")); err != nil {
		return err
	}
	if _, _, err := conn.ReadMessage(); err != nil {
		return err
	}
	note{ID: request.FormValue("id"), Event: "ready"}.write()
	return untilClosed(conn)
}

// controller has all behaviors.
type controller struct{}

func (controller) CheckUpgrade(request *http.Request) error {
	if behaviors[request.PathValue("behavior")] == nil {
		return &websocket.RefusedError{Status: http.StatusNotFound, Reason: errors.New("no such behavior")}
	}
	return nil
}

func (controller) Serve(conn *websocket.Conn, request *http.Request) error {
	return behaviors[request.PathValue("behavior")](conn, request)
}

func (controller) OnError(request *http.Request, err error) {
	note{ID: request.FormValue("id"), Event: "told", Error: err.Error()}.write()
}

// A note is a line of standard output.
type note struct {
	ID    string `json:"id"`
	Event string `json:"event"` // ready, told, ended

	Error  string `json:"error,omitempty"`  // what OnError was told
	Code   int    `json:"code,omitempty"`   // how the connection ended
	Reason string `json:"reason,omitempty"` // the close frame's text
}

var stdout sync.Mutex

func (n note) write() {
	stdout.Lock()
	defer stdout.Unlock()
	_ = json.NewEncoder(os.Stdout).Encode(n) // fails only if the test is gone
}

// An idKey is the key of the connection's ID in its context.
type idKey struct{}

// noteEnd notes how a connection ended.
func noteEnd(conn *websocket.Conn, ending websocket.Ending) {
	n := note{Event: "ended", Code: ending.Code}
	n.ID, _ = conn.Context().Value(idKey{}).(string)
	var frame *websocket.CloseError
	if errors.As(ending.Cause, &frame) {
		n.Reason = frame.Text
	}
	n.write()
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	addr := flag.String("addr", "127.0.0.1:0", "`address` to listen on")
	allow := flag.String("allow", "", "`origin` whose pages may connect, too")
	upgrader := websocket.New(controller{})
	upgrader.Compression = websocket.CompressionNoContextTakeover
	flag.Func("compression", "`mode` of compression", func(mode string) error {
		return upgrader.Compression.UnmarshalText([]byte(mode))
	})
	flag.IntVar(&upgrader.MaxWindowBits, "window-bits", 0, "largest size of windows in `bits`; 0 means 15")
	flag.Parse()
	err := run(ctx, upgrader, *addr, *allow)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, upgrader *websocket.Upgrader, addr, allow string) error {
	upgrader.CloseTimeout = closeTimeout
	upgrader.Observer = &websocket.Observer{Ended: noteEnd}
	upgrader.WriteBufferSize = writeBuffer
	upgrader.Subprotocols = []string{"v2.interop", "v1.interop"}
	if allow != "" {
		upgrader.AllowedOrigins = []string{allow}
	}
	routes := http.NewServeMux()
	upgrader.RegisterRoutes(routes, "/{behavior}")

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page)
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(upgrader.Stats()) // the test is gone
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		routes.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), idKey{}, r.FormValue("id"))))
	})
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: readHeaderTimeout}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Printf("listening on http://%s\n", listener.Addr())

	<-ctx.Done()
	bounded, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err = errors.Join(upgrader.Shutdown(bounded), server.Shutdown(bounded))
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// page is where a browser's scripts run.
func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprint(w, `<!doctype html><title>interop</title><link rel="icon" href="data:,">`) // the browser has gone
}
