package websocket

import (
	"cmp"
	"compress/flate"
	"fmt"
	"log/slog"
	"slices"
	"time"
	"unicode/utf8"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/handshake"
)

const defaultMaxMessageSize = 1 << 20 // bytes

// DefaultOptions returns the values that the zero fields of Options stand for. It is for
// adapters that show the defaults in a configuration; an Upgrader or an Endpoint does not
// need it.
func DefaultOptions() Options {
	return Options{
		MaxMessageSize:       defaultMaxMessageSize,
		CloseTimeout:         10 * time.Second,
		WriteTimeout:         10 * time.Second,
		PingInterval:         30 * time.Second,
		PongTimeout:          10 * time.Second,
		ParkAfter:            5 * time.Second,
		MaxWindowBits:        deflate.MaxWindowBits,
		CompressionThreshold: defaultThreshold,
		CompressionLevel:     flate.BestSpeed,
		ShutdownClose:        frameOr(shutdownFrame, nil),
		DrainClose:           frameOr(drainFrame, nil),
	}
}

// Sizes of messages in bytes from which they are compressed by default.
const (
	defaultThreshold         = 512
	defaultTakeoverThreshold = 128 // with context takeover, short messages are worth it, too
)

// CompressionMode says whether messages are compressed (permessage-deflate, RFC 7692), and how.
// The zero value is CompressionDisabled.
type CompressionMode int

const (
	// CompressionDisabled means that no message is compressed.
	CompressionDisabled CompressionMode = iota

	// CompressionNoContextTakeover means that each message is compressed by itself. It needs
	// no memory between messages, and is good for long messages.
	CompressionNoContextTakeover

	// CompressionContextTakeover means that each message is compressed with the messages
	// before it as a dictionary (RFC 7692, 7.1.1). Short messages that are alike become much
	// smaller. It holds memory for each connection: see Options.MaxWindowBits.
	CompressionContextTakeover
)

// compressionModes has the names of the modes.
var compressionModes = [...]string{"disabled", "noContextTakeover", "contextTakeover"}

// String returns "disabled", "noContextTakeover" or "contextTakeover".
func (m CompressionMode) String() string {
	if m.isValid() {
		return compressionModes[m]
	}
	return fmt.Sprintf("CompressionMode(%d)", int(m))
}

// UnmarshalText sets the mode to the one whose String is text; the empty text means
// CompressionDisabled. For any other text, it returns an error and changes nothing.
func (m *CompressionMode) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*m = CompressionDisabled
		return nil
	}
	mode := slices.Index(compressionModes[:], string(text))
	if mode < 0 {
		return fmt.Errorf("websocket: compression mode is %q: want one of %q", text, compressionModes)
	}
	*m = CompressionMode(mode)
	return nil
}

func (m CompressionMode) isValid() bool { return m >= 0 && int(m) < len(compressionModes) }

