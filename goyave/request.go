package websocket

import (
	"context"
	"maps"

	"goyave.dev/goyave/v5"
)

// servedRequest returns a copy of the request that Serve may change. Middleware and the access log
// still use the original.
func servedRequest(ctx context.Context, request *goyave.Request) *goyave.Request {
	served := goyave.NewRequest(request.Request().Clone(ctx))
	served.Now = request.Now
	served.Data = request.Data
	served.User = request.User
	served.Query = maps.Clone(request.Query)
	served.Lang = request.Lang
	served.Extra = maps.Clone(request.Extra)
	served.Route = request.Route
	served.RouteParams = maps.Clone(request.RouteParams)
	return served
}
