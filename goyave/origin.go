package websocket

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"goyave.dev/goyave/v5"
)

// isOwnOrigin reports whether a request comes from a page of a host that the
// configuration says is the server's, whatever the request calls the server.
func isOwnOrigin(server *goyave.Server, r *http.Request) bool {
	values := r.Header["Origin"]
	if len(values) != 1 {
		return false
	}
	origin, err := url.Parse(values[0])
	if err != nil || defaultPort(origin.Scheme) == "" || origin.Hostname() == "" {
		return false
	}
	name, port := hostname(origin.Hostname()), origin.Port()
	if port == "" {
		port = defaultPort(origin.Scheme)
	}

	cfg := server.Config()
	if domain := cfg.GetString("server.domain"); domain != "" && name == hostname(domain) {
		// A proxy that Goyave is not told of listens on the default port.
		if port == defaultPort(origin.Scheme) || port == strconv.Itoa(server.Port()) {
			return true
		}
	}
	return cfg.Has("server.proxy.host") &&
		name == hostname(cfg.GetString("server.proxy.host")) &&
		origin.Scheme == cfg.GetString("server.proxy.protocol") &&
		port == strconv.Itoa(cfg.GetInt("server.proxy.port"))
}

// hostname spells a host in the one way of many. An IPv6 address, which browsers
// shorten, may be configured in any form, and in brackets.
func hostname(host string) string {
	if address, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return address.String()
	}
	return strings.ToLower(host)
}

// defaultPort is that of a browser's origin, "" for a scheme of another kind.
func defaultPort(scheme string) string {
	switch scheme { // in lower case, by url.Parse
	case "http":
		return "80"
	case "https":
		return "443"
	default:
		return ""
	}
}
