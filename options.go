package websocket

import (
	"cmp"
	"compress/flate"
	"fmt"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/transport"
)

const defaultMaxMessageSize = 1 << 20 // bytes

// DefaultOptions returns the options that fields stand for which are zero. It is for
// adapters that show the defaults in a configuration: an Upgrader and an Endpoint need
// none of it.
func DefaultOptions() Options {
	return Options{
		MaxMessageSize:       defaultMaxMessageSize,
		CloseTimeout:         10 * time.Second,
		WriteTimeout:         10 * time.Second,
		PingInterval:         30 * time.Second,
		PongTimeout:          10 * time.Second,
		CompressionThreshold: 512,
		CompressionLevel:     flate.BestSpeed,
	}
}

// Options tunes an [Upgrader] or an [Endpoint]. The zero value is ready to use:
// zero means the default, negative means off (but see CompressionLevel). Set the fields
// before the first request.
type Options struct {
	// MaxMessageSize bounds one message that is read, in bytes, after
	// decompression. A longer one ends the connection with code 1009, and its
	// read fails with an error that is ErrReadLimit. Zero means 1 MiB; negative
	// means no bound. [Conn.SetReadLimit] changes it for one connection.
	MaxMessageSize int64

	// SkipUTF8Validation lets text through as it comes. Without it, text that is
	// not UTF-8 ends the connection with code 1007 (RFC 6455, 8.1).
	SkipUTF8Validation bool

	// CloseTimeout bounds the whole closing handshake: writing our close frame
	// and waiting for the peer's. Zero means 10 seconds; negative means no
	// waiting: the frame is tried and the socket closed at once, which may lose it
	// on its way.
	// [Conn.SetCloseHandshakeTimeout] changes it for one connection.
	CloseTimeout time.Duration

	// WriteTimeout is how long a peer may take nothing of what is written to it. Then it
	// has vanished, and the socket is closed: at most a sixteenth of the time earlier or,
	// where something was taken, a quarter later. Each 128 KiB of a frame that are taken
	// start the time anew. Over TCP and unix sockets, with TLS or without, less is enough:
	// on Linux anything that the peer takes of what is on its way, elsewhere what makes
	// room for more.
	//
	// A call that waits for its turn to write waits as long as the writes before it make
	// progress, in the same sense. It waits for WriteTimeout at most for a message that
	// [Conn.NextWriter] began, which may never end. Then it fails with an error that is
	// os.ErrDeadlineExceeded, and nothing was written.
	//
	// Zero means 10 seconds; negative means no bound. To bound a write as a whole, with
	// its wait, use [Conn.SetWriteDeadline], which takes the place of WriteTimeout, or a
	// context, which holds beside it.
	WriteTimeout time.Duration

	// PingInterval is the time between the pings that keep a connection alive and
	// find out whether the peer is. Zero means 30 seconds; negative means no
	// pings, and that nobody looks whether the peer is there. Keep it below the
	// idle timeout of every proxy on the way.
	PingInterval time.Duration

	// PongTimeout is how long a ping may stay without an answer: a peer from
	// which nothing at all came for PingInterval and PongTimeout together, while
	// a read was waiting, is gone, and the read fails with ErrPeerGone. One that takes
	// what is written to it, before the ping, is not. With TLS, a
	// record counts when it is whole. Zero means 10 seconds; negative means that
	// pings are sent and no answer is expected.
	PongTimeout time.Duration

	// HeartbeatInterval is the time after which Heartbeat is sent where no other message,
	// text or binary, was completed. The scripts of a page see nothing of pings: while
	// nobody says anything, such a message is all that tells them that the network is
	// alive. It is never sent within another message: not before a NextWriter is
	// closed. Zero or less means that none is sent. Every client gets it and must know
	// what to make of it; with [Stream], leave it off.
	HeartbeatInterval time.Duration

	// Heartbeat is the text message that is sent then, in UTF-8. Choose one that clients
	// can tell from all other messages; by default it is empty. It counts as a message
	// that was sent.
	Heartbeat string

	// MaxConnections bounds the connections of one Upgrader that are open at the
	// same time: from the upgrade until Serve has returned and the socket is
	// closed. More are refused with 503, a Retry-After header and
	// ErrTooManyConnections. Zero or less means no bound.
	MaxConnections int

	// AllowedOrigins are the origins beside the request's own host whose pages may
	// connect: "example.com" for a host, with any scheme, on the scheme's default
	// port; "*.example.com" for all hosts below it, but not itself. A scheme
	// (any; ws and wss stand for http and https) before and a port behind either
	// form restrict it: "https://app.example.com:8443", "https://*.example.com",
	// "example.com:8443" with any scheme. Apps in a web view and extensions have origins
	// with other schemes: "capacitor://localhost", "tauri://localhost",
	// "chrome-extension://abcdefghijklmnopabcdefghijklmnop".
	//
	// Patterns are compared without case. IPv6 addresses are in brackets
	// ("[::1]:8080"), internationalized names as browsers send them ("xn--..."). A
	// pattern that is none of these is an error: see Validate. "*" alone is, too;
	// that is what InsecureSkipOriginCheck is for. The origin "null" of sandboxed
	// pages and local files never matches. "file://" allows web views that send that
	// origin for files.
	//
	// Empty means the same origin only. A controller that is an OriginChecker
	// decides alone.
	AllowedOrigins []string

	// InsecureSkipOriginCheck lets pages of any origin connect. Browsers send
	// cookies with the handshake whatever page starts it: do this only where
	// nothing depends on them. A controller that is an OriginChecker decides all
	// the same.
	InsecureSkipOriginCheck bool

	// Subprotocols are those that the server speaks, the preferred one first: tokens (RFC
	// 9110, 5.6.2), each a different one. The first that the client offers is selected:
	// see [Conn.Subprotocol]. A SubprotocolLister decides by the request. Nil means those
	// of Settings.
	Subprotocols []string

	// RequireSubprotocol refuses a client with 400 that offers none of the
	// subprotocols: those of Subprotocols or a SubprotocolLister or, where
	// there is no list, the one that UpgradeHeaders selects. Without it, such a
	// connection has none.
	RequireSubprotocol bool

	// HandshakeTimeout bounds writing the 101 response. Zero means that of Settings or,
	// where that is zero too, WriteTimeout; negative means no bound.
	HandshakeTimeout time.Duration

	// ReadBufferSize is the size in bytes of a buffer to read into, which connections
	// share; it bounds no message. Zero means that of Settings or, where that is zero
	// too, 16 KiB, and 4 KiB where a connection needs a buffer all the time, as with TLS.
	ReadBufferSize int

	// WriteBufferSize is the size in bytes of the frames of a message that is written in
	// parts (NextWriter). Zero means that of Settings or, where that is zero too, 4 KiB.
	WriteBufferSize int

	// EnableCompression agrees on compression with clients that offer it
	// (permessage-deflate, RFC 7692), for each message by itself. So does that of
	// Settings.
	EnableCompression bool

	// CompressionThreshold is the size in bytes from which a whole message is
	// compressed, where compression was agreed on (EnableCompression);
	// messages written in parts and prepared ones always are. Zero means 512;
	// negative means that all are compressed.
	CompressionThreshold int

	// CompressionLevel is one of compress/flate: 1 (fastest) to 9 (smallest),
	// flate.DefaultCompression or flate.HuffmanOnly. Zero means 1. [CompressionOff] means
	// that nothing is compressed that is written, unless [Conn.EnableWriteCompression]
	// switches it on for one connection. [Conn.SetCompressionLevel] changes the level for
	// one connection, on the same scale.
	CompressionLevel int

	// Debug shows errors to clients: the reason of a refused upgrade in its
	// body, the error of Serve in the close frame. Not for production.
	Debug bool

	// Logger is told what nobody else is: errors of a controller without an ErrorHandler
	// and, at debug level, how connections ended and requests that ask for no upgrade
	// (ErrNotHandshake). The messages are constant; the error is the attribute "error",
	// and a panic's stack "stack". The context is the connection's, or the request's where
	// there is no connection. Its handler is called from many goroutines at once; a panic
	// of it is recovered. Nil means slog.Default(), as it is at that moment.
	Logger *slog.Logger

	// Observer is told of refused upgrades and of connections that begin and end:
	// see [JoinObservers] for several. Nil means that nobody is.
	Observer *Observer
}