// Options configures an [Upgrader] or an [Endpoint]. The zero value is ready to use: a zero
// field means its default, a negative one means off (but see CompressionLevel). Set the
// fields before the first request.
type Options struct {
	// MaxMessageSize bounds one received message, in bytes after decompression. A longer
	// message ends the connection with code 1009, and its read fails with an error that
	// wraps ErrReadLimit. Zero means 1 MiB; negative means no bound. [Conn.SetReadLimit]
	// changes the bound of one connection.
	MaxMessageSize int64

	// SkipUTF8Validation accepts text messages that are not valid UTF-8. Without it, such a
	// message ends the connection with code 1007 (RFC 6455, 8.1).
	SkipUTF8Validation bool

	// CloseTimeout bounds the whole closing handshake: writing our close frame and waiting
	// for the peer's. Zero means 10 seconds. Negative means no waiting: the socket is
	// closed directly after one attempt to write the frame, which may be lost on its way.
	// [Conn.SetCloseHandshakeTimeout] changes the bound of one connection.
	CloseTimeout time.Duration

	// WriteTimeout is how long a write may go without progress. If the peer takes none of
	// the written bytes for this long, the peer has vanished and the socket is closed: at
	// most a sixteenth of WriteTimeout earlier or, if the peer took something, a quarter
	// later. Each 128 KiB of a frame that the peer takes restart the time. Over TCP and
	// unix sockets, with or without TLS, less counts as progress: on Linux any byte in
	// flight that the peer takes, on other systems as much as makes room for more.
	//
	// A call that waits for its turn to write waits as long as the writes before it make
	// progress in the same sense. It waits for at most WriteTimeout for a message that
	// [Conn.NextWriter] began, because such a message may never end. Then it fails with an
	// error that wraps os.ErrDeadlineExceeded and has written nothing. A call may therefore
	// take several times as long as WriteTimeout.
	//
	// Zero means 10 seconds; negative means no bound. To bound a write as a whole,
	// including its wait, use [Conn.SetWriteDeadline], which replaces WriteTimeout, or a
	// context, which applies in addition.
	WriteTimeout time.Duration

	// PingInterval is the time between pings. Pings keep the connection alive and find out
	// whether the peer still is. Zero means 30 seconds; negative means no pings and no
	// check of the peer. Keep it below the idle timeout of every proxy on the way.
	PingInterval time.Duration

	// PongTimeout is how long a ping may go unanswered. The peer is gone, and the read
	// fails with ErrPeerGone, if nothing at all has arrived for PingInterval plus
	// PongTimeout while a read was waiting. A peer that takes what is written to it, before
	// the ping, is not gone. With TLS, a record counts once it has arrived completely. Zero
	// means 10 seconds; negative means that pings are sent and no answer is expected.
	PongTimeout time.Duration

	// ParkAfter is how long a busy connection of a [MessageController] waits for a message
	// until it is parked: its goroutine ends, and its next message is handled on another one.
	// A connection is busy if its last two messages came within that time; any other one is
	// parked when there is nothing to read. A parked connection has neither a goroutine nor a
	// buffer, and all else goes on: pings, timeouts, writes, Shutdown. Zero means 5 seconds;
	// negative means that no connection is parked. A connection whose goroutine is needed to
	// wait is never parked: over TLS or a connection that wraps the socket, on systems without
	// epoll or kqueue, with ServeInHandler, and once Conn.NetConn was called.
	ParkAfter time.Duration

	// HeartbeatInterval is the time since the last outgoing text or binary message was
	// completed after which Heartbeat is sent. Scripts in a page do not see pings; on a
	// quiet connection, a heartbeat is all that shows them that the network is alive. A
	// heartbeat never interrupts another message: it waits until a NextWriter is closed.
	// Zero or less means no heartbeats. Every client receives them and must know how to
	// treat them. Leave it off with [Stream].
	HeartbeatInterval time.Duration

	// Heartbeat is the text message to send after HeartbeatInterval, in UTF-8. Choose one
	// that clients can distinguish from all other messages; the default is the empty
	// message. It counts as a sent message.
	Heartbeat string

	// MaxConnections bounds the connections of one Upgrader that are open at the same time:
	// a connection counts from its upgrade until Serve has returned and the socket is
	// closed. Further upgrades are refused with 503, a Retry-After header and
	// ErrTooManyConnections. Zero or less means no bound.
	MaxConnections int

	// ShutdownClose is the code and the text of the close frame with which Shutdown ends a
	// connection, unless its Serve chooses another: see [NewCloseError]. The text is truncated to
	// 123 bytes of valid UTF-8. A code that may not be sent (see [ValidCloseCode]) is an error,
	// reported by Validate. Nil means 1001 (going away) with the text "Server shutting down".
	ShutdownClose *CloseError

	// DrainClose is ShutdownClose for connections that Drain ends. Nil means 1012 (service
	// restart) with the text "Server restarting".
	DrainClose *CloseError

	// AllowedOrigins are patterns of the origins whose pages may connect, beside the
	// request's own host: "example.com" for a host, with any scheme, on the scheme's
	// default port; "*.example.com" for all hosts below example.com, but not for
	// example.com. A scheme in front of either form restricts it, and so does a port behind
	// it: "https://app.example.com:8443", "https://*.example.com", "example.com:8443" with
	// any scheme. Any scheme may be given; ws and wss stand for http and https. Apps in a
	// web view and browser extensions have origins with other schemes:
	// "capacitor://localhost", "tauri://localhost",
	// "chrome-extension://abcdefghijklmnopabcdefghijklmnop".
	//
	// Case is ignored. IPv6 addresses are in brackets ("[::1]:8080"), internationalized
	// names are spelled as browsers send them ("xn--..."). Any other pattern is an error,
	// reported by Validate. So is "*" alone: use InsecureSkipOriginCheck for that. The
	// origin "null" of sandboxed pages and local files never matches. "file://" matches the
	// web views that send it as the origin of local files.
	//
	// Empty means the same origin only. A controller that is an OriginChecker decides
	// instead.
	AllowedOrigins []string

	// InsecureSkipOriginCheck accepts pages of any origin. Browsers send cookies with the
	// handshake, whichever page starts it: set this only if nothing depends on cookies. A
	// controller that is an OriginChecker decides instead, even if this is set.
	InsecureSkipOriginCheck bool

	// Subprotocols are the subprotocols of the server, in order of preference: distinct
	// tokens (RFC 9110, 5.6.2). The first one that the client offers is selected: see
	// [Conn.Subprotocol]. A SubprotocolLister chooses others for a request. Nil means
	// Settings.Subprotocols.
	Subprotocols []string

	// RequireSubprotocol refuses a client with 400 if it offers none of the subprotocols
	// that Subprotocols or a SubprotocolLister lists or, if neither lists any, does not
	// offer the one that UpgradeHeaders selects. Without it, such a connection has no
	// subprotocol.
	RequireSubprotocol bool

	// HandshakeTimeout bounds writing the 101 response. Zero means
	// Settings.HandshakeTimeout or, if that is zero too, WriteTimeout; negative means no
	// bound.
	HandshakeTimeout time.Duration

	// ReadBufferSize is the size in bytes of a read buffer; connections share these
	// buffers. It does not bound messages. Zero means Settings.ReadBufferSize or, if that
	// is zero too, 16 KiB, and 4 KiB for a connection that keeps a buffer all the time, as
	// with TLS.
	ReadBufferSize int

	// WriteBufferSize is the size in bytes of the frames of a message that is written in
	// parts (NextWriter). Zero means Settings.WriteBufferSize or, if that is zero too, 4
	// KiB.
	WriteBufferSize int

	// EnableCompression means CompressionNoContextTakeover, unless Compression is set.
	// Settings.EnableCompression does the same.
	EnableCompression bool

	// Compression negotiates compression of messages (permessage-deflate, RFC 7692) with
	// clients that offer it. With CompressionContextTakeover, each message is compressed with
	// those before it as a dictionary, in either direction, unless the client asks for less.
	// Zero means CompressionDisabled, or what EnableCompression says.
	Compression CompressionMode

	// MaxWindowBits bounds how far back the copies in compressed data reach: to at most
	// 1<<MaxWindowBits bytes. With context takeover, so much memory is held for each
	// direction of a connection, from its first compressed message on, and little more. The
	// server compresses within that bound, and asks clients to do the same if they allow it, as
	// browsers do. Other clients may use windows of 32 KiB. It is 8 to 15; zero means 15 (32
	// KiB). Anything else is an error, reported by Validate.
	MaxWindowBits int

	// CompressionThreshold is the size in bytes from which a whole message is compressed if
	// compression was negotiated. Messages written in parts and prepared messages are always
	// compressed then. Zero means 512, or 128 if messages are compressed with those before
	// them; negative means that every message is compressed.
	CompressionThreshold int

	// CompressionLevel is a level of compress/flate: 1 (fastest) to 9 (smallest),
	// flate.DefaultCompression or flate.HuffmanOnly. Zero means 1. With [CompressionOff],
	// written messages are not compressed unless [Conn.EnableWriteCompression] enables it
	// for one connection. [Conn.SetCompressionLevel] changes the level of one connection,
	// on the same scale.
	CompressionLevel int

	// Debug shows errors to clients: the reason of a refused upgrade in the response's
	// body, and the error of Serve in the close frame. Do not use it in production.
	Debug bool

	// Logger logs what no function of the application receives: the errors of a controller
	// without an ErrorHandler and, at debug level, how connections ended and requests that
	// do not ask for an upgrade (ErrNotHandshake). Messages are constant; the attribute
	// "error" is the error, "stack" the stack of a panic. The context is the connection's
	// or, without a connection, the request's. Many goroutines call the logger's handler at
	// the same time; its panics are recovered. Nil means slog.Default() at the time of the
	// message.
	Logger *slog.Logger

	// Observer receives refused upgrades and the begin and end of connections. Use
	// [JoinObservers] for more than one. Nil means none.
	Observer *Observer
}

