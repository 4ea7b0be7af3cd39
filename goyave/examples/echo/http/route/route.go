// Package route has the routes of the application.
package route

import (
	websocket "github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/goyave/examples/echo/http/controller/echo"
	"github.com/goyave-contrib/websocket/goyave/examples/echo/resources"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/log"
)

// Register registers all routes.
func Register(_ *goyave.Server, router *goyave.Router) {
	router.GlobalMiddleware(log.CombinedLogMiddleware())

	router.Subrouter("/echo").Controller(websocket.New(&echo.Controller{}))
	router.Static(resources.FS, "", false)
}
