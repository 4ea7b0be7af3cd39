package websocket

import (
	"context"
	"io"
	"net"
	"net/http"

	root "github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/goyave/browsertoken"
)

// What a Goyave application needs of github.com/goyave-contrib/websocket, so
// that one import is enough.

// Message types (RFC 6455, 11.8).
const (
	TextMessage   = root.TextMessage
	BinaryMessage = root.BinaryMessage
	CloseMessage  = root.CloseMessage
	PingMessage   = root.PingMessage
	PongMessage   = root.PongMessage
)

// Close codes (RFC 6455, 7.4.1 and the IANA registry). CloseNoStatusReceived
// stands for an empty close frame; CloseAbnormalClosure and CloseTLSHandshake
// are never sent.
const (
	CloseNormalClosure           = root.CloseNormalClosure
	CloseGoingAway               = root.CloseGoingAway
	CloseProtocolError           = root.CloseProtocolError
	CloseUnsupportedData         = root.CloseUnsupportedData
	CloseNoStatusReceived        = root.CloseNoStatusReceived
	CloseAbnormalClosure         = root.CloseAbnormalClosure
	CloseInvalidFramePayloadData = root.CloseInvalidFramePayloadData
	ClosePolicyViolation         = root.ClosePolicyViolation
	CloseMessageTooBig           = root.CloseMessageTooBig
	CloseMandatoryExtension      = root.CloseMandatoryExtension
	CloseInternalServerErr       = root.CloseInternalServerErr
	CloseServiceRestart          = root.CloseServiceRestart
	CloseTryAgainLater           = root.CloseTryAgainLater
	CloseBadGateway              = root.CloseBadGateway
	CloseTLSHandshake            = root.CloseTLSHandshake
)

// CompressionOff is the level at which nothing is compressed that is written: that of the
// entry websocket.compressionLevel 0.
const CompressionOff = root.CompressionOff

// NormalClosureMessage is the text sent with code 1000 when Serve returns nil.
const NormalClosureMessage = root.NormalClosureMessage

var (
	// ErrShutdown is the cause of a connection's context once its server or its Upgrader
	// shuts down. Reads fail with it from then on, and upgrades are refused for this
	// reason. A Serve that returns it ends its connection with 1001, and nobody is told.
	ErrShutdown = root.ErrShutdown
	// ErrNotHandshake is wrapped by the reason of a refusal where the request asks for no
	// upgrade, or can't get one: the address was opened in a browser, say, or a proxy
	// does not pass the upgrade on. The client is told the reason, with or without Debug.
	ErrNotHandshake = root.ErrNotHandshake
	// ErrTooManyConnections is the reason of an upgrade that is refused because of
	// MaxConnections.
	ErrTooManyConnections = root.ErrTooManyConnections

	// ErrQueueFull is the error of [Conn.Enqueue] when more would wait than its limit
	// allows. A Serve that returns it ends its connection with 1013, or with 1009 where a
	// message is longer than the limit by itself, and nobody is told.
	ErrQueueFull = root.ErrQueueFull
	// ErrPeerGone is the error of a connection whose peer stopped answering.
	ErrPeerGone = root.ErrPeerGone
	// ErrCloseSent is returned by writes after a close frame was sent.
	ErrCloseSent = root.ErrCloseSent
	// ErrReadLimit is wrapped by the error of a read whose message was longer
	// than the connection accepts.
	ErrReadLimit = root.ErrReadLimit
	// ErrBadHandshake is wrapped by the error of a [Dial] that the server refused.
	ErrBadHandshake = root.ErrBadHandshake
)

type (
	// Conn is one upgraded connection. One goroutine may read and any number may
	// write, ping or close at the same time.
	Conn = root.Conn

	// Options tunes an [Upgrader]. The zero value is ready to use: zero means
	// what the configuration says, negative means off.
	Options = root.Options

	// DialOptions tunes a connection made by [Dial]. The zero value, and nil, are
	// ready to use.
	DialOptions = root.DialOptions

	// An Observer is told what happens to the connections of an [Upgrader], for
	// metrics and traces; see [Options].
	Observer = root.Observer

	// An Ending says how a connection ended.
	Ending = root.Ending

	// Stats counts what an [Upgrader] does.
	Stats = root.Stats

	// A CloseError is a close frame: the code and text that the peer sent, when
	// a read returns it; those to send, when Serve does.
	CloseError = root.CloseError

	// A RefusedError is what CheckUpgrade returns to refuse an upgrade with a status: see
	// [UpgradeChecker]. It may be wrapped. The zero value refuses with 403.
	RefusedError = root.RefusedError

	// A PanicError is a panic that was recovered, or a runtime.Goexit; see
	// [ErrorHandler].
	PanicError = root.PanicError

	// A PreparedMessage is encoded once and sent to many connections with
	// [Conn.WritePreparedMessage].
	PreparedMessage = root.PreparedMessage

	// An EncodedMessage is encoded once and written to many connections with
	// [Conn.Enqueue].
	EncodedMessage = root.EncodedMessage

	// A QueueLimit bounds what waits to be written to a connection: see [Conn.Enqueue].
	QueueLimit = root.QueueLimit
)

