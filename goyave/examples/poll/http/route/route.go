// Package route has the routes of the application.
package route

import (
	websocket "github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/goyave/examples/poll/http/controller/poll"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/log"
)

// Register registers all routes.
func Register(_ *goyave.Server, router *goyave.Router) {
	router.GlobalMiddleware(log.CombinedLogMiddleware())

	router.Subrouter("/polls").Controller(websocket.NewMessages(&poll.Controller{}))
}
