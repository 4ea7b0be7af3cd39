package handshake

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// An Offer is what a client says in its opening handshake.
type Offer struct {
	Header       http.Header    // added to the request
	Host         string         // the Host header; "" means that of Header or, without one, of the URL
	Subprotocols []string       // in order of preference
	Deflate      *DeflateLimits // nil offers no compression
}

// Request returns the request of the opening handshake, without its key (RFC 6455, 4.1). The URL has
// the scheme ws, wss, http or https. What can't be sent unchanged, and a header of the handshake
// itself, is an error.
func (o *Offer) Request(rawURL string) (*http.Request, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	header := CanonicalHeader(o.Header)
	if header == nil {
		header = http.Header{}
	}
	for name := range header {
		if name == "Upgrade" || name == "Connection" || strings.HasPrefix(name, "Sec-Websocket-") {
			return nil, fmt.Errorf("websocket: header %s belongs to the handshake and can't be set", name)
		}
	}
	host := cmp.Or(o.Host, header.Get("Host"), u.Host)
	header.Del("Host")
	if _, ok := HostHeader(host); !ok {
		return nil, fmt.Errorf("websocket: %q can't be sent as the Host header", host)
	}
	if err := checkSendable(header); err != nil {
		return nil, err
	}
	if err := CheckSubprotocols(o.Subprotocols); err != nil {
		return nil, err
	}
	// The spelling of RFC 6455, for servers that insist on it.
	header["Upgrade"] = []string{"websocket"}
	header["Connection"] = []string{"Upgrade"}
	header["Sec-WebSocket-Version"] = []string{"13"}
	if len(o.Subprotocols) > 0 {
		header["Sec-WebSocket-Protocol"] = []string{strings.Join(o.Subprotocols, ", ")}
	}
	if o.Deflate != nil {
		header["Sec-WebSocket-Extensions"] = []string{OfferDeflate(*o.Deflate)}
	}
	return &http.Request{
		Method: http.MethodGet, URL: u, Host: host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// checkSendable returns an error if a header can't be sent unchanged (RFC 9110, 5.1 and 5.5),
// because net/http would leave it out or change it.
func checkSendable(header http.Header) error {
	for name, values := range header {
		if !IsToken(name) {
			return fmt.Errorf("websocket: %q is no name of a header", name)
		}
		for _, value := range values {
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return fmt.Errorf("websocket: header %s has a value with control characters", name)
			}
		}
	}
	return nil
}

// parseURL converts a WebSocket URL to one for net/http. Its errors do not contain the URL,
// because URLs carry passwords and tokens.
func parseURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	var malformed *url.Error
	switch {
	case errors.As(err, &malformed):
		return nil, fmt.Errorf("websocket: URL can't be parsed: %w", malformed.Err)
	case u.Scheme == "ws", u.Scheme == "http":
		u.Scheme = "http"
	case u.Scheme == "wss", u.Scheme == "https":
		u.Scheme = "https"
	default:
		return nil, fmt.Errorf("websocket: URL has scheme %q: want ws, wss, http or https", u.Scheme)
	}
	switch {
	case u.Hostname() == "":
		return nil, errors.New("websocket: URL has no host")
	case u.User != nil:
		return nil, errors.New("websocket: URL has a user: set an Authorization header instead")
	case u.Fragment != "":
		return nil, errors.New("websocket: URL has a fragment")
	}
	if port := u.Port(); port == "" || port == DefaultPort(u.Scheme) { // the Host header has neither (RFC 6455, 4.1)
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	return u, nil
}