// Validate returns an error that says which setting makes no sense, nil if all
// do. RegisterRoutes panics with it, and an [Endpoint] refuses every upgrade with
// 500 and this reason. [Upgrader.Validate] looks at the Settings as well.
func (o *Options) Validate() error {
	if !isCompressionLevel(o.CompressionLevel) {
		return fmt.Errorf("websocket: CompressionLevel is %d: want 1 to %d, or a constant", o.CompressionLevel, flate.BestCompression)
	}
	if !utf8.ValidString(o.Heartbeat) {
		return fmt.Errorf("websocket: Heartbeat is %q: want UTF-8", o.Heartbeat)
	}
	if _, err := handshake.ParseOrigins(o.AllowedOrigins); err != nil {
		return err
	}
	return handshake.CheckSubprotocols(o.Subprotocols)
}

// override replaces settings of gorilla's by those that the options have.
func (o *Options) override(s *ws.Upgrader) {
	s.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, s.HandshakeTimeout)
	s.ReadBufferSize = cmp.Or(o.ReadBufferSize, s.ReadBufferSize)
	s.WriteBufferSize = cmp.Or(o.WriteBufferSize, s.WriteBufferSize)
	s.EnableCompression = o.EnableCompression || s.EnableCompression
	if o.Subprotocols != nil {
		s.Subprotocols = o.Subprotocols
	}
}

