package handshake

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// SelectSubprotocol returns the subprotocol of a connection, "" for none. offered are the
// lines of the client's Sec-WebSocket-Protocol (RFC 6455, 11.3.4), list the server's
// subprotocols in their order of preference. Where list is nil, the header of the response
// decides, whether the client offered that subprotocol or not.
func SelectSubprotocol(offered, list []string, header http.Header) string {
	if list == nil {
		return header.Get("Sec-Websocket-Protocol")
	}
	for _, ours := range list {
		if IsOffered(offered, ours) {
			return ours
		}
	}
	return ""
}

// IsOffered reports whether the lines of the client's Sec-WebSocket-Protocol have a
// subprotocol.
func IsOffered(lines []string, subprotocol string) bool {
	for offer := range listElements(lines) {
		if offer == subprotocol {
			return true
		}
	}
	return false
}

// NoSubprotocolError returns the reason of a refusal where a subprotocol is required and none
// was selected.
func NoSubprotocolError(offered, list []string, header http.Header) error {
	if selected := header.Get("Sec-Websocket-Protocol"); list == nil && selected != "" {
		list = []string{selected}
	}
	quoted := make([]string, len(list)) // it has copies: an error that is hardly ever made must not move the list to the heap
	for i, subprotocol := range list {
		quoted[i] = strconv.Quote(subprotocol)
	}
	return fmt.Errorf("websocket: no subprotocol in common: the client offers %q, the server has [%s]",
		slices.Collect(listElements(offered)), strings.Join(quoted, " "))
}

// CheckSubprotocols returns an error unless all elements of a list are tokens and no two are
// the same (RFC 6455, 4.1).
func CheckSubprotocols(list []string) error {
	for i, subprotocol := range list {
		switch {
		case !IsToken(subprotocol):
			return fmt.Errorf("websocket: subprotocol %s is no token: letters, digits and !#$%%&'*+-.^_`|~", strconv.Quote(subprotocol))
		case slices.Contains(list[:i], subprotocol):
			return fmt.Errorf("websocket: subprotocol %s is listed twice", strconv.Quote(subprotocol))
		}
	}
	return nil
}
