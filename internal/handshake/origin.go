package handshake

import (
	"net/http"
	"net/url"
	"strings"
)

// IsSameOrigin reports whether no page of another host can have made the request:
// without an Origin header it comes from no browser. Hosts are compared without
// case and without the default port of the origin's scheme, or an empty one.
func IsSameOrigin(r *http.Request) bool {
	values := r.Header["Origin"]
	if len(values) != 1 {
		return len(values) == 0
	}
	origin, err := url.Parse(values[0])
	return err == nil && origin.Hostname() != "" && canonicalHost(origin.Scheme, origin.Host) == canonicalHost(origin.Scheme, r.Host)
}

func canonicalHost(scheme, host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ":")
	if port := DefaultPort(scheme); port != "" {
		return strings.TrimSuffix(host, ":"+port)
	}
	return host
}

// DefaultPort is that of a scheme in lower case, "" for one that has none.
func DefaultPort(scheme string) string {
	switch scheme {
	case "http", "ws":
		return "80"
	case "https", "wss":
		return "443"
	default:
		return ""
	}
}
