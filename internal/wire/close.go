package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	ws "github.com/gorilla/websocket"
)

// TruncateReason makes a text fit into a close frame: it returns valid UTF-8 of at most 123
// bytes, cut between two characters.
func TruncateReason(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if len(text) <= MaxReason {
		return text
	}
	end := MaxReason
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// ParseClose parses the payload of a close frame (RFC 6455, 5.5.1). The code of an empty
// payload is 1005.
func ParseClose(p []byte) (*ws.CloseError, *ProtocolError) {
	switch {
	case len(p) == 0:
		return &ws.CloseError{Code: ws.CloseNoStatusReceived}, nil
	case len(p) == 1:
		return nil, &ProtocolError{Code: ws.CloseProtocolError, Reason: "close payload of one byte"}
	}
	code, reason := int(binary.BigEndian.Uint16(p)), p[2:]
	if !ValidCloseCode(code) {
		return nil, &ProtocolError{Code: ws.CloseProtocolError, Reason: fmt.Sprintf("close code %d", code)}
	}
	if !utf8.Valid(reason) {
		return nil, &ProtocolError{Code: ws.CloseInvalidFramePayloadData, Reason: "close reason is not UTF-8"}
	}
	return &ws.CloseError{Code: code, Text: string(reason)}, nil
}

// AppendClose appends the payload of a close frame to p: the code and the text, nothing for 1005.
func AppendClose(p []byte, frame *ws.CloseError) []byte {
	if frame.Code == ws.CloseNoStatusReceived {
		return p
	}
	return append(binary.BigEndian.AppendUint16(p, uint16(frame.Code)), frame.Text...) //nolint:gosec // it has two bytes
}

// CloseAnswer returns the close frame that answers the peer's: its code without a text. It is
// the peer's own if that has no text.
func CloseAnswer(peers *ws.CloseError) *ws.CloseError {
	if peers.Text == "" {
		return peers
	}
	return &ws.CloseError{Code: peers.Code}
}

// closeBadGateway is the last code of its range in the IANA registry. gorilla has no name for it.
const closeBadGateway = 1014

// ValidCloseCode reports whether a close frame may carry the code: RFC 6455, 7.4 and the IANA
// registry assign it to endpoints.
func ValidCloseCode(code int) bool {
	return code >= ws.CloseNormalClosure && code <= ws.CloseUnsupportedData ||
		code >= ws.CloseInvalidFramePayloadData && code <= closeBadGateway ||
		code >= 3000 && code <= 4999
}

// InvalidCloseError returns the error for a close message of the caller's that must not be
// sent.
func InvalidCloseError(breach *ProtocolError) error {
	return fmt.Errorf("websocket: invalid close message: %s", breach.Reason)
}
