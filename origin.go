package websocket

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// checkSameOrigin returns nil for a request that no page of another host can
// have made: without an Origin header it comes from no browser. Hosts are
// compared without case and without the default port of the origin's scheme.
func checkSameOrigin(r *http.Request) error {
	values := r.Header["Origin"]
	if len(values) == 0 {
		return nil
	}
	if len(values) == 1 {
		origin, err := url.Parse(values[0])
		if err == nil && origin.Host != "" && canonicalHost(origin.Scheme, origin.Host) == canonicalHost(origin.Scheme, r.Host) {
			return nil
		}
	}
	return originError(r)
}

func originError(r *http.Request) error {
	return fmt.Errorf("websocket: origin %q is not allowed on host %q", r.Header["Origin"], r.Host)
}

func canonicalHost(scheme, host string) string {
	host = strings.ToLower(host)
	switch scheme { // in lower case, by url.Parse
	case "http", "ws":
		return strings.TrimSuffix(host, ":80")
	case "https", "wss":
		return strings.TrimSuffix(host, ":443")
	default:
		return host
	}
}
