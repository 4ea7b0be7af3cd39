package websocket

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/goyave-contrib/websocket/internal/handshake"
)

const defaultHandshakeTimeout = 30 * time.Second

// DialOptions tunes a connection made by [Dial]. The zero value, and nil, are
// ready to use: zero means the default, negative means off. Dial changes nothing in it
// and keeps a copy.
type DialOptions struct {
	// Header is added to the request: Origin, Cookie, Authorization. What belongs
	// to the handshake (Upgrade, Connection, Sec-WebSocket-...) is an error.
	Header http.Header

	// Host is the request's Host header, as it is. Empty means the Host of Header or,
	// where there is none, that of the URL, without a port that is the scheme's default
	// (RFC 6455, 4.1). In any case it is the URL's host that is dialed and whose
	// certificate is checked. What can't be sent as one is an error.
	Host string

	// Subprotocols are offered, the preferred one first: tokens (RFC 9110, 5.6.2), each
	// a different one. [Conn.Subprotocol] is the one that the server chose; it may choose
	// none.
	Subprotocols []string

	// EnableCompression offers permessage-deflate (RFC 7692), for each message by
	// itself. The server may decline.
	EnableCompression bool

	// TLSConfig is used with wss and https, and with a proxy that is reached over
	// TLS. NextProtos is ignored: it is always HTTP/1.1 that is spoken. If one of
	// its functions panics, so does Dial. Nil means Go's defaults.
	TLSConfig *tls.Config

	// Proxy returns the proxy of a request, whose URL has scheme http or https;
	// nil stands for none. HTTP proxies, also over TLS, get a CONNECT request; socks5
	// and socks5h are the same, and the proxy looks the name up. User and password in the
	// proxy's URL authorize (RFC 7617, RFC 1929). A nil Proxy means [http.ProxyFromEnvironment] or,
	// where DialContext is set, no proxy. To use none in any case, return nil, nil.
	// A URL with any other scheme is an error, one without a scheme is taken for
	// http.
	Proxy func(*http.Request) (*url.URL, error)

	// DialContext opens the connection beneath TLS, to the host or the proxy: the
	// place for a unix socket or a network in memory. What it returns must have
	// deadlines. It runs on a goroutine of its own. If it panics, so does Dial, unless
	// that has returned; a panic of the connection's methods is an error. Nil means a
	// [net.Dialer].
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// HandshakeTimeout bounds Dial, from the name's look-up to the response. Zero
	// means 30 seconds; negative means that only the context does.
	HandshakeTimeout time.Duration

	// The settings of the connection are those of [Options], with the same defaults and
	// bounds: MaxMessageSize in bytes bounds what is read, SkipUTF8Validation lets any text
	// through, CloseTimeout bounds the closing handshake, WriteTimeout the time in which the
	// server takes nothing.
	MaxMessageSize     int64
	SkipUTF8Validation bool
	CloseTimeout       time.Duration
	WriteTimeout       time.Duration

	// PingInterval and PongTimeout find out whether the server is there; Heartbeat is sent
	// where no other message was, for HeartbeatInterval: see [Options].
	PingInterval      time.Duration
	PongTimeout       time.Duration
	HeartbeatInterval time.Duration
	Heartbeat         string

	// CompressionThreshold, in bytes, and CompressionLevel say which messages are
	// compressed, and how, where compression was agreed on: see [Options].
	CompressionThreshold int
	CompressionLevel     int

	// ReadBufferSize and WriteBufferSize are the sizes in bytes of buffers to read into, and
	// of the frames of messages that are written in parts: see [Options]. Zero means the
	// defaults there.
	ReadBufferSize  int
	WriteBufferSize int

	// Debug has [Conn.CloseWithError] tell the server the text of the error.
	Debug bool
}

// connection returns the settings of the connection as those of a server's.
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
		CompressionThreshold: o.CompressionThreshold,
		CompressionLevel:     o.CompressionLevel,
		ReadBufferSize:       o.ReadBufferSize,
		WriteBufferSize:      o.WriteBufferSize,
		Debug:                o.Debug,
	}
}

