package handshake

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
)

// SelectSubprotocol returns the subprotocol of a connection, "" for none: the first of
// the list that the client offers or, where there is no list, what the header of the
// response says, offered or not. The client may offer them on several lines (RFC 6455,
// 11.3.4).
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

func IsOffered(lines []string, subprotocol string) bool {
	for offer := range listElements(lines) {
		if offer == subprotocol {
			return true
		}
	}
	return false
}

// NoSubprotocolError is the reason of a refusal where one is required.
func NoSubprotocolError(offered, list []string, header http.Header) error {
	if selected := header.Get("Sec-Websocket-Protocol"); list == nil && selected != "" {
		list = []string{selected}
	}
	return fmt.Errorf("websocket: no subprotocol in common: the client offers %q, the server has %q",
		slices.Collect(listElements(offered)), list)
}

// CheckSubprotocols returns an error where a list can't be offered, or chosen from: its
// elements are tokens, each a different one (RFC 6455, 4.1).
func CheckSubprotocols(list []string) error {
	for i, subprotocol := range list {
		switch {
		case !IsToken(subprotocol):
			return fmt.Errorf("websocket: subprotocol %q is no token: letters, digits and !#$%%&'*+-.^_`|~", subprotocol)
		case slices.Contains(list[:i], subprotocol):
			return fmt.Errorf("websocket: subprotocol %q is listed twice", subprotocol)
		}
	}
	return nil
}

// CheckHeader returns what is wrong with what the application has answered: the
// subprotocols it has and the header of the response.
func CheckHeader(subprotocols []string, header http.Header) error {
	if err := CheckSubprotocols(subprotocols); err != nil {
		return err
	}
	if selected := header.Get("Sec-Websocket-Protocol"); subprotocols == nil && selected != "" && !IsToken(selected) {
		return fmt.Errorf("websocket: the header of the response selects subprotocol %q, which is no token", selected)
	}
	if _, ok := header["Sec-Websocket-Extensions"]; ok {
		return errors.New("websocket: application specific 'Sec-WebSocket-Extensions' headers are unsupported")
	}
	return nil
}
