package handshake

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// CanonicalHeader returns a copy of h with canonical names. A map literal may have
// "Sec-WebSocket-Protocol", which http.Header.Get does not find.
func CanonicalHeader(h http.Header) http.Header {
	if h == nil {
		return nil
	}
	c := make(http.Header, len(h))
	for name, values := range h {
		name = http.CanonicalHeaderKey(name)
		c[name] = append(c[name], values...)
	}
	return c
}

// CheckHeader returns what is wrong with the subprotocols and the response header of the
// application, nil if nothing is.
func CheckHeader(subprotocols []string, header http.Header) error {
	if err := CheckSubprotocols(subprotocols); err != nil {
		return err
	}
	if selected := header.Get("Sec-Websocket-Protocol"); subprotocols == nil && selected != "" && !IsToken(selected) {
		return fmt.Errorf("websocket: the header of the response selects subprotocol %s, which is no token", strconv.Quote(selected))
	}
	if _, ok := header["Sec-Websocket-Extensions"]; ok {
		return errors.New("websocket: application specific 'Sec-WebSocket-Extensions' headers are unsupported")
	}
	return nil
}
