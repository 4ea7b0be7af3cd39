package websocket

import (
	"context"
	"io"
	"net"
	"net/http"

	root "github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/goyave/browsertoken"
)

// These names of github.com/goyave-contrib/websocket are repeated here so that a Goyave
// application needs one import only.

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

// A CompressionMode says whether messages are compressed, and how. Its names are the values of the
// entry websocket.compression.
type CompressionMode = root.CompressionMode

// Modes of Options.Compression.
const (
	CompressionDisabled          = root.CompressionDisabled
	CompressionNoContextTakeover = root.CompressionNoContextTakeover
	CompressionContextTakeover   = root.CompressionContextTakeover
)

// CompressionOff is the compression level at which written messages are not compressed. The entry
// websocket.compressionLevel has 0 for it.
const CompressionOff = root.CompressionOff

// NormalClosureMessage is the text sent with code 1000 when Serve returns nil.
const NormalClosureMessage = root.NormalClosureMessage

var (
	// ErrShutdown is the cause of a connection's context once its server or its Upgrader
	// shuts down. From then on reads fail with it, and it is the reason for which upgrades are
	// refused. A Serve that returns it ends its connection with Options.ShutdownClose, 1001 by
	// default, and OnError is not called.
	ErrShutdown = root.ErrShutdown
	// ErrNotHandshake is wrapped by the reason of a refusal if the request is no WebSocket
	// handshake, for example because the address was opened in a browser or a proxy does not
	// forward upgrades. The client gets the reason, with or without Debug.
	ErrNotHandshake = root.ErrNotHandshake
	// ErrTooManyConnections is the reason for which an upgrade is refused at MaxConnections.
	ErrTooManyConnections = root.ErrTooManyConnections

	// ErrQueueFull is the error of [Conn.Enqueue] when the queue would exceed its limit. A
	// Serve that returns it ends its connection with 1013, or with 1009 if one message is
	// longer than the limit by itself, and OnError is not called.
	ErrQueueFull = root.ErrQueueFull
	// ErrPeerGone is the error of a connection whose peer has stopped answering.
	ErrPeerGone = root.ErrPeerGone
	// ErrCloseSent is the error of writes after a close frame has been sent.
	ErrCloseSent = root.ErrCloseSent
	// ErrReadLimit is wrapped by the error of a read whose message is longer than
	// MaxMessageSize allows.
	ErrReadLimit = root.ErrReadLimit
	// ErrBadHandshake is wrapped by the error of a [Dial] that the server has refused.
	ErrBadHandshake = root.ErrBadHandshake
)

type (
	// Conn is one upgraded connection. One goroutine may read and any number may
	// write, ping or close at the same time.
	Conn = root.Conn

	// Options configures an [Upgrader]. The zero value is ready to use: a zero field means the
	// value of the configuration, a negative one means off.
	Options = root.Options

	// DialOptions configures a [Dial]. The zero value and nil are ready to use.
	DialOptions = root.DialOptions

	// An Observer is a set of functions that are called for events of an [Upgrader]'s
	// connections, for metrics and traces; see [Options].
	Observer = root.Observer

	// An Ending describes how a connection ended.
	Ending = root.Ending

	// Stats are the counters of an [Upgrader].
	Stats = root.Stats

	// A CloseError is the code and the text of a close frame. A read returns the frame that the
	// peer has sent; Serve returns the frame to send.
	CloseError = root.CloseError

	// A RefusedError is the error with which CheckUpgrade refuses an upgrade and chooses the
	// status: see [UpgradeChecker]. It may be wrapped. The zero value refuses with 403.
	RefusedError = root.RefusedError

	// A PanicError is a recovered panic, or a runtime.Goexit; see [ErrorHandler].
	PanicError = root.PanicError

	// A PreparedMessage is encoded once and sent to many connections with
	// [Conn.WritePreparedMessage].
	PreparedMessage = root.PreparedMessage

	// An EncodedMessage is encoded once and written to many connections with
	// [Conn.Enqueue].
	EncodedMessage = root.EncodedMessage

	// A MessageHandler handles the messages of one connection: see [MessageController]. Its
	// OnMessage is called with one message after the other. The message is only valid until
	// OnMessage returns: copy what is needed for longer. An error ends the connection and has
	// the meaning of an error of Serve.
	MessageHandler = root.MessageHandler

	// MessageHandlerFunc adapts a function to a [MessageHandler].
	MessageHandlerFunc = root.MessageHandlerFunc

	// A CloseHandler is a [MessageHandler] with an OnClose, which is called once, after the last
	// call of OnMessage, however the connection ends. Its error is the error of OnMessage or
	// of the read, as a Goyave error, and for a panic a *PanicError.
	CloseHandler = root.CloseHandler

	// A QueueLimit limits the messages that wait to be written to a connection: see
	// [Conn.Enqueue].
	QueueLimit = root.QueueLimit

	// A Replacement says which waiting messages a message may take the place of: see
	// [Conn.EnqueueReplacing]. [NewReplacement] makes one.
	Replacement = root.Replacement

	// Displaced counts the waiting messages whose place a later one took.
	Displaced = root.Displaced
)

