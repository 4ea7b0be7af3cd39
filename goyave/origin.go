package websocket

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"goyave.dev/goyave/v5"
)

// isOwnOrigin reports whether the request's origin is a host that belongs to the server according
// to the configuration. The request's own Host header does not matter.
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
		// A proxy that is not configured in Goyave listens on the default port.
		if port == defaultPort(origin.Scheme) || port == strconv.Itoa(server.Port()) {
			return true
		}
	}
	return cfg.Has("server.proxy.host") &&
		name == hostname(cfg.GetString("server.proxy.host")) &&
		origin.Scheme == cfg.GetString("server.proxy.protocol") &&
		port == strconv.Itoa(cfg.GetInt("server.proxy.port"))
}

// hostname returns the canonical spelling of a host. Browsers shorten IPv6 addresses; the
// configuration may have any form, with or without brackets.
func hostname(host string) string {
	if address, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return address.String()
	}
	return strings.ToLower(host)
}

// defaultPort returns the default port of a scheme, "" if a browser's origin can't have the scheme.
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