// Validate returns an error that names a setting with an invalid value, or nil if all are
// valid. RegisterRoutes panics with that error, and an [Endpoint] refuses every upgrade
// with 500 and that reason. [Upgrader.Validate] checks the Settings as well.
func (o *Options) Validate() error {
	if !isCompressionLevel(o.CompressionLevel) {
		return fmt.Errorf("websocket: CompressionLevel is %d: want 1 to %d, or a constant", o.CompressionLevel, flate.BestCompression)
	}
	if !o.Compression.isValid() {
		return fmt.Errorf("websocket: Compression is %d: want one of the constants", int(o.Compression))
	}
	if o.MaxWindowBits != 0 && (o.MaxWindowBits < deflate.MinWindowBits || o.MaxWindowBits > deflate.MaxWindowBits) {
		return fmt.Errorf("websocket: MaxWindowBits is %d: want %d to %d", o.MaxWindowBits, deflate.MinWindowBits, deflate.MaxWindowBits)
	}
	if !utf8.ValidString(o.Heartbeat) {
		return fmt.Errorf("websocket: Heartbeat is %q: want UTF-8", o.Heartbeat)
	}
	if err := checkFrame("ShutdownClose", o.ShutdownClose); err != nil {
		return err
	}
	if err := checkFrame("DrainClose", o.DrainClose); err != nil {
		return err
	}
	if _, err := handshake.ParseOrigins(o.AllowedOrigins); err != nil {
		return err
	}
	return handshake.CheckSubprotocols(o.Subprotocols)
}

// override replaces the settings of gorilla that the options set, too.
func (o *Options) override(s *ws.Upgrader) {
	s.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, s.HandshakeTimeout)
	s.ReadBufferSize = cmp.Or(o.ReadBufferSize, s.ReadBufferSize)
	s.WriteBufferSize = cmp.Or(o.WriteBufferSize, s.WriteBufferSize)
	s.EnableCompression = o.EnableCompression || s.EnableCompression
	if o.Subprotocols != nil {
		s.Subprotocols = o.Subprotocols
	}
}

// deflateLimits returns what is negotiated of permessage-deflate, nil for nothing. byDefault says
// that messages are compressed even if the options don't say so.
func (o *Options) deflateLimits(byDefault bool) *handshake.DeflateLimits {
	if o.Compression == CompressionDisabled && !o.EnableCompression && !byDefault {
		return nil
	}
	return &handshake.DeflateLimits{
		Takeover:   o.Compression == CompressionContextTakeover,
		WindowBits: cmp.Or(o.MaxWindowBits, deflate.MaxWindowBits),
	}
}
