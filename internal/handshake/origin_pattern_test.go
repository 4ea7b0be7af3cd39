package handshake

import (
	"cmp"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// originForm is an origin as browsers send it: a scheme, a host, perhaps a port.
var originForm = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://(\[[0-9a-fA-F:.]+\]|[^][:/?#@\\%<>" \x00-\x20\x7f` + "`" + `{}|^]+)(?::([0-9]*))?$`)

// plainName spells a host as simply as can be: addresses of IPv6 in brackets.
func plainName(host string) string {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		address, _ := netip.ParseAddr(strings.TrimSuffix(inner, "]")) // of a malformed one nothing is left that matches
		return "[" + address.String() + "]"
	}
	return strings.ToLower(host)
}

// plainlyAllowed tells what Options.AllowedOrigins promises of a pattern that is
// valid.
func plainlyAllowed(pattern, origin string) bool {
	if strings.EqualFold(origin, "file://") { // the one without a host
		return strings.EqualFold(pattern, origin)
	}
	parts := originForm.FindStringSubmatch(origin)
	if parts == nil {
		return false
	}
	schemes := map[string]string{"http": "http", "https": "https", "ws": "http", "wss": "https"}
	scheme := strings.ToLower(parts[1])
	scheme = cmp.Or(schemes[scheme], scheme)
	standard := map[string]string{"http": "80", "https": "443"}[scheme]

	pattern = strings.ToLower(pattern)
	if s, rest, ok := strings.Cut(pattern, "://"); ok {
		if cmp.Or(schemes[s], s) != scheme {
			return false
		}
		pattern = rest
	}
	host, port := pattern, standard
	if colon := strings.LastIndexByte(pattern, ':'); colon > strings.LastIndexByte(pattern, ']') {
		host, port = pattern[:colon], strings.TrimLeft(pattern[colon+1:], "0")
	}
	if cmp.Or(parts[3], standard) != port {
		return false
	}
	name := plainName(parts[2])
	if parent, ok := strings.CutPrefix(host, "*"); ok {
		return strings.HasSuffix(name, parent) && name != parent
	}
	return name == plainName(host)
}

func FuzzAllowedOrigins(f *testing.F) {
	for _, seed := range [][2]string{
		{"example.com", "https://example.com"},
		{"example.com", "https://EXAMPLE.com:"},
		{"example.com", "https://user@example.com"},
		{"*.example.com", "http://a.example.com"},
		{"https://example.com:08443", "https://example.com:8443"},
		{"wss://*.a.b:1", "https://x.a.b:1"},
		{"[::1]:80", "http://[::1]"},
		{"[::ffff:1.2.3.4]", "http://[::ffff:102:304]"},
		{"1.2.3.4", "http://1.2.3.4:80"},
		{"localhost", "capacitor://localhost"},
		{"capacitor://localhost", "CAPACITOR://localhost"},
		{"chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"},
		{"app://*.example.com:8080", "app://a.example.com:8080"},
		{"app://.", "app://."},
		{"file://", "file://"},
		{"file://", "file:///"},
		{"book.com", "https://boo\u212a.com"},
		{"*.example.com", `https://".example.com`},
		{"*.example.com", "https://<b>.example.com"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, origin string) {
		patterns, err := ParseOrigins([]string{pattern})
		if err != nil {
			return
		}
		r := &http.Request{Header: http.Header{"Origin": {origin}}}
		assert.Equal(t, plainlyAllowed(pattern, origin), patterns.Allow(r), "pattern %q, origin %q", pattern, origin)
	})
}
