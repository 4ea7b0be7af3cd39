package handshake

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// ReadResponse returns the subprotocol that a 101 response chooses and whether it agrees on
// compression. subprotocols and compression are what the client offered. A response that
// switches to another protocol, or chooses what was not offered, is an error (RFC 6455, 4.1).
func ReadResponse(response *http.Response, subprotocols []string, compression bool) (subprotocol string, compressed bool, err error) {
	header := response.Header
	switch {
	case !response.ProtoAtLeast(1, 1):
		return "", false, fmt.Errorf("the server answered in %s", response.Proto)
	case !listHasOnly(header["Upgrade"], "websocket"): // it lists what the server switches to (RFC 9110, 7.8)
		return "", false, fmt.Errorf("the server's 101 has no right Upgrade header: %q", header["Upgrade"])
	case !listHas(header["Connection"], "upgrade"):
		return "", false, fmt.Errorf("the server's 101 has no right Connection header: %q", header["Connection"])
	case len(header["Sec-Websocket-Accept"]) != 1: // RFC 6455, 11.3.3
		return "", false, fmt.Errorf("the server's 101 has no right Sec-WebSocket-Accept header: %q", header["Sec-Websocket-Accept"])
	}
	if chosen, ok := header["Sec-Websocket-Protocol"]; ok {
		subprotocol = strings.Join(chosen, ", ")
		if !slices.Contains(subprotocols, subprotocol) {
			return "", false, fmt.Errorf("the server chose subprotocol %q, which was not offered", subprotocol)
		}
	}
	extensions, err := parseExtensions(header["Sec-Websocket-Extensions"])
	if err != nil || len(extensions) == 0 {
		return subprotocol, false, err
	}
	if !compression || !canAgree(extensions) {
		return "", false, fmt.Errorf("the server chose extensions %q, which were not offered",
			strings.Join(header["Sec-Websocket-Extensions"], ", "))
	}
	return subprotocol, true, nil
}
