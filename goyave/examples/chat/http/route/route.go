// Package route has the routes of the application.
package route

import (
	websocket "github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/goyave/examples/chat/http/controller/chat"
	"github.com/goyave-contrib/websocket/goyave/examples/chat/resources"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/log"
	"goyave.dev/goyave/v5/middleware/parse"
)

// Register registers all routes.
func Register(_ *goyave.Server, router *goyave.Router) {
	router.GlobalMiddleware(log.CombinedLogMiddleware())
	router.GlobalMiddleware(&parse.Middleware{}) // ValidateQuery needs it

	router.Subrouter("/chat").Controller(websocket.New(&chat.Controller{}))
	router.Static(resources.FS, "", false)
}
