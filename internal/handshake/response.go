package handshake

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it, and not for secrecy
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// ReadResponse returns the subprotocol that a 101 response chooses, and the terms of compression,
// nil if it chooses none. The client offered the subprotocols, and compression with these limits
// unless limits is nil. A response that switches to another protocol, or chooses what was not
// offered, is an error (RFC 6455, 4.1).
func ReadResponse(response *http.Response, subprotocols []string, limits *DeflateLimits) (subprotocol string, terms *DeflateTerms, err error) {
	header := response.Header
	switch {
	case !response.ProtoAtLeast(1, 1):
		return "", nil, fmt.Errorf("the server answered in %s", response.Proto)
	case !listHasOnly(header["Upgrade"], "websocket"): // it lists what the server switches to (RFC 9110, 7.8)
		return "", nil, fmt.Errorf("the server's 101 has no right Upgrade header: %q", header["Upgrade"])
	case !listHas(header["Connection"], "upgrade"):
		return "", nil, fmt.Errorf("the server's 101 has no right Connection header: %q", header["Connection"])
	case len(header["Sec-Websocket-Accept"]) != 1: // RFC 6455, 11.3.3
		return "", nil, fmt.Errorf("the server's 101 has no right Sec-WebSocket-Accept header: %q", header["Sec-Websocket-Accept"])
	}
	if chosen, ok := header["Sec-Websocket-Protocol"]; ok {
		subprotocol = strings.Join(chosen, ", ")
		if !slices.Contains(subprotocols, subprotocol) {
			return "", nil, fmt.Errorf("the server chose subprotocol %q, which was not offered", subprotocol)
		}
	}
	extensions, err := parseExtensions(header["Sec-Websocket-Extensions"])
	if err != nil || len(extensions) == 0 {
		return subprotocol, nil, err
	}
	if limits != nil {
		if terms, ok := agreeDeflate(extensions, *limits); ok {
			return subprotocol, &terms, nil
		}
	}
	return "", nil, fmt.Errorf("the server chose extensions %q, which were not offered",
		strings.Join(header["Sec-Websocket-Extensions"], ", "))
}

// acceptGUID is appended to the client's key (RFC 6455, 1.3).
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// AppendResponse appends the 101 response of a server to p (RFC 6455, 4.2.2). The key is the
// client's; an empty subprotocol and empty extensions stand for none. The header is added without
// its Sec-WebSocket-Protocol. Its values cannot end their line: control characters become spaces.
func AppendResponse(p []byte, key, subprotocol, extensions string, header http.Header) []byte {
	p = append(p, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "...)
	challenge := append(append(make([]byte, 0, 64), key...), acceptGUID...)
	accept := sha1.Sum(challenge) //nolint:gosec // likewise
	p = append(base64.StdEncoding.AppendEncode(p, accept[:]), "\r\n"...)
	if subprotocol != "" {
		p = appendHeader(p, "Sec-WebSocket-Protocol", subprotocol)
	}
	if extensions != "" {
		p = appendHeader(p, "Sec-WebSocket-Extensions", extensions)
	}
	for name, values := range header {
		if name == "Sec-Websocket-Protocol" {
			continue
		}
		for _, value := range values {
			p = appendHeader(p, name, value)
		}
	}
	return append(p, "\r\n"...)
}

func appendHeader(p []byte, name, value string) []byte {
	return append(appendLine(append(appendLine(p, name), ": "...), value), "\r\n"...)
}

// appendLine appends a part of a line, with spaces in place of control characters.
func appendLine(p []byte, s string) []byte {
	start := len(p)
	p = append(p, s...)
	for i, c := range p[start:] {
		if c < ' ' {
			p[start+i] = ' '
		}
	}
	return p
}
