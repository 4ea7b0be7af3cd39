// Command echo serves a WebSocket endpoint that sends every message back, and
// a small page to try it with.
//
//	go run ./examples/echo
//
// An interrupt (or SIGTERM) shuts it down gracefully: every connection is closed with code 1001
// before the process exits with status 0. A second signal kills the process.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/goyave-contrib/websocket"
)

const (
	readHeaderTimeout = 5 * time.Second
	// shutdownTimeout is longer than the 10 seconds after which the closing handshake with a
	// client that does not answer is given up.
	shutdownTimeout = 15 * time.Second
)

//go:embed index.html
var page []byte

// Echo sends every message back unchanged.
type Echo struct{}

// Serve handles one connection.
func (*Echo) Serve(conn *websocket.Conn, _ *http.Request) error {
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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // after the first signal, a second one kills the process

	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
		os.Exit(1)
	}
}

// run serves until ctx is done, then closes every connection and returns nil.
// It writes one line to stdout, with its address.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("echo", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	compress := flags.Bool("compress", false, "offer compression (permessage-deflate)")
	takeover := flags.Bool("takeover", false, "with -compress, compress a message with those before it as a dictionary (context takeover)")
	debug := flags.Bool("debug", false, "tell clients the details of errors")
	limit := flags.Int64("limit", 0, "longest message that is taken, in `bytes`; 0 means 1 MiB, negative no limit")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}

	upgrader := websocket.New(&Echo{})
	upgrader.EnableCompression = *compress
	if *compress && *takeover {
		upgrader.Compression = websocket.CompressionContextTakeover
	}
	upgrader.Debug = *debug
	upgrader.MaxMessageSize = *limit
	upgrader.HeartbeatInterval = 15 * time.Second // the page gives up after 25

	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", servePage)
	upgrader.RegisterRoutes(mux, "/echo")

	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: readHeaderTimeout}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	if _, err := fmt.Fprintf(stdout, "listening on http://%s\n", listener.Addr()); err != nil {
		return errors.Join(err, shutdown(ctx, server, upgrader), ignoreClosed(<-served))
	}
	select {
	case err := <-served: // the listener failed
		return errors.Join(err, shutdown(ctx, server, upgrader))
	case <-ctx.Done():
		return errors.Join(shutdown(ctx, server, upgrader), ignoreClosed(<-served))
	}
}

// shutdown ends the upgrader and the HTTP server, which does not know the upgraded connections. The
// upgrader comes first, so that the WebSocket clients get their close frames at once.
func shutdown(ctx context.Context, server *http.Server, upgrader *websocket.Upgrader) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	err := upgrader.Shutdown(ctx)
	if serverErr := server.Shutdown(ctx); serverErr != nil {
		err = errors.Join(err, serverErr, server.Close())
	}
	return err
}

// ignoreClosed returns nil for the error of a server that was shut down, and other errors
// unchanged.
func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func servePage(response http.ResponseWriter, _ *http.Request) {
	response.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = response.Write(page) // a write error means that the browser has disconnected
}
