package websocket

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket/internal/dialing"
	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/opening"
)

const defaultHandshakeTimeout = 30 * time.Second

// dialReadBuffers are the read buffers of the transports of all dialed connections.
var dialReadBuffers sync.Pool

// DialOptions configures a connection made by [Dial]. The zero value and nil are ready to
// use: a zero field means its default, a negative one means off. Dial does not change the
// options, and copies what it needs.
type DialOptions struct {
	// Header is added to the request: Origin, Cookie, Authorization. A header of the
	// handshake itself (Upgrade, Connection, Sec-WebSocket-...) is an error.
	Header http.Header

	// Host is the Host header of the request, sent unchanged. Empty means the Host of
	// Header or, if there is none, the URL's host, without a port that is the scheme's
	// default (RFC 6455, 4.1). In any case Dial connects to the URL's host and checks the
	// certificate against it. A host that can't be sent in the header is an error.
	Host string

	// Subprotocols are offered to the server, in order of preference: distinct tokens (RFC
	// 9110, 5.6.2). [Conn.Subprotocol] returns the one that the server chose; it may choose
	// none.
	Subprotocols []string

	// EnableCompression means CompressionNoContextTakeover, unless Compression is set.
	EnableCompression bool

	// Compression offers compression of messages (permessage-deflate, RFC 7692), which the
	// server may decline. With CompressionNoContextTakeover, the server is asked to compress
	// each message by itself. MaxWindowBits bounds the windows of both directions: a server
	// that can't keep that bound declines. In any case the server may choose a smaller window
	// for what the client sends. The bounds of both are those in [Options].
	Compression   CompressionMode
	MaxWindowBits int

	// TLSConfig is used with wss and https, and with a proxy that is reached over TLS.
	// NextProtos is ignored, because the protocol is always HTTP/1.1. If one of its
	// functions panics, Dial panics. Nil means Go's defaults.
	TLSConfig *tls.Config

	// Proxy returns the proxy for a request, whose URL has the scheme http or https; a nil
	// URL means no proxy. HTTP proxies, also over TLS, receive a CONNECT request. The
	// schemes socks5 and socks5h are equivalent: the proxy resolves the host's name. User
	// and password of the proxy's URL authenticate the client (RFC 7617, RFC 1929). A nil
	// Proxy means [http.ProxyFromEnvironment] or, if DialContext is set, no proxy. To use
	// no proxy in any case, return nil, nil. A URL without a scheme means http; any other
	// scheme is an error.
	Proxy func(*http.Request) (*url.URL, error)

	// DialContext opens the connection beneath TLS, to the host or to the proxy. Set it to
	// use a unix socket or a network in memory. The connection that it returns must support
	// deadlines. It runs on its own goroutine. If it panics, Dial panics, unless Dial has
	// returned already. A panic of the connection's methods becomes an error. Nil means a
	// [net.Dialer].
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// HandshakeTimeout bounds Dial from the name lookup to the response. Zero means 30
	// seconds; negative means that only the context bounds it.
	HandshakeTimeout time.Duration

	// The settings of the connection have the meaning, defaults and bounds of those in
	// [Options]: MaxMessageSize, in bytes, bounds a received message; SkipUTF8Validation
	// accepts any text; CloseTimeout bounds the closing handshake; WriteTimeout bounds the
	// time in which the server takes nothing that is written.
	MaxMessageSize     int64
	SkipUTF8Validation bool
	CloseTimeout       time.Duration
	WriteTimeout       time.Duration

	// PingInterval and PongTimeout find out whether the server is still there. Heartbeat is
	// sent if no other message was sent for HeartbeatInterval: see [Options].
	PingInterval      time.Duration
	PongTimeout       time.Duration
	HeartbeatInterval time.Duration
	Heartbeat         string

	// CompressionThreshold, in bytes, and CompressionLevel decide which messages are
	// compressed, and how strongly, if compression was negotiated: see [Options].
	CompressionThreshold int
	CompressionLevel     int

	// ReadBufferSize is the size of a read buffer in bytes. WriteBufferSize is the size, in
	// bytes, of the frames into which NextWriter splits a message. Zero means the defaults
	// that [Options] gives.
	ReadBufferSize  int
	WriteBufferSize int

	// Debug lets [Conn.CloseWithError] send the text of the error to the server.
	Debug bool
}

