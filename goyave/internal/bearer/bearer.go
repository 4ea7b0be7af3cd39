// Package bearer is what the package browsertoken and the Upgrader know of each other:
// that a client offered the marker, which says that a token follows, as a subprotocol.
package bearer

import (
	"net/http"
	"slices"
	"strings"

	"goyave.dev/goyave/v5"
)

// Marker is the entry of Sec-WebSocket-Protocol that says that a token follows, and the
// subprotocol that is selected where there is no real one.
const Marker = "bearer"

// Header is Sec-WebSocket-Protocol, as http.Header spells it.
const Header = "Sec-Websocket-Protocol"

// extraOffered is the key in a request's Extra that says that the client offered the
// marker.
type extraOffered struct{}

// Offered notes that the client offered the marker: a browser fails the connection if
// none of the subprotocols that it offered is selected.
func Offered(request *goyave.Request) { request.Extra[extraOffered{}] = struct{}{} }

// Entries returns the subprotocols that the client offers. There may be several
// lines, and empty entries mean nothing (RFC 9110, 5.6.1).
func Entries(header http.Header) []string {
	var all []string
	for entry := range strings.SplitSeq(strings.Join(header[Header], ","), ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			all = append(all, entry)
		}
	}
	return all
}

// Selected returns the marker where the client offered it and nothing else would be
// selected: none of the subprotocols, or where they are nil what the header of the
// response says. Otherwise it returns "".
func Selected(request *goyave.Request, subprotocols []string, header http.Header) string {
	if _, offered := request.Extra[extraOffered{}]; !offered {
		return ""
	}
	if subprotocols == nil {
		for name, values := range header {
			if http.CanonicalHeaderKey(name) == Header && len(values) > 0 && values[0] != "" {
				return "" // the controller selected one
			}
		}
	}
	if slices.ContainsFunc(Entries(request.Header()), func(offered string) bool {
		return slices.Contains(subprotocols, offered)
	}) {
		return ""
	}
	return Marker
}
