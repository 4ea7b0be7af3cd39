package websocket

import (
	"fmt"
	"net/http"

	"github.com/goyave-contrib/websocket/internal/handshake"
)

// checkOrigin decides whether pages of the request's origin may connect, and says
// why not. Decide, where it is not nil, decides alone.
func (e *Endpoint) checkOrigin(r *http.Request, decide func() bool) error {
	var allowed bool
	switch {
	case decide != nil:
		allowed = decide()
	case e.options.InsecureSkipOriginCheck:
		allowed = true
	default:
		allowed = handshake.IsSameOrigin(r) || e.origins.Allow(r)
	}
	if !allowed {
		return fmt.Errorf("websocket: origin %q is not allowed on host %q", r.Header["Origin"], r.Host)
	}
	return nil
}
