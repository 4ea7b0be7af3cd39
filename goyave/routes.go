package websocket

import (
	"net/http"
	"reflect"
	"slices"
	"strings"

	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/util/errors"
)

// routes returns the routes of a router and of its subrouters.
func routes(router *goyave.Router) []*goyave.Route {
	all := router.GetRoutes()
	for _, subrouter := range router.GetSubrouters() {
		all = append(all, routes(subrouter)...)
	}
	return all
}

// mustGet panics if a handshake, which is a GET request, can't reach the handler: if a route has
// the handler for other methods only or, because the controller may have wrapped the handler, if
// none of the registered routes is for GET.
func mustGet(handler goyave.Handler, registered []*goyave.Route) {
	for _, route := range registered {
		if sameCode(route.GetHandler(), handler) && !isGet(route) {
			panicNotGet(route)
		}
	}
	if len(registered) > 0 && !slices.ContainsFunc(registered, isGet) {
		panicNotGet(registered[0])
	}
}

func isGet(route *goyave.Route) bool { return slices.Contains(route.GetMethods(), http.MethodGet) }

// sameCode reports whether two handlers come from the same function literal or method. Go can't
// compare functions themselves.
func sameCode(a, b goyave.Handler) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

func panicNotGet(route *goyave.Route) {
	panic(errors.Errorf("websocket: RegisterRoute registered %s %q: a WebSocket handshake is a GET request",
		strings.Join(route.GetMethods(), ", "), route.GetFullURI()))
}
