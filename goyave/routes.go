package websocket

import (
	"net/http"
	"reflect"
	"slices"
	"strings"

	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/util/errors"
)

// routes returns the routes of a router and of those below it.
func routes(router *goyave.Router) []*goyave.Route {
	all := router.GetRoutes()
	for _, subrouter := range router.GetSubrouters() {
		all = append(all, routes(subrouter)...)
	}
	return all
}

// mustGet panics where no handshake, which is a GET request, would come to a handler: a
// route has it for other methods alone or, where the controller wrapped it, none of the
// routes that were registered is for GET.
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

// sameCode reports whether two handlers are made by the same expression: functions can't
// be compared.
func sameCode(a, b goyave.Handler) bool {
	return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer()
}

func panicNotGet(route *goyave.Route) {
	panic(errors.Errorf("websocket: RegisterRoute registered %s %q: a WebSocket handshake is a GET request",
		strings.Join(route.GetMethods(), ", "), route.GetFullURI()))
}
