// Package handshake judges what the request and the response of an opening handshake say (RFC
// 6455, 4): version, key, subprotocols, extensions and origin, for a server and for a client.
// It has functions of headers only: no I/O and no state.
package handshake

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
)

// ErrNotHandshake is wrapped by the reason of a refusal where the request asks for no upgrade,
// or cannot get one.
var ErrNotHandshake = errors.New("websocket: the client is not using the websocket protocol, and this is a WebSocket endpoint")

// A Request is what a server needs of a client's opening handshake.
type Request struct {
	Key        string      // a valid one
	Extensions []Extension // offered by the client
}

// ReadRequest checks a client's opening handshake (RFC 6455, 4.2.1), but not its origin and
// its subprotocols. Where it returns a reason, the request is to be refused with status.
func ReadRequest(r *http.Request) (o Request, status int, reason error) {
	if status, reason = checkUpgrade(r); reason != nil {
		return o, status, reason
	}
	header := r.Header
	key, version := header["Sec-Websocket-Key"], header["Sec-Websocket-Version"]
	switch {
	case len(version) != 1 || version[0] != "13": // RFC 6455, 4.2.1 and 11.3.5
		reason = fmt.Errorf("websocket: unsupported version: 'Sec-WebSocket-Version' is %q, not 13 alone", version)
	case len(key) > 1: // 11.3.1
		reason = errors.New("websocket: more than one 'Sec-WebSocket-Key' header")
	case len(key) == 0 || !isChallenge(key[0]):
		reason = errors.New("websocket: the 'Sec-WebSocket-Key' header is not 16 bytes in base64")
	case r.ContentLength != 0: // we would read it as frames, a proxy on the way as the body
		reason = errors.New("websocket: the request has a body")
	default:
		o.Key = key[0]
		if o.Extensions, reason = parseExtensions(header["Sec-Websocket-Extensions"]); reason != nil {
			reason = fmt.Errorf("websocket: %w", reason)
		}
	}
	return o, http.StatusBadRequest, reason
}

// checkUpgrade returns why a request asks for no upgrade to a WebSocket, or cannot get one.
func checkUpgrade(r *http.Request) (status int, reason error) {
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor < 1: // HTTP/2 has no Upgrade
		return http.StatusBadRequest, fmt.Errorf("%w: only HTTP/1.1 can be upgraded, the request is %s", ErrNotHandshake, r.Proto)
	case r.Method != http.MethodGet && (r.Method != http.MethodHead || AsksForUpgrade(r)):
		return http.StatusMethodNotAllowed, fmt.Errorf("%w: request method is not GET", ErrNotHandshake)
	case !listHas(r.Header["Connection"], "upgrade"):
		reason = fmt.Errorf("%w: 'upgrade' token not found in 'Connection' header", ErrNotHandshake)
	case !listHas(r.Header["Upgrade"], "websocket"):
		reason = fmt.Errorf("%w: 'websocket' token not found in 'Upgrade' header", ErrNotHandshake)
	default:
		return 0, nil
	}
	if r.ContentLength != 0 {
		return http.StatusBadRequest, reason
	}
	return http.StatusUpgradeRequired, reason
}

// AsksForUpgrade reports whether the Connection and Upgrade headers ask for a WebSocket.
func AsksForUpgrade(r *http.Request) bool {
	return listHas(r.Header["Connection"], "upgrade") && listHas(r.Header["Upgrade"], "websocket")
}

// isChallenge reports whether a key is 16 bytes in base64.
func isChallenge(key string) bool {
	var challenge [18]byte
	if len(key) != base64.StdEncoding.EncodedLen(16) {
		return false
	}
	n, err := base64.StdEncoding.Decode(challenge[:], []byte(key))
	return err == nil && n == 16
}
