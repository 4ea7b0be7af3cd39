// Package bearer passes one fact from the middleware of package browsertoken to the Upgrader: the
// client has offered the marker, which announces a token, as a subprotocol.
package bearer

import (
	"net/http"
	"slices"
	"strings"

	"goyave.dev/goyave/v5"
)

// Marker is the entry of Sec-WebSocket-Protocol that announces a token. It is also the subprotocol
// that the server selects if it selects no other.
const Marker = "bearer"

// Header is Sec-WebSocket-Protocol, as http.Header spells it.
const Header = "Sec-Websocket-Protocol"

// extraOffered is a key in a request's Extra. It is set if the client has offered the marker.
type extraOffered struct{}

// Offered records that the client has offered the marker. The server must then select a
// subprotocol: a browser fails the connection if none of its offers is selected.
func Offered(request *goyave.Request) { request.Extra[extraOffered{}] = struct{}{} }

// Entries returns the subprotocols that the client offers. The header may have several lines;
// empty entries are ignored (RFC 9110, 5.6.1).
func Entries(header http.Header) []string {
	var all []string
	for entry := range strings.SplitSeq(strings.Join(header[Header], ","), ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			all = append(all, entry)
		}
	}
	return all
}

// Selected returns the marker if the client has offered it and no other subprotocol is selected,
// and "" otherwise. Other subprotocols are selected from the given ones or, if they are nil, by
// the header of the response.
func Selected(request *goyave.Request, subprotocols []string, header http.Header) string {
	if _, offered := request.Extra[extraOffered{}]; !offered {
		return ""
	}
	if subprotocols == nil {
		for name, values := range header {
			if http.CanonicalHeaderKey(name) == Header && len(values) > 0 && values[0] != "" {
				return "" // the controller has selected one
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
