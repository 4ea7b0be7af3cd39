package websocket

import (
	"errors"
	"net/http"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// The parts of gorilla/websocket that an application needs, so that one import is
// enough. gorilla's Upgrade function is left out because it checks no origin.

// Message types (RFC 6455, 11.8).
const (
	TextMessage   = ws.TextMessage
	BinaryMessage = ws.BinaryMessage
	CloseMessage  = ws.CloseMessage
	PingMessage   = ws.PingMessage
	PongMessage   = ws.PongMessage
)

// Close codes (RFC 6455, 7.4.1 and the IANA registry). CloseNoStatusReceived
// stands for an empty close frame; CloseAbnormalClosure and CloseTLSHandshake
// are never sent.
const (
	CloseNormalClosure           = ws.CloseNormalClosure
	CloseGoingAway               = ws.CloseGoingAway
	CloseProtocolError           = ws.CloseProtocolError
	CloseUnsupportedData         = ws.CloseUnsupportedData
	CloseNoStatusReceived        = ws.CloseNoStatusReceived
	CloseAbnormalClosure         = ws.CloseAbnormalClosure
	CloseInvalidFramePayloadData = ws.CloseInvalidFramePayloadData
	ClosePolicyViolation         = ws.ClosePolicyViolation
	CloseMessageTooBig           = ws.CloseMessageTooBig
	CloseMandatoryExtension      = ws.CloseMandatoryExtension
	CloseInternalServerErr       = ws.CloseInternalServerErr
	CloseServiceRestart          = ws.CloseServiceRestart
	CloseTryAgainLater           = ws.CloseTryAgainLater
	CloseBadGateway              = 1014
	CloseTLSHandshake            = ws.CloseTLSHandshake
)

// Errors of gorilla that this package returns as they are.
var (
	// ErrCloseSent is the error of writes after a close frame was sent.
	ErrCloseSent = ws.ErrCloseSent
	// ErrReadLimit is wrapped by the error of a read whose message exceeds the connection's
	// limit: see Options.MaxMessageSize.
	ErrReadLimit = ws.ErrReadLimit
	// ErrBadHandshake is wrapped by the error of a [Dial] that the server refused or
	// answered with a response that is not valid.
	ErrBadHandshake = ws.ErrBadHandshake
)

type (
	// A CloseError is a close frame: the code and text that the peer sent if a read returns
	// it, or those to send if Serve returns it.
	CloseError = ws.CloseError

	// A PreparedMessage is encoded once and sent to many connections with
	// [Conn.WritePreparedMessage].
	PreparedMessage = ws.PreparedMessage
)

// NewPreparedMessage returns a message that is encoded once for all connections that it is
// written to. A CloseMessage whose payload may not be sent is an error, and so is a type that
// there is not.
func NewPreparedMessage(messageType int, data []byte) (*PreparedMessage, error) {
	if messageType == CloseMessage {
		if _, violation := wire.ParseClose(data); violation != nil {
			return nil, wire.InvalidCloseError(violation)
		}
	}
	return ws.NewPreparedMessage(messageType, data)
}

// FormatCloseMessage returns the payload of a close frame with the given code and text. It
// is empty for CloseNoStatusReceived. The text is not truncated: a payload of more than 125
// bytes, 2 of them for the code, can't be sent.
func FormatCloseMessage(code int, text string) []byte {
	return ws.FormatCloseMessage(code, text)
}

// IsWebSocketUpgrade reports whether the Connection and Upgrade headers of a request ask for a
// WebSocket, as an Endpoint reads them. The rest of the handshake may still be invalid.
func IsWebSocketUpgrade(r *http.Request) bool {
	return handshake.AsksForUpgrade(r)
}

// IsUnexpectedCloseError reports whether err is or wraps a *CloseError with a code that is
// not one of the expected ones.
func IsUnexpectedCloseError(err error, expected ...int) bool {
	var ce *CloseError
	return errors.As(err, &ce) && ws.IsUnexpectedCloseError(ce, expected...)
}
