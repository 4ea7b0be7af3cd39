package websocket

import (
	"fmt"
	"net/http"
	"slices"

	ws "github.com/gorilla/websocket"
)

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
