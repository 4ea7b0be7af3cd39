// Command chat serves chat rooms and a small page to try them with:
//
//	go run ./examples/chat
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/goyave-contrib/websocket"
)

//go:embed index.html
var page embed.FS

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // after the first signal, a second one kills the process
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s", listener.Addr())
	if err := run(ctx, listener, NewChat(nil)); err != nil {
		log.Fatal(err)
	}
}

// run serves a chat until ctx is done, then closes every connection and returns nil.
func run(ctx context.Context, listener net.Listener, chat *Chat) error {
	upgrader := websocket.New(chat)
	upgrader.MaxMessageSize = 2048
	upgrader.HeartbeatInterval = 15 * time.Second // the page gives up after 25
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.FileServerFS(page))
	mux.HandleFunc("GET /chat/check", chat.check)
	upgrader.RegisterRoutes(mux, "/chat")
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second) // a client that does not answer takes 10
		defer cancel()
		ended <- errors.Join(upgrader.Shutdown(ctx), chat.hub.Shutdown(ctx), server.Shutdown(ctx), server.Close())
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}
