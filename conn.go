package websocket

import (
	"cmp"
	"compress/flate"
	"context"
	"errors"
	"math"
	"net"
	"sync/atomic"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/transport"
)

// Conn is one upgraded connection. One goroutine may read and any number may
// write, ping or close at the same time; a write is one whole message, in the
// order of the calls. The setters may be called at any time, from any goroutine.
//
// Reading must go on until an error: pings, pongs and the peer's close frame
// arrive only through a read.
//
// After a read or write that failed on the wire each later one returns the same
// error. A write that fails because the peer hung up leaves reads as they are: they
// return what had come, to the close frame or the end, within the close timeout. Writes
// after a close frame return [ErrCloseSent], other calls on a
// connection that we closed [net.ErrClosed].
//
// The embedded connection is there for code that was written for gorilla and
// takes its *Conn. Given to such code, it keeps closing handshakes, all checks of
// what is read, limits and deadlines, and its messages do not mix with those of
// Conn. But it has one writer at a time, as gorilla's has. It knows nothing of
// compression: whether its messages are compressed is decided by
// [Conn.EnableWriteCompression] and [Conn.SetCompressionLevel].
type Conn struct {
	*ws.Conn
	t        *transport.Conn
	options  *connOptions
	request  context.Context          // its context, for the values
	lifetime atomic.Pointer[lifetime] // nil until somebody asks when the connection ends

	handling bool // a handler runs; the reading goroutine's
	onClose  atomic.Pointer[func(code int, text string) error]
	onPing   atomic.Pointer[func(data string) error]
	onPong   atomic.Pointer[func(data string) error]
	pinged   atomic.Pointer[pingHandled]

	pings     pings
	keepalive keepalive

	closeRead atomic.Pointer[context.Context] // what CloseRead returned
	group     group
}

// newConn makes gorilla's connection safe. The values of the request's context, and
// not its end, are those of the connection's.
func newConn(request context.Context, gorilla *ws.Conn, t *transport.Conn, options *connOptions) *Conn {
	c := &Conn{Conn: gorilla, t: t, options: options, request: request}
	c.setCompression()
	t.SetReadLimit(options.maxMessageSize)
	c.installHandlers()
	t.Start((*connEvents)(c))
	c.keepalive.start(c)
	return c
}

// NetConn returns the accepted connection. Reading from it or writing to it
// breaks the WebSocket; closing it counts as CloseNow.
func (c *Conn) NetConn() net.Conn { return c.t.NetConn() }

// UnderlyingConn returns the accepted connection.
//
// Deprecated: use NetConn.
func (c *Conn) UnderlyingConn() net.Conn { return c.NetConn() }

// SetReadDeadline bounds later reads and one that is waiting. A zero value
// takes the bound away. A read whose deadline passed fails with an error that is
// os.ErrDeadlineExceeded, and so does every later one: the connection can still
// be written to and closed. The error of SetReadDeadline is that of a network which
// can't set the deadline: then nothing is bounded.
func (c *Conn) SetReadDeadline(d time.Time) error { return c.t.SetReadDeadline(d) }

// SetWriteDeadline bounds writes that begin later, instead of WriteTimeout,
// which a zero value brings back. A write that is cut short by its deadline ends
// the connection.
func (c *Conn) SetWriteDeadline(d time.Time) error {
	c.t.SetWriteDeadline(d)
	return nil
}

// SetReadLimit bounds the messages read from now on, in bytes, in place of
// MaxMessageSize. A longer message ends the connection with code 1009 and fails
// its read with an error that is ErrReadLimit. Zero or less means no limit.
func (c *Conn) SetReadLimit(limit int64) { c.t.SetReadLimit(limit) }

// CompressionOff is the level at which nothing is compressed that is written: see
// Options.CompressionLevel.
const CompressionOff = math.MinInt32

var errLevel = errors.New("websocket: invalid compression level")

func isCompressionLevel(level int) bool {
	return level == CompressionOff || level >= flate.HuffmanOnly && level <= flate.BestCompression
}

// setCompression gives a new connection the level of the options.
func (c *Conn) setCompression() {
	_ = c.SetCompressionLevel(0)                          // for those who switch it on
	_ = c.SetCompressionLevel(c.options.compressionLevel) // it was validated
}

// EnableWriteCompression switches the compression of later messages, where it
// was negotiated; it is on then, unless the level is [CompressionOff]. Messages
// shorter than CompressionThreshold are not compressed all the same.
func (c *Conn) EnableWriteCompression(enable bool) { c.t.EnableCompression(enable) }

// SetCompressionLevel sets the level of later messages, on the scale of
// Options.CompressionLevel: 1 (fastest) to 9 (smallest), flate.DefaultCompression or
// flate.HuffmanOnly. Zero means 1. [CompressionOff] is EnableWriteCompression(false), and
// no other level switches compression on again. Any other number is an error.
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

// connEvents is a Conn as its transport sees it: what it is told is no part of the API.
type connEvents Conn

func (e *connEvents) CancelContext(cause error) { (*Conn)(e).cancelContext(cause) }

func (e *connEvents) Guard(f func()) { (*Conn)(e).guard(f) }

// SocketClosing takes back the timer of the keep-alive: there is nothing to ping.
func (e *connEvents) SocketClosing() { e.keepalive.timer.Cancel() }

// Control has a ping or pong handled. A handler that could not write has not failed
// where the peer hung up: what else had come is still to be read.
func (e *connEvents) Control(messageType int, data string) error {
	var err error
	if messageType == PingMessage {
		err = e.Conn.PingHandler()(data)
	} else {
		err = e.Conn.PongHandler()(data)
	}
	if (*Conn)(e).merelyHungUp(err) {
		return nil
	}
	return err
}

// PeerClosed answers the peer's close frame, after the caller's handler, and closes the
// socket: nothing more can come or go. Going through gorilla's getter, it also runs a
// handler that was set on the embedded connection.
func (e *connEvents) PeerClosed(ce *CloseError) error {
	err := e.Conn.CloseHandler()(ce.Code, ce.Text)
	e.t.AnswerClose(ce)
	if (*Conn)(e).merelyHungUp(err) {
		return nil
	}
	return err
}
