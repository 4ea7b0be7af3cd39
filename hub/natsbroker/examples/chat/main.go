// Command chat is the chat of the root module's examples on several nodes, which NATS connects:
// people at different nodes are in the same room, with one history. One node may start the NATS
// server, too, which keeps its data in a folder:
//
//	go run ./examples/chat -embedded /tmp/chat
//	go run ./examples/chat -addr 127.0.0.1:8081
//	go run ./examples/chat -addr 127.0.0.1:8082
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

//go:embed index.html
var page embed.FS

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	natsURL := flag.String("nats", nats.DefaultURL, "`URL` of the NATS server")
	embedded := flag.String("embedded", "", "start the NATS server, at that URL, with its data in this `folder`; port 0 takes a free one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // after the first signal, a second one kills the process
	if err := start(ctx, *addr, *natsURL, *embedded); err != nil {
		log.Fatal(err)
	}
}

// start runs the node, and the embedded NATS server if it has a folder, until ctx is done.
func start(ctx context.Context, addr, natsURL, folder string) error {
	if folder != "" {
		s, err := startNATS(natsURL, folder)
		if err != nil {
			return err
		}
		defer s.WaitForShutdown()
		defer s.Shutdown()
		natsURL = s.ClientURL()
	}
	nc, err := connect(natsURL)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	broker, err := natsbroker.NewJetStream(js, natsbroker.JetStreamOptions{Options: natsbroker.Options{Prefix: "chat"}})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	log.Printf("listening on http://%s, with NATS at %s", listener.Addr(), natsURL)
	return run(ctx, listener, NewChat(broker)) // which closes the broker
}

// startNATS starts an embedded server with JetStream, which keeps history and presence. In production,
// NATS servers run on their own, in a cluster.
func startNATS(natsURL, folder string) (*server.Server, error) {
	at, err := url.Parse(natsURL)
	if err != nil {
		return nil, err
	}
	port, err := strconv.Atoi(at.Port())
	if err != nil {
		return nil, fmt.Errorf("port of %s: %w", natsURL, err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{Host: at.Hostname(), Port: port, JetStream: true, StoreDir: folder, NoSigs: true})
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("no NATS server could be started at %s, with the folder %s", natsURL, folder)
	}
	return s, nil
}

// connect returns a connection to NATS that connects in the background if there is no server yet:
// nodes and servers may start in any order.
func connect(natsURL string) (*nats.Conn, error) {
	return nats.Connect(natsURL,
		nats.Name("chat"), nats.NoEcho(),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(time.Second),
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			if !nc.IsClosed() {
				log.Print("NATS is away: ", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Print("NATS is back") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Print("NATS: ", err) }),
	)
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