// BrowserToken is the former name of the middleware of the package browsertoken. It will be
// removed in v1.
//
// Deprecated: use [browsertoken.Middleware].
type BrowserToken = browsertoken.Middleware

// FromContext returns the connection that ctx belongs to, if any: ctx is the context of an upgraded
// request, or derived from it.
func FromContext(ctx context.Context) (*Conn, bool) { return root.FromContext(ctx) }

// Dial connects to a WebSocket server. The scheme of the URL is ws, wss, http or https; options may
// be nil. If the server refuses the handshake, the error wraps [ErrBadHandshake], and the response
// is returned with the beginning of its body. ctx limits the handshake only. The caller must
// close the connection.
func Dial(ctx context.Context, url string, options *DialOptions) (*Conn, *http.Response, error) {
	return root.Dial(ctx, url, options)
}

// NewCloseError returns an error for Serve to return: it closes the connection with the given code
// and text, and OnError is not called. During the server's shutdown, it applies if Serve returns
// within 3 seconds. The text is truncated to 123 bytes. With a code that may not be sent (see
// [ValidCloseCode]), it is treated like any other error.
//
// The peer receives the text: it must not contain secrets.
func NewCloseError(code int, text string) *CloseError { return root.NewCloseError(code, text) }

// ValidCloseCode reports whether [Conn.Close], [NewCloseError] or a hub may close a connection with
// the code: 1000-1003, 1007-1014, 3000-4999, and 1005 for an empty frame.
func ValidCloseCode(code int) bool { return root.ValidCloseCode(code) }

// IsCloseError reports whether err is or wraps a *CloseError of a normal end: code 1000 (normal
// closure), 1001 (going away) or 1005 (no code).
func IsCloseError(err error) bool { return root.IsCloseError(err) }

// IsUnexpectedCloseError reports whether err is or wraps a *CloseError whose code is not one of the
// expected codes.
func IsUnexpectedCloseError(err error, expected ...int) bool {
	return root.IsUnexpectedCloseError(err, expected...)
}

// CloseStatus returns the code of the *CloseError that err is or wraps, or -1 if there is none.
func CloseStatus(err error) int { return root.CloseStatus(err) }

// IsDisconnect reports whether err is or wraps an error of a connection's read or write because the
// peer has disconnected without a close frame.
func IsDisconnect(err error) bool { return root.IsDisconnect(err) }

// EncodeMessage returns a text or binary message that is encoded once and can be written to many
// connections. It copies the data.
func EncodeMessage(messageType int, data []byte) (*EncodedMessage, error) {
	return root.EncodeMessage(messageType, data)
}

// NewReplacement returns a Replacement for messages of which the latest with a key is enough, or of
// which the oldest may be dropped, or both.
func NewReplacement(key string, dropOldest bool) *Replacement {
	return root.NewReplacement(key, dropOldest)
}

// NewPreparedMessage returns a message that is encoded once and can be written to many connections.
// An invalid CloseMessage is an error.
func NewPreparedMessage(messageType int, data []byte) (*PreparedMessage, error) {
	return root.NewPreparedMessage(messageType, data)
}

// FormatCloseMessage returns the payload of a close frame with the given code and text. It is empty
// for CloseNoStatusReceived.
func FormatCloseMessage(code int, text string) []byte { return root.FormatCloseMessage(code, text) }

// JoinObservers returns an Observer that calls the functions of the given ones, in this order. Nil
// observers are ignored. A panic in one does not prevent the calls of the others.
func JoinObservers(observers ...*Observer) *Observer { return root.JoinObservers(observers...) }

// IsWebSocketUpgrade reports whether the client asks for an upgrade.
func IsWebSocketUpgrade(r *http.Request) bool { return root.IsWebSocketUpgrade(r) }

// JoinMessages returns a reader of all further messages, each followed by term. At the end it
// returns the error of the connection, never io.EOF.
func JoinMessages(conn *Conn, term string) io.Reader { return root.JoinMessages(conn, term) }

// Stream returns a connection as a net.Conn, a stream of bytes. Each Write sends one message of the
// given type, TextMessage or BinaryMessage. The end of ctx ends the stream.
func Stream(ctx context.Context, conn *Conn, messageType int) net.Conn {
	return root.Stream(ctx, conn, messageType)
}
