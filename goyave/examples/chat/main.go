// Command chat serves a chat with one room. Anyone with a name may join.
//
//	go run ./examples/chat
//
// An interrupt (or SIGTERM) shuts it down gracefully: every client gets a close frame with 1001
// before the process exits with status 0.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"os"

	websocket "github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/goyave/examples/chat/http/controller/chat"
	"github.com/goyave-contrib/websocket/goyave/examples/chat/http/route"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/config"
	"goyave.dev/goyave/v5/util/errors"
)

// The configuration is embedded so that the example runs in any folder. A real application lets
// goyave.New load its config.json.
//
//go:embed config.json
var configJSON string

func main() {
	port := flag.Int("port", -1, "`port` to listen on instead of the configured one; 0 takes a free one")
	flag.Parse()

	server, err := newServer(*port, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server.RegisterSignalHook()
	if err := server.Start(); err != nil {
		server.Logger.Error(err)
		os.Exit(2)
	}
}

// newServer returns the application, ready to start. It writes one line to stdout when it listens.
func newServer(port int, stdout io.Writer) (*goyave.Server, error) {
	cfg, err := config.LoadJSON(configJSON)
	if err != nil {
		return nil, err
	}
	if port >= 0 {
		cfg.Set("server.port", port)
	}
	server, err := goyave.New(goyave.Options{Config: cfg})
	if err != nil {
		return nil, err
	}

	server.RegisterService(websocket.NewHubService(server, chat.HubOptions()))
	server.RegisterStartupHook(func(s *goyave.Server) {
		if _, err := fmt.Fprintf(stdout, "listening on http://%s\n", s.Host()); err != nil {
			s.Logger.Error(errors.New(err))
		}
	})
	server.RegisterShutdownHook(func(s *goyave.Server) {
		if err := websocket.ShutdownAll(context.Background(), s); err != nil {
			s.Logger.Error(err)
		}
		s.Logger.Info("all clients are gone, goodbye") // shared resources may be closed now
	})
	server.RegisterRoutes(route.Register)
	return server, nil
}
