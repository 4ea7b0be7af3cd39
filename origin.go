package websocket

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
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
		allowed = isSameOrigin(r) || e.origins.allow(r)
	}
	if !allowed {
		return fmt.Errorf("websocket: origin %q is not allowed on host %q", r.Header["Origin"], r.Host)
	}
	return nil
}

// isSameOrigin reports whether no page of another host can have made the request:
// without an Origin header it comes from no browser. Hosts are compared without
// case and without the default port of the origin's scheme, or an empty one.
func isSameOrigin(r *http.Request) bool {
	values := r.Header["Origin"]
	if len(values) != 1 {
		return len(values) == 0
	}
	origin, err := url.Parse(values[0])
	return err == nil && origin.Hostname() != "" && canonicalHost(origin.Scheme, origin.Host) == canonicalHost(origin.Scheme, r.Host)
}

func canonicalHost(scheme, host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ":")
	if port := defaultPort(scheme); port != "" {
		return strings.TrimSuffix(host, ":"+port)
	}
	return host
}

// defaultPort is that of a scheme in lower case, "" for one that has none.
func defaultPort(scheme string) string {
	switch scheme {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	default:
		return ""
	}
}