// connection returns the settings of the connection as Options.
func (o *DialOptions) connection() *Options {
	return &Options{
		MaxMessageSize:       o.MaxMessageSize,
		SkipUTF8Validation:   o.SkipUTF8Validation,
		CloseTimeout:         o.CloseTimeout,
		WriteTimeout:         o.WriteTimeout,
		PingInterval:         o.PingInterval,
		PongTimeout:          o.PongTimeout,
		HeartbeatInterval:    o.HeartbeatInterval,
		Heartbeat:            o.Heartbeat,
		EnableCompression:    o.EnableCompression,
		Compression:          o.Compression,
		MaxWindowBits:        o.MaxWindowBits,
		CompressionThreshold: o.CompressionThreshold,
		CompressionLevel:     o.CompressionLevel,
		ReadBufferSize:       o.ReadBufferSize,
		WriteBufferSize:      o.WriteBufferSize,
		Debug:                o.Debug,
	}
}

// offer returns what the client offers in its request.
func (o *DialOptions) offer() handshake.Offer {
	return handshake.Offer{
		Header: o.Header, Host: o.Host, Subprotocols: o.Subprotocols, Deflate: o.connection().deflateLimits(false),
	}
}

// network returns the way to the server.
func (o *DialOptions) network() dialing.Network {
	return dialing.Network{DialContext: o.DialContext, Proxy: o.Proxy, TLSConfig: o.TLSConfig, Panics: recoveredPanics}
}

// Dial connects to a WebSocket server. The URL has the scheme ws, wss, http or https, and
// neither a user nor a fragment (RFC 6455, 3). The options may be nil.
//
// If the server refuses the upgrade or its response is not valid, the error wraps
// ErrBadHandshake and the response is returned. Its body holds at most 1,024 bytes, as far
// as they arrived within one second. Dial does not follow redirects: they are refusals. The body of
// a returned response is in memory and need not be closed. The body of a 101 response is empty. On
// every error the socket is closed. On errors other than ErrBadHandshake the response is
// nil.
//
// Both the context and HandshakeTimeout bound the handshake; the error after
// HandshakeTimeout wraps context.DeadlineExceeded. The context of the returned connection
// has the values of ctx but does not end with it.
//
// The connection keeps the promises of [Conn], as on a server. It has no Serve: the caller
// must read until an error, receives errors from the calls that return them, and must close
// the connection in any case, with [Conn.Close] or [Conn.CloseNow]. Closing ends the
// context of functions started with [Conn.Go], and does not wait for them. If one of them
// fails earlier, the connection's context and its reads end with that error.
//
// Any number of goroutines may call Dial at the same time.
func Dial(ctx context.Context, url string, options *DialOptions) (*Conn, *http.Response, error) {
	if options == nil {
		options = &DialOptions{}
	}
	connOptions := options.connection()
	if err := connOptions.Validate(); err != nil {
		return nil, nil, err
	}
	settings := connOptions.resolve()
	settings.alarms = newAlarms(1)
	dialCtx := ctx
	if timeout := orDefault(options.HandshakeTimeout, defaultHandshakeTimeout); timeout > 0 {
		var stop context.CancelFunc
		dialCtx, stop = context.WithTimeout(ctx, timeout)
		defer stop()
	}
	config := settings.config(&dialReadBuffers, options.ReadBufferSize, options.WriteBufferSize)
	config.Client = true
	client := opening.Client{Network: options.network(), Offer: options.offer(), Config: config}
	gorilla, t, response, err := client.Dial(dialCtx, url)
	if err != nil {
		return nil, response, err
	}
	conn := new(Conn)
	conn.init(ctx, gorilla, t, settings)
	conn.open()
	return conn, response, nil
}
