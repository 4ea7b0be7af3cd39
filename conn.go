package websocket

import (
	"context"
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
	t.Limit.Store(options.maxMessageSize)
	c.installHandlers()
	t.Start((*connEvents)(c))
	c.keepalive.start(c)
	return c
}

// NetConn returns the accepted connection. Reading from it or writing to it
// breaks the WebSocket; closing it counts as CloseNow.
func (c *Conn) NetConn() net.Conn { return transport.Accepted(c.t.Nc) }

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
func (c *Conn) SetReadLimit(limit int64) { c.t.Limit.Store(limit) }
