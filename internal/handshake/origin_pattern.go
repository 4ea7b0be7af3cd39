package handshake

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// An originPattern is one element of AllowedOrigins.
type originPattern struct {
	scheme     string // "" for any; http stands for ws too, https for wss
	host       string // as canonicalName spells it; "" only for file
	subdomains bool   // stands for the hosts below that one, not for itself
	port       string // "" for the scheme's default
}

// OriginPatterns are origins that may connect. The zero value allows none.
type OriginPatterns []originPattern

// Allow reports whether one of the patterns stands for the origin of the request. A request
// with more than one origin, or one that no browser sends (RFC 6454, 6.1), is not allowed.
func (patterns OriginPatterns) Allow(r *http.Request) bool {
	values := r.Header["Origin"]
	if len(patterns) == 0 || len(values) != 1 {
		return false
	}
	origin, err := url.Parse(values[0])
	if err != nil || !strings.EqualFold(values[0], origin.Scheme+"://"+origin.Host) {
		return false // "null" is not of that form, nor is anything with a user or a path
	}
	if strings.ContainsAny(origin.Host, `"<>`) {
		return false // net/url accepts them in hosts
	}
	scheme, host := pageScheme(origin.Scheme), canonicalName(origin.Hostname())
	port := cmp.Or(origin.Port(), DefaultPort(scheme))
	for _, p := range patterns {
		if p.matches(scheme, host, port) {
			return true
		}
	}
	return false
}

func (p *originPattern) matches(scheme, host, port string) bool {
	if p.scheme != "" && p.scheme != scheme || port != cmp.Or(p.port, DefaultPort(scheme)) {
		return false
	}
	if p.subdomains {
		label, found := strings.CutSuffix(host, "."+p.host)
		return found && label != ""
	}
	return host == p.host
}

// pageScheme returns the scheme of the pages that connect with a scheme.
func pageScheme(scheme string) string {
	switch scheme {
	case "ws":
		return "http"
	case "wss":
		return "https"
	default:
		return scheme
	}
}

// canonicalName returns the one spelling of a host, which has no port.
func canonicalName(host string) string {
	if address, err := netip.ParseAddr(host); err == nil {
		return address.String()
	}
	return strings.ToLower(host)
}

// ParseOrigins parses the elements of AllowedOrigins. Its error names the first malformed one
// and says what is wrong with it.
func ParseOrigins(patterns []string) (OriginPatterns, error) {
	var parsed OriginPatterns
	for _, pattern := range patterns {
		p, err := parseOrigin(pattern)
		if err != nil {
			return nil, fmt.Errorf("websocket: AllowedOrigins: %q %w", pattern, err)
		}
		parsed = append(parsed, p)
	}
	return parsed, nil
}

// forbiddenInOrigin lists the parts of a URL that an origin cannot have, with the characters
// that begin them and the text for the error.
var forbiddenInOrigin = []struct{ marks, what string }{
	{" \t\r\n,", "a space or a comma: each origin is an element of its own"},
	{`/\`, "a path: not even a slash may follow the host"},
	{"?", "a query"},
	{"#", "a fragment"},
	{"@", "a user"},
}

// parseOrigin parses one element. Its error is the end of a sentence that begins with the
// element.
func parseOrigin(pattern string) (p originPattern, err error) {
	host := strings.ToLower(pattern)
	if host == "file://" {
		return originPattern{scheme: "file"}, nil
	}
	if scheme, rest, found := strings.Cut(host, "://"); found {
		if !isScheme(scheme) {
			return p, errors.New("has a malformed scheme")
		}
		p.scheme, host = pageScheme(scheme), rest
	}
	for _, foreign := range forbiddenInOrigin {
		if strings.ContainsAny(host, foreign.marks) {
			return p, errors.New("has " + foreign.what)
		}
	}
	if colon := strings.LastIndexByte(host, ':'); colon > strings.LastIndexByte(host, ']') {
		port, err := strconv.ParseUint(host[colon+1:], 10, 16)
		if err != nil || port == 0 {
			return p, errors.New("has a bad port: want 1 to 65535")
		}
		host, p.port = host[:colon], strconv.FormatUint(port, 10)
	}
	switch {
	case host == "":
		return p, errors.New("has no host")
	case host == "*" && p.scheme == "":
		return p, errors.New("would allow every origin: InsecureSkipOriginCheck is the option for that")
	case host == "*":
		return p, errors.New("would allow every origin of its scheme: that is for CheckOrigin to decide")
	case host == "null":
		return p, errors.New("is the origin of pages that have nothing in common")
	case host[0] == '[':
		p.host, err = parseIPv6(host)
	default:
		p.host, p.subdomains = strings.CutPrefix(host, "*.")
		err = p.checkHostname()
	}
	return p, err
}

// isScheme reports whether s, in lower case, is the scheme of a URL (RFC 3986, 3.1).
func isScheme(s string) bool {
	for i, c := range s {
		switch {
		case 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return s != ""
}

// parseIPv6 parses an address in brackets.
func parseIPv6(bracketed string) (string, error) {
	inner, closed := strings.CutSuffix(bracketed[1:], "]")
	address, err := netip.ParseAddr(inner)
	if !closed || err != nil || !address.Is6() || address.Zone() != "" {
		return "", errors.New("has a malformed IPv6 address: want one in brackets, without a zone")
	}
	return address.String(), nil
}

// checkHostname returns an error for a host that no browser sends: the pattern would match
// no request. Hosts of http and https are DNS names or addresses; apps and extensions may use any
// name.
func (p *originPattern) checkHostname() error {
	for _, c := range p.host {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		case c == '*':
			return errors.New(`has a "*" that is not the whole first label, before a host`)
		case c == ':':
			return errors.New("has an IPv6 address that is not in brackets")
		case c > 0x7f:
			return errors.New("has letters that browsers send in Punycode: want xn-- and so on")
		default:
			return fmt.Errorf("has a %q in its host", c)
		}
	}
	isWeb := p.scheme == "" || DefaultPort(p.scheme) != ""
	if !isWeb && !p.subdomains {
		return nil
	}
	labels := strings.Split(p.host, ".")
	if slices.Contains(labels, "") {
		return errors.New("has a host with an empty label")
	}
	// Browsers take a host whose last label is a number for an IPv4 address.
	if !isWeb || strings.Trim(labels[len(labels)-1], "0123456789") != "" {
		return nil
	}
	switch _, err := netip.ParseAddr(p.host); {
	case p.subdomains:
		return errors.New("is about hosts below an address")
	case err != nil:
		return errors.New("has a malformed IPv4 address")
	default:
		return nil
	}
}