// BrowserToken is the middleware of the package browsertoken, under the name that it
// had before. It goes away with v1.
//
// Deprecated: use [browsertoken.Middleware].
type BrowserToken = browsertoken.Middleware

// FromContext returns the connection that ctx belongs to: that of an upgraded
// request, or one derived from it.
func FromContext(ctx context.Context) (*Conn, bool) { return root.FromContext(ctx) }

// Dial connects to a WebSocket server. The URL has the scheme ws, wss, http or
// https; the options may be nil. Where the server refuses, the error is
// ErrBadHandshake, and the response is returned with the start of its body. The
// context bounds the handshake only. The connection is the caller's to close.
func Dial(ctx context.Context, url string, options *DialOptions) (*Conn, *http.Response, error) {
	return root.Dial(ctx, url, options)
}

// NewCloseError returns an error for Serve to return: the connection is closed
// with this code and text, and nobody is told. When the server shuts down, it counts
// if Serve returns within 3 seconds. The text is cut to 123 bytes. With a code that may
// not be sent (see [ValidCloseCode]) it is an error like any other.
//
// The text is for the peer to see: put no secrets into it.
func NewCloseError(code int, text string) *CloseError { return root.NewCloseError(code, text) }

// ValidCloseCode reports whether a connection may be closed with the code, by
// [Conn.Close], [NewCloseError] or a hub: 1000-1003, 1007-1014, 3000-4999, and 1005 for an
// empty frame.
func ValidCloseCode(code int) bool { return root.ValidCloseCode(code) }

// IsCloseError reports whether err is or wraps a *CloseError that says goodbye:
// code 1000 (normal closure), 1001 (going away) or 1005 (no code).
func IsCloseError(err error) bool { return root.IsCloseError(err) }

// IsUnexpectedCloseError reports whether err is or wraps a *CloseError whose code
// is none of the expected ones.
func IsUnexpectedCloseError(err error, expected ...int) bool {
	return root.IsUnexpectedCloseError(err, expected...)
}

// CloseStatus returns the code of the *CloseError that err is or wraps, -1 where
// there is none.
func CloseStatus(err error) int { return root.CloseStatus(err) }

// IsDisconnect reports whether err is or wraps what a connection's read or write
// returned because the peer vanished without a close frame.
func IsDisconnect(err error) bool { return root.IsDisconnect(err) }

// EncodeMessage returns a text or binary message, with a copy of the data, to be written
// to many connections.
func EncodeMessage(messageType int, data []byte) (*EncodedMessage, error) {
	return root.EncodeMessage(messageType, data)
}

// NewPreparedMessage returns a message that is encoded once for all the
// connections it is written to. A CloseMessage that may not be sent is an error.
func NewPreparedMessage(messageType int, data []byte) (*PreparedMessage, error) {
	return root.NewPreparedMessage(messageType, data)
}

// FormatCloseMessage returns the payload of a close frame with the given code
// and text, an empty one for CloseNoStatusReceived.
func FormatCloseMessage(code int, text string) []byte { return root.FormatCloseMessage(code, text) }

// JoinObservers returns an Observer that tells all the others, in this order. Nil ones are
// left out. A panic in one keeps none of the others from being told.
func JoinObservers(observers ...*Observer) *Observer { return root.JoinObservers(observers...) }

// IsWebSocketUpgrade reports whether the client asks for an upgrade.
func IsWebSocketUpgrade(r *http.Request) bool { return root.IsWebSocketUpgrade(r) }

// JoinMessages returns a reader of all the messages to come, each followed by
// term. It ends with the error of the connection, never in io.EOF.
func JoinMessages(conn *Conn, term string) io.Reader { return root.JoinMessages(conn, term) }

// Stream makes a connection a stream of bytes, for what runs on a net.Conn: each
// Write is one message of the given type, TextMessage or BinaryMessage.
func Stream(ctx context.Context, conn *Conn, messageType int) net.Conn {
	return root.Stream(ctx, conn, messageType)
}
