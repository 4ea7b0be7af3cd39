package handshake

import (
	"net/http"
	"net/url"
	"strings"
)

// IsSameOrigin reports whether the request has the origin of its own host, or no origin: then
// it does not come from a browser. Hosts are compared without case, and without the default
// port of the origin's scheme or an empty port.
func IsSameOrigin(r *http.Request) bool {
	values := r.Header["Origin"]
	if len(values) != 1 {
		return len(values) == 0
	}
	origin, err := url.Parse(values[0])
	return err == nil && origin.Hostname() != "" && canonicalHost(origin.Scheme, origin.Host) == canonicalHost(origin.Scheme, r.Host)
}

// canonicalHost returns a host in lower case, without the default port of the scheme.
func canonicalHost(scheme, host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ":")
	if port := DefaultPort(scheme); port != "" {
		return strings.TrimSuffix(host, ":"+port)
	}
	return host
}

// DefaultPort returns the default port of a scheme in lower case, "" for schemes without one.
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
