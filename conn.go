package websocket

import (
	"cmp"
	"compress/flate"
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// Conn is one WebSocket connection, of a server or a client. One goroutine may read, and any
// number may write, ping or close at the same time. Each write is one whole message, and
// messages leave in the order of the calls. The setters may be called at any time, from any
// goroutine.
//
// The application must keep reading until a read fails: pings, pongs and the peer's close
// frame are only seen by a read.
//
// Once a read or write has failed on the wire, each later one returns the same error. A write
// that fails because the peer hung up does not end reads: they return what had arrived, up to
// the close frame or the end, within the close timeout. After a close frame, writes return
// [ErrCloseSent]. Other calls on a connection that this side closed return [net.ErrClosed].
//
// The embedded connection is for code that was written for gorilla and takes a *Conn of
// gorilla's. Used through it, the connection keeps its closing handshakes, checks of input,
// limits and deadlines, and its messages do not mix with the messages of Conn. As with
// gorilla, only one goroutine may write through it at a time. [Conn.EnableWriteCompression]
// and [Conn.SetCompressionLevel] decide whether its messages are compressed; its own methods
// for compression do not. Its Subprotocol, LocalAddr and RemoteAddr are methods of Conn, too.
type Conn struct {
	*ws.Conn
	t        *transport.Conn
	options  *connOptions
	request  context.Context          // has the values of the request's
	lifetime atomic.Pointer[lifetime] // nil until the application uses the context, or it ends
	endedBy  error                    // why it has ended, if lifetime is endedUnused

	place    int32 // in the connSet; guarded by it
	accepted bool  // the 101 is written; guarded by the connSet

	isPong      bool     // the control frame that is handled is a pong; only used by the reading goroutine
	handling    bool     // a handler is running; only used by the reading goroutine
	dispatch    dispatch // set before other goroutines have the Conn
	onClose     atomic.Pointer[func(code int, text string) error]
	onPing      atomic.Pointer[func(data string) error]
	onPong      atomic.Pointer[func(data string) error]
	handledPing atomic.Pointer[handledPing] // nil while no ping handler is running

	pings     pings
	keepalive keepalive

	closeRead atomic.Pointer[context.Context] // returned by CloseRead; nil before
	group     group
}

// A dispatch is the way in which the messages of a connection reach the application.
type dispatch uint8

const (
	toReads   dispatch = iota // reads of the application return them
	toHandler                 // a MessageHandler is called, always on the same goroutine
	toParking                 // likewise, but the connection has no goroutine while it is parked
)

// init makes c the connection of a transport, before other goroutines have either. The
// connection's context takes its values from the request's, but not its end.
func (c *Conn) init(request context.Context, gorilla *ws.Conn, t *transport.Conn, options *connOptions) {
	c.Conn, c.t, c.options, c.request = gorilla, t, options.alone(t), valuesOf(request)
	c.options.alarms.Join(c)
	c.initCompression()
	t.SetReadLimit(options.maxMessageSize)
	c.installHandlers()
	t.SetEvents((*connEvents)(c))
}

// open ends the opening handshake and starts the keep-alive.
func (c *Conn) open() {
	c.t.Open()
	c.startKeepAlive()
}

// switchProtocols writes the 101 response, which it makes in p if that is large enough, and opens
// the connection. After an error, the caller must abort it.
func (c *Conn) switchProtocols(p []byte, agreed *agreement, header http.Header) error {
	p = handshake.AppendResponse(p, agreed.key, agreed.subprotocol, agreed.extensions, header)
	if err := c.t.WriteResponse(p, cmp.Or(agreed.timeout, c.options.writeTimeout)); err != nil {
		return err
	}
	c.open()
	return nil
}

// NetConn returns the network connection as it was accepted or dialed. Reading from it or
// writing to it corrupts the stream of frames. Closing it has the effect of CloseNow.
func (c *Conn) NetConn() net.Conn { return c.t.NetConn() }

// UnderlyingConn returns what NetConn does.
//
// Deprecated: use NetConn.
func (c *Conn) UnderlyingConn() net.Conn { return c.NetConn() }

// SetReadDeadline sets the deadline of later reads and of one that is waiting. The zero time
// removes it. A read whose deadline passed fails with an error that is
// os.ErrDeadlineExceeded, and so does every later read; the connection can still be written
// to and closed. SetReadDeadline returns the error of a network connection that can't set the
// deadline; reads are not bounded then.
func (c *Conn) SetReadDeadline(d time.Time) error { return c.t.SetReadDeadline(d) }

// SetWriteDeadline sets the deadline of writes that begin later, in place of WriteTimeout. The
// zero time brings WriteTimeout back. A write that its deadline interrupts ends the
// connection. The error is always nil.
func (c *Conn) SetWriteDeadline(d time.Time) error {
	c.t.SetWriteDeadline(d)
	return nil
}

// SetReadLimit sets the largest size, in bytes, of messages that are read from now on, in place
// of MaxMessageSize. A longer message ends the connection with code 1009, and its read fails
// with an error that is ErrReadLimit. Zero or less means no limit.
func (c *Conn) SetReadLimit(limit int64) { c.t.SetReadLimit(limit) }

// CompressionOff is the level that switches the compression of written messages off: see
// Options.CompressionLevel.
const CompressionOff = math.MinInt32

var errLevel = errors.New("websocket: invalid compression level")

func isCompressionLevel(level int) bool {
	return level == CompressionOff || level >= flate.HuffmanOnly && level <= flate.BestCompression
}

// initCompression sets the level of the options.
func (c *Conn) initCompression() {
	// With CompressionOff in the options, EnableWriteCompression needs a level, too.
	_ = c.SetCompressionLevel(0)
	_ = c.SetCompressionLevel(c.options.compressionLevel) // was validated
}

// EnableWriteCompression switches the compression of later messages on or off. It has no
// effect unless compression was negotiated; then compression is on from the start, unless
// the level is [CompressionOff]. Messages shorter than CompressionThreshold stay uncompressed
// all the same, unless they are prepared.
func (c *Conn) EnableWriteCompression(enable bool) { c.t.EnableCompression(enable) }

// SetCompressionLevel sets the level of later messages, on the scale of
// Options.CompressionLevel: 1 (fastest) to 9 (smallest), flate.DefaultCompression or
// flate.HuffmanOnly. Zero means 1. [CompressionOff] has the effect of
// EnableWriteCompression(false); no other level switches compression on again. For any other
// number, it returns an error and changes nothing.
func (c *Conn) SetCompressionLevel(level int) error {
	switch {
	case !isCompressionLevel(level):
		return errLevel
	case level == CompressionOff:
		c.t.EnableCompression(false)
	default:
		c.t.SetCompressionLevel(cmp.Or(level, flate.BestSpeed))
	}
	return nil
}

// connEvents is a Conn as its transport sees it. It is a type of its own to keep its methods
// out of the API.
type connEvents Conn

func (e *connEvents) CancelContext(cause error) { (*Conn)(e).cancelContext(cause) }

func (e *connEvents) Guard(f func()) { (*Conn)(e).guard(f) }

// SocketClosing cancels the alarm of the keep-alive, which has nothing left to ping.
func (e *connEvents) SocketClosing() { e.options.alarms.Cancel((*Conn)(e)) }

// Control calls the handler of a ping or pong. An error that only says that the peer hung up
// is dropped: what else had arrived is still to be read.
func (e *connEvents) Control(messageType int, data string) error {
	var err error
	if e.isPong = messageType == PongMessage; e.isPong {
		err = e.Conn.PongHandler()(data)
	} else {
		err = e.Conn.PingHandler()(data)
	}
	if (*Conn)(e).merelyHungUp(err) {
		return nil
	}
	return err
}

// PeerClosed calls the close handler, then answers the peer's close frame and closes the
// socket. gorilla's getter also returns a handler that was set on the embedded connection.
func (e *connEvents) PeerClosed(ce *CloseError) error {
	err := e.Conn.CloseHandler()(ce.Code, ce.Text)
	e.t.AnswerClose(ce)
	if (*Conn)(e).merelyHungUp(err) {
		return nil
	}
	return err
}

// connOptions are the resolved settings of all connections of an Endpoint, or of one Dial.
// They must not change once a connection points to them.
type connOptions struct {
	maxMessageSize    int64         // bytes; 0: unlimited
	closeTimeout      time.Duration // 0: no waiting
	writeTimeout      time.Duration // without progress; 0: unlimited
	pingInterval      time.Duration // 0: no pings
	pongTimeout       time.Duration // 0: no answer expected
	parkAfter         time.Duration // negative: never
	heartbeatInterval time.Duration // forever: no heartbeats
	heartbeat         []byte

	compressionThreshold int // bytes
	takeoverThreshold    int // bytes; with context takeover
	compressionLevel     int // on the scale of Options.CompressionLevel; never 0

	shutdownFrame, drainFrame *CloseError // of a shutdown and of a Drain

	skipUTF8Validation bool
	debug              bool
	guard              func(call func() error) error // see Endpoint.Guard; nil: none

	alarms *xsync.Alarms[Conn] // of the keep-alive; not set by resolve
}

// resolve replaces zero fields by their defaults.
func (o *Options) resolve() *connOptions {
	d := DefaultOptions()
	r := &connOptions{
		maxMessageSize:       orDefault(o.MaxMessageSize, d.MaxMessageSize),
		closeTimeout:         orDefault(o.CloseTimeout, d.CloseTimeout),
		writeTimeout:         orDefault(o.WriteTimeout, d.WriteTimeout),
		pingInterval:         min(orDefault(o.PingInterval, d.PingInterval), forever),
		pongTimeout:          min(orDefault(o.PongTimeout, d.PongTimeout), forever),
		parkAfter:            min(cmp.Or(o.ParkAfter, d.ParkAfter), forever),
		heartbeatInterval:    forever,
		heartbeat:            []byte(o.Heartbeat),
		compressionThreshold: orDefault(o.CompressionThreshold, defaultThreshold),
		takeoverThreshold:    orDefault(o.CompressionThreshold, defaultTakeoverThreshold),
		compressionLevel:     cmp.Or(o.CompressionLevel, d.CompressionLevel),
		shutdownFrame:        frameOr(o.ShutdownClose, shutdownFrame),
		drainFrame:           frameOr(o.DrainClose, drainFrame),
		skipUTF8Validation:   o.SkipUTF8Validation,
		debug:                o.Debug,
	}
	if o.HeartbeatInterval > 0 {
		r.heartbeatInterval = min(o.HeartbeatInterval, forever)
	}
	return r
}

// config returns the settings of transports that take their read buffers from the pool.
// Sizes are in bytes; zero means the default of [transport.Config].
func (o *connOptions) config(readBuffers *sync.Pool, readBufferSize, writeBufferSize int) *transport.Config {
	return &transport.Config{
		WriteTimeout: o.writeTimeout,
		CloseTimeout: o.closeTimeout,
		KeepSentAt:   o.heartbeatInterval < forever,

		SkipUTF8Validation:   o.skipUTF8Validation,
		CompressionThreshold: o.compressionThreshold,
		TakeoverThreshold:    o.takeoverThreshold,
		Panics:               recoveredPanics,
		ReadBuffers:          readBuffers,
		ReadBufferSize:       readBufferSize,
		WriteBufferSize:      writeBufferSize,
	}
}

// deflateTerms returns what was agreed on for one direction.
func deflateTerms(side handshake.DeflateSide) transport.DeflateTerms {
	return transport.DeflateTerms{Takeover: side.Takeover, WindowBits: uint8(side.WindowBits)} //nolint:gosec // 8 to 15
}

// orDefault returns the setting itself, whenZero if it is zero, and 0 (off) if it is
// negative.
func orDefault[T ~int | ~int64](setting, whenZero T) T {
	if setting == 0 {
		return whenZero
	}
	return max(setting, 0)
}
