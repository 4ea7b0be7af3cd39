package wire

import (
	"errors"

	ws "github.com/gorilla/websocket"
)

// A ProtocolError is a breach of the protocol by the peer, found by us.
type ProtocolError struct {
	Code   int    // of the close frame that answers it
	Reason string // of that frame, too
	Err    error  // ErrReadLimit, or nil
}

func (e *ProtocolError) Error() string {
	if errors.Is(e.Err, ws.ErrReadLimit) {
		return e.Err.Error() + ": " + e.Reason
	}
	return "websocket: protocol error: " + e.Reason
}

func (e *ProtocolError) Unwrap() error { return e.Err }

// CloseFrame is what the peer is told.
func (e *ProtocolError) CloseFrame() *ws.CloseError {
	return &ws.CloseError{Code: e.Code, Text: TruncateReason(e.Reason)}
}

var ErrInvalidText = &ProtocolError{Code: ws.CloseInvalidFramePayloadData, Reason: "text is not UTF-8"}

var ErrCorrupt = &ProtocolError{Code: ws.CloseInvalidFramePayloadData, Reason: "corrupt compressed data"}

var ErrTooBig = &ProtocolError{Code: ws.CloseMessageTooBig, Reason: "message too big", Err: ws.ErrReadLimit}