// Dial connects to a WebSocket server. The URL has the scheme ws, wss, http or
// https, and neither user nor fragment (RFC 6455, 3). The options may be nil.
//
// Where the server refuses, or breaks the protocol in its answer, the error is
// ErrBadHandshake, and the response is returned. Its body has what came within a
// second of the first 1,024 bytes. Redirects are not followed: they are refusals.
// All bodies returned are in memory and need not be closed; that of an upgrade is
// empty. On every error the socket is closed; on others than ErrBadHandshake the
// response is nil.
//
// The context bounds the handshake, and so does HandshakeTimeout, which fails
// with context.DeadlineExceeded. The connection's own context has the values of
// ctx, but not its end.
//
// The connection keeps what [Conn] promises, as on a server. It has no Serve, so
// it is the caller who reads until an error, learns of errors from the calls that
// return them, and closes it in any case, with [Conn.Close] or [Conn.CloseNow].
// Functions started with [Conn.Go] see their context end then, and nobody waits
// for them; if one fails before, the context and reads end with its error.
func Dial(ctx context.Context, url string, options *DialOptions) (*Conn, *http.Response, error) {
	if options == nil {
		options = &DialOptions{}
	}
	given := options.connection()
	if err := given.Validate(); err != nil {
		return nil, nil, err
	}
	settings := given.resolve()
	request, err := options.request(url)
	if err != nil {
		return nil, nil, err
	}
	bounded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if timeout := orDefault(options.HandshakeTimeout, defaultHandshakeTimeout); timeout > 0 {
		var stop context.CancelFunc
		bounded, stop = context.WithTimeout(bounded, timeout)
		defer stop()
	}
	d := &dialing{ctx: bounded, cancel: cancel, options: options, request: request, config: settings.config(&dialReadBuffers, options.ReadBufferSize, options.WriteBufferSize)}
	d.config.Client = true
	gorilla, err := d.dial()
	switch {
	case errors.Is(err, ErrBadHandshake):
		return nil, d.response, err
	case err != nil:
		return nil, nil, err
	}
	return newConn(ctx, gorilla, d.t, settings), d.response, nil
}

// request is the opening handshake, but for its key.
func (o *DialOptions) request(rawURL string) (*http.Request, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	header := handshake.CanonicalHeader(o.Header)
	if header == nil {
		header = http.Header{}
	}
	for name := range header {
		if name == "Upgrade" || name == "Connection" || strings.HasPrefix(name, "Sec-Websocket-") {
			return nil, fmt.Errorf("websocket: header %s belongs to the handshake and can't be set", name)
		}
	}
	host := cmp.Or(o.Host, header.Get("Host"), u.Host)
	header.Del("Host")
	if _, ok := sentHost(host); !ok {
		return nil, fmt.Errorf("websocket: %q can't be sent as the Host header", host)
	}
	if err := checkHeader(header); err != nil {
		return nil, err
	}
	if err := handshake.CheckSubprotocols(o.Subprotocols); err != nil {
		return nil, err
	}
	// The spelling of RFC 6455, for servers that insist on it.
	header["Upgrade"] = []string{"websocket"}
	header["Connection"] = []string{"Upgrade"}
	header["Sec-WebSocket-Version"] = []string{"13"}
	if len(o.Subprotocols) > 0 {
		header["Sec-WebSocket-Protocol"] = []string{strings.Join(o.Subprotocols, ", ")}
	}
	if o.EnableCompression {
		header["Sec-WebSocket-Extensions"] = []string{handshake.DeflateTerms}
	}
	return &http.Request{
		Method: http.MethodGet, URL: u, Host: host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// sentHost returns the Host header that net/http makes of a host: names in ASCII. One
// that it takes for malformed it leaves out without a word, which is not ok.
func sentHost(host string) (sent string, ok bool) {
	var written bytes.Buffer
	if err := (&http.Request{URL: &url.URL{Path: "/"}, Host: host}).Write(&written); err != nil {
		return "", false
	}
	read, err := http.ReadRequest(bufio.NewReader(&written))
	if err != nil {
		return "", false
	}
	return read.Host, read.Host != ""
}

// checkHeader returns an error where a header can't be sent as it is (RFC 9110, 5.1 and
// 5.5): net/http would leave it out, or send another.
func checkHeader(header http.Header) error {
	for name, values := range header {
		if !handshake.IsToken(name) {
			return fmt.Errorf("websocket: %q is no name of a header", name)
		}
		for _, value := range values {
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
				return fmt.Errorf("websocket: header %s has a value with control characters", name)
			}
		}
	}
	return nil
}

// parseURL returns a WebSocket URL as net/http wants it. Its errors do not show
// it: URLs carry passwords and tokens.
func parseURL(rawURL string) (*url.URL, error) {
	u, err := url.Parse(rawURL)
	var malformed *url.Error
	switch {
	case errors.As(err, &malformed):
		return nil, fmt.Errorf("websocket: URL can't be parsed: %w", malformed.Err)
	case u.Scheme == "ws", u.Scheme == "http":
		u.Scheme = "http"
	case u.Scheme == "wss", u.Scheme == "https":
		u.Scheme = "https"
	default:
		return nil, fmt.Errorf("websocket: URL has scheme %q: want ws, wss, http or https", u.Scheme)
	}
	switch {
	case u.Hostname() == "":
		return nil, errors.New("websocket: URL has no host")
	case u.User != nil:
		return nil, errors.New("websocket: URL has a user: set an Authorization header instead")
	case u.Fragment != "":
		return nil, errors.New("websocket: URL has a fragment")
	}
	if port := u.Port(); port == "" || port == handshake.DefaultPort(u.Scheme) { // the Host header has neither (RFC 6455, 4.1)
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	return u, nil
}
