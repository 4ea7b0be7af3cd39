package websocket

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	ws "github.com/gorilla/websocket"
)

// oneProtocolLine returns the request with the subprotocols that the client offers
// on one line: there may be several (RFC 6455, 11.3.4), of which gorilla reads the
// first.
func oneProtocolLine(r *http.Request) *http.Request {
	lines := r.Header["Sec-Websocket-Protocol"]
	if len(lines) < 2 {
		return r
	}
	joined := r.WithContext(r.Context())
	joined.Header = maps.Clone(r.Header)
	joined.Header["Sec-Websocket-Protocol"] = []string{strings.Join(lines, ", ")}
	return joined
}

// checkSubprotocol returns why no subprotocol that the client offers would be
// selected: gorilla selects the first of the list that was offered or, where
// there is no list, what the header of the response says, offered or not.
func checkSubprotocol(r *http.Request, list []string, header http.Header) error {
	if selected := header.Get("Sec-Websocket-Protocol"); list == nil && selected != "" {
		list = []string{selected}
	}
	offered := ws.Subprotocols(r)
	if slices.ContainsFunc(list, func(ours string) bool { return ours != "" && slices.Contains(offered, ours) }) {
		return nil
	}
	return fmt.Errorf("websocket: no subprotocol in common: the client offers %q, the server has %q", offered, list)
}
