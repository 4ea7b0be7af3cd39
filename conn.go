package websocket

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"

	ws "github.com/gorilla/websocket"
)

// Conn is one upgraded connection. One goroutine may read and any number may
// write, ping or close at the same time; a write is one whole message, in the
// order of the calls. The setters may be called at any time, from any goroutine.
//
// Reading must go on until an error: pings, pongs and the peer's close frame
// arrive only through a read.
//
// After a read or write that failed on the wire each later one returns the same
// error. Writes after a close frame return [ErrCloseSent], other calls on a
// connection that we closed [net.ErrClosed].
//
// The embedded connection is there for code that was written for gorilla and
// takes its *Conn. Given to such code, it keeps closing handshakes, frame
// checks, the limit on the wire and deadlines, but neither serializes writers
// nor bounds what a compressed message inflates to, nor checks text.
type Conn struct {
	*ws.Conn
	t      *transport
	parent context.Context // the request's
	ctx    context.Context
	cancel context.CancelCauseFunc // for cancelContext
	debug  bool

	skipUTF8 bool

	// message is the lock of one message, from its first frame to its last.
	message turn
	// streaming: its holder writes a message piece by piece.
	streaming atomic.Bool
	// pooled: the application's own WriteBufferPool is used, by gorilla.
	pooled       bool
	uncompressed atomic.Bool  // by EnableWriteCompression
	level        atomic.Int32 // by SetCompressionLevel

	readErr    atomic.Pointer[error] // what every read returns from now on
	handling   bool                  // a handler runs; this and the next two are the reading goroutine's
	handlerErr error                 // of a handler
	reader     *messageReader        // the current one
	onClose    handler[func(code int, text string) error]
	onPing     handler[func(data string) error]
	onPong     handler[func(data string) error]
	pinged     atomic.Pointer[pingHandled]

	pings     pings
	keepalive keepalive

	closeReadOnce sync.Once
	closeRead     context.Context // what CloseRead returned

	handshake atomic.Pointer[handshake] // what the first call of Close does
	shutdown  atomic.Bool               // Shutdown began before a close frame was sent

	queue atomic.Pointer[queue] // nil until something is enqueued
	group group
}

type connKey struct{}

// values is a Conn as a context that never ends, with the values of the request's
// and the Conn: what the connection's own context is made of.
type values Conn

func (*values) Deadline() (time.Time, bool) { return time.Time{}, false }
func (*values) Done() <-chan struct{}       { return nil }
func (*values) Err() error                  { return nil }
func (v *values) Value(key any) any {
	if key == (connKey{}) {
		return (*Conn)(v)
	}
	return v.parent.Value(key)
}

// newConn makes gorilla's connection safe. The values of parent, and not its
// end, are those of the connection's context.
func newConn(parent context.Context, gorilla *ws.Conn, t *transport, options *Options, pooled bool) *Conn {
	c := &Conn{
		Conn:     gorilla,
		t:        t,
		parent:   parent,
		debug:    options.Debug,
		skipUTF8: options.SkipUTF8Validation,
		pooled:   pooled,
	}
	c.setCompression(gorilla, options)
	c.ctx, c.cancel = context.WithCancelCause((*values)(c))
	t.owner = c
	t.limit.Store(options.maxMessageSize())
	c.installHandlers()
	t.open = true
	c.keepalive.start(c)
	return c
}

// FromContext returns the connection that ctx belongs to: that of an upgraded
// request, or one derived from it.
func FromContext(ctx context.Context) (*Conn, bool) {
	c, ok := ctx.Value(connKey{}).(*Conn)
	return c, ok
}

// Context returns a context that lives as long as the connection, with the
// values of the request's. It is canceled as soon as a close frame is read or
// sent, the socket fails or Shutdown begins, which takes somebody who reads or
// writes to notice. context.Cause tells why: the *CloseError, ErrShutdown,
// ErrPeerGone, the error of the socket.
func (c *Conn) Context() context.Context { return c.ctx }

// NetConn returns the accepted connection. Reading from it or writing to it
// breaks the WebSocket; closing it counts as CloseNow.
func (c *Conn) NetConn() net.Conn { return c.t.nc }

// UnderlyingConn returns the accepted connection.
//
// Deprecated: use NetConn.
func (c *Conn) UnderlyingConn() net.Conn { return c.t.nc }

// SetReadDeadline bounds later reads and one that is waiting. A zero value
// takes the bound away. A read whose deadline passed fails with an error that is
// os.ErrDeadlineExceeded, and so does every later one: the connection can still
// be written to and closed.
func (c *Conn) SetReadDeadline(d time.Time) error { return c.t.SetReadDeadline(d) }

// SetWriteDeadline bounds writes that begin later, instead of WriteTimeout,
// which a zero value brings back. A write that is cut short by its deadline ends
// the connection.
func (c *Conn) SetWriteDeadline(d time.Time) error {
	c.t.setCallersDeadline(d)
	return nil
}

// SetReadLimit bounds the messages read from now on, in bytes, in place of
// MaxMessageSize. A longer message ends the connection with code 1009 and fails
// its read with an error that is ErrReadLimit. Zero or less means no limit.
func (c *Conn) SetReadLimit(limit int64) { c.t.limit.Store(limit) }
