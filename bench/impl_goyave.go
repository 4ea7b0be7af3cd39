package main

import (
	"time"

	"github.com/goyave-contrib/websocket"
)

// A program of its own, because this module must also build where Goyave's is unavailable.
var goyaveProgram = &program{folder: "goyave"}

const goyaveModule = "goyave.dev/goyave/v5"

var (
	_ = register(implementation{
		name:   "goyave.dev/goyave/v5/websocket",
		module: goyaveModule,
		below:  []string{"github.com/gorilla/websocket"},
		config: "the loop of its documentation with a read limit, default options; UTF-8 checked by the loop; broadcast: " +
			"prepared messages, one lock a connection",
		lacks:   withoutContext("it has no context takeover"),
		program: goyaveProgram,
	})
	_ = register(implementation{
		name:    "goyave-contrib/websocket on Goyave",
		module:  oursModule,
		below:   []string{goyaveModule, "github.com/gorilla/websocket", "github.com/klauspost/compress"},
		config:  "a controller of a Goyave server; else as goyave-contrib/websocket",
		ours:    true,
		program: goyaveProgram,
	})
	_ = register(implementation{
		name:       "goyave-contrib/websocket on Goyave, messages",
		module:     oursModule,
		below:      []string{goyaveModule, "github.com/gorilla/websocket", "github.com/klauspost/compress"},
		config:     "a message controller of a Goyave server; else as goyave-contrib/websocket, messages",
		ours:       true,
		quietAfter: websocket.DefaultOptions().ParkAfter + 2*time.Second,
		program:    goyaveProgram,
	})
)
