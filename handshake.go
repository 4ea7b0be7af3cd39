package websocket

import (
	"errors"
	"fmt"
	"net/http"
)

// checkHandshake returns what is wrong with an opening handshake in which gorilla,
// which reads the first key and any version of a list, finds nothing wrong.
func checkHandshake(r *http.Request) error {
	switch {
	case len(r.Header["Sec-Websocket-Key"]) != 1: // RFC 6455, 11.3.1
		return errors.New("websocket: more than one 'Sec-WebSocket-Key' header")
	case len(r.Header["Sec-Websocket-Version"]) != 1 || r.Header.Get("Sec-Websocket-Version") != "13": // 4.2.1 and 11.3.5
		return fmt.Errorf("websocket: unsupported version: 'Sec-WebSocket-Version' is %q, not 13 alone", r.Header["Sec-Websocket-Version"])
	case r.ContentLength != 0: // what comes next would be read as frames, but is the request's for a proxy on the way
		return errors.New("websocket: the request has a body")
	default:
		return nil
	}
}
