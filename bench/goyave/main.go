// Command goyave is the server process of the benchmarks for the implementations that use
// Goyave. It has a module of its own, because Goyave's is not available everywhere. The program
// in bench/ builds and starts it.
package main

import (
	"fmt"
	"os"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/config"
	"goyave.dev/goyave/v5/util/errors"
)

// An upgrader is an Upgrader of either package.
type upgrader interface {
	goyave.Composable
	Handler() goyave.Handler
}

// implementations have the names that bench/impl_goyave.go has for them.
var implementations = map[string]func(serving.Mode) upgrader{
	"goyave.dev/goyave/v5/websocket":     original,
	"goyave-contrib/websocket on Goyave": face,

	"goyave-contrib/websocket on Goyave, messages": faceMessages,
}

func main() {
	if err := run(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	name, m, ok := serving.Asked(args)
	if !ok {
		return errors.New("bench: this is a server of the program in bench/, which starts it")
	}
	server, err := newServer(name, m)
	if err != nil {
		return err
	}
	return serving.Run(name, func(ready func(addr string)) error {
		server.RegisterStartupHook(func(s *goyave.Server) { ready(s.Host()) })
		return server.Start()
	})
}

// newServer returns a server as in production: with the default configuration, without debug,
// and on a free port.
func newServer(name string, m serving.Mode) (*goyave.Server, error) {
	implementation, ok := implementations[name]
	if !ok {
		return nil, errors.Errorf("bench: no implementation %q", name)
	}
	cfg := config.LoadDefault()
	cfg.Set("app.environment", "production")
	cfg.Set("app.debug", false)
	cfg.Set("server.port", 0)
	server, err := goyave.New(goyave.Options{Config: cfg})
	if err != nil {
		return nil, err
	}
	server.RegisterRoutes(func(server *goyave.Server, router *goyave.Router) {
		u := implementation(m)
		u.Init(server)
		router.Get("/", u.Handler()) // as a controller at the root, its path would be "", which no client requests
	})
	return server, nil
}