// connOptions are the settings of a connection, resolved: those of all connections of an
// Endpoint, or of one Dial. They must not be changed once a connection points to them.
type connOptions struct {
	maxMessageSize    int64         // bytes; 0: unlimited
	closeTimeout      time.Duration // 0: no waiting
	writeTimeout      time.Duration // without progress; 0: unlimited
	pingInterval      time.Duration // 0: no pings
	pongTimeout       time.Duration // 0: no answer is expected
	heartbeatInterval time.Duration // forever: no heartbeats
	heartbeat         []byte

	compressionThreshold int // bytes
	compressionLevel     int // as Options.CompressionLevel has it, and not 0

	skipUTF8Validation bool
	debug              bool
	guard              func(call func() error) error // see Endpoint.Guard; nil: none
}

// resolve puts the defaults in the place of zeros.
func (o *Options) resolve() *connOptions {
	d := DefaultOptions()
	r := &connOptions{
		maxMessageSize:       orDefault(o.MaxMessageSize, d.MaxMessageSize),
		closeTimeout:         orDefault(o.CloseTimeout, d.CloseTimeout),
		writeTimeout:         orDefault(o.WriteTimeout, d.WriteTimeout),
		pingInterval:         min(orDefault(o.PingInterval, d.PingInterval), forever),
		pongTimeout:          min(orDefault(o.PongTimeout, d.PongTimeout), forever),
		heartbeatInterval:    forever,
		heartbeat:            []byte(o.Heartbeat),
		compressionThreshold: orDefault(o.CompressionThreshold, d.CompressionThreshold),
		compressionLevel:     cmp.Or(o.CompressionLevel, d.CompressionLevel),
		skipUTF8Validation:   o.SkipUTF8Validation,
		debug:                o.Debug,
	}
	if o.HeartbeatInterval > 0 {
		r.heartbeatInterval = min(o.HeartbeatInterval, forever)
	}
	return r
}

// config returns the settings of transports, whose read buffers are from a pool. Sizes are
// those of [config].
func (o *connOptions) config(readBuffers *sync.Pool, readBufferSize, writeBufferSize int) *transport.Config {
	return &transport.Config{
		WriteTimeout: o.writeTimeout,
		CloseTimeout: o.closeTimeout,
		KeepSentAt:   o.heartbeatInterval < forever,

		SkipUTF8Validation:   o.skipUTF8Validation,
		CompressionThreshold: o.compressionThreshold,
		Panics:               recoveredPanics,
		ReadBuffers:          readBuffers,
		ReadBufferSize:       readBufferSize,
		WriteBufferSize:      writeBufferSize,
	}
}

// orDefault returns the setting, its default for zero and 0 for off.
func orDefault[T ~int | ~int64](setting, whenZero T) T {
	if setting == 0 {
		return whenZero
	}
	return max(setting, 0)
}
