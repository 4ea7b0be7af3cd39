package wire

import (
	"errors"

	ws "github.com/gorilla/websocket"
)

// A ProtocolError reports that the peer violated the protocol.
type ProtocolError struct {
	Code   int    // of the close frame that is sent to the peer
	Reason string // likewise
	Err    error  // ErrReadLimit, or nil
}

func (e *ProtocolError) Error() string {
	if errors.Is(e.Err, ws.ErrReadLimit) {
		return e.Err.Error() + ": " + e.Reason
	}
	return "websocket: protocol error: " + e.Reason
}

func (e *ProtocolError) Unwrap() error { return e.Err }

// CloseFrame returns the close frame that is sent to the peer.
func (e *ProtocolError) CloseFrame() *ws.CloseError {
	return &ws.CloseError{Code: e.Code, Text: TruncateReason(e.Reason)}
}

// Protocol errors in the payload of a message.
var (
	ErrInvalidText = &ProtocolError{Code: ws.CloseInvalidFramePayloadData, Reason: "text is not UTF-8"}
	ErrCorrupt     = &ProtocolError{Code: ws.CloseInvalidFramePayloadData, Reason: "corrupt compressed data"}
	ErrTooBig      = &ProtocolError{Code: ws.CloseMessageTooBig, Reason: "message too big", Err: ws.ErrReadLimit}
)
