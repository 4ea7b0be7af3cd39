package websocket

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	ws "github.com/gorilla/websocket"
)

const (
	defaultHandshakeTimeout = 30 * time.Second

	// refusalBody is how much of a refused handshake's body is kept, in bytes.
	refusalBody = 1024

	// compressionOffer is what a client asks for (RFC 7692, 7.1): each message is
	// compressed by itself, which is all that gorilla knows.
	compressionOffer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
)

// DialOptions tunes a connection made by [Dial]. The zero value, and nil, are
// ready to use. Dial changes nothing in it and keeps only the Options.
type DialOptions struct {
	// Options are those of the connection, with the same defaults as on a server.
	// What is about requests and endpoints has no meaning here and is ignored:
	// MaxConnections, AllowedOrigins, InsecureSkipOriginCheck, RequireSubprotocol,
	// Log, Observer.
	Options

	// Header is added to the request: Origin, Cookie, Authorization. What belongs
	// to the handshake (Upgrade, Connection, Sec-WebSocket-...) is an error.
	Header http.Header

	// Host is the request's Host header. Empty means the Host of Header or, where
	// there is none, that of the URL, which in any case is the host that is dialed
	// and whose certificate is checked. What can't be sent as one is an error.
	Host string

	// Subprotocols are offered, the preferred one first. [Conn.Subprotocol] is the
	// one that the server chose; it may choose none.
	Subprotocols []string

	// EnableCompression offers permessage-deflate (RFC 7692), for each message by
	// itself. The server may decline.
	EnableCompression bool

	// TLSConfig is used with wss and https, and with a proxy that is reached over
	// TLS. NextProtos is ignored: it is always HTTP/1.1 that is spoken. A panic in
	// one of its functions is one of Dial, but for wss through a SOCKS proxy, where
	// they run on a goroutine of net/http's. Nil means Go's defaults.
	TLSConfig *tls.Config

	// Proxy returns the proxy of a request, whose URL has scheme http or https;
	// nil stands for none. HTTP proxies, also over TLS, get a CONNECT request,
	// which user and password in the proxy's URL authorize; socks5 and socks5h
	// work as in [http.Transport]. A nil Proxy means [http.ProxyFromEnvironment] or,
	// where DialContext is set, no proxy. To use none in any case, return nil, nil.
	// A URL with any other scheme is an error, one without a scheme is taken for
	// http.
	Proxy func(*http.Request) (*url.URL, error)

	// DialContext opens the connection beneath TLS, to the host or the proxy: the
	// place for a unix socket or a network in memory. What it returns must have
	// deadlines. It runs on a goroutine of its own; a panic in it is one of Dial,
	// unless that has returned, and one in a method of the connection an error. Nil
	// means a [net.Dialer].
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// HandshakeTimeout bounds Dial, from the name's look-up to the response. Zero
	// means 30 seconds; negative means that only the context does.
	HandshakeTimeout time.Duration
}

// Dial connects to a WebSocket server. The URL has the scheme ws, wss, http or
// https, and neither user nor fragment (RFC 6455, 3). The options may be nil.
//
// Where the server refuses, or breaks the protocol in its answer, the error is
// ErrBadHandshake, and the response is returned, with a body that has at
// most the first 1,024 bytes. Redirects are not followed: they are refusals. All
// bodies returned are in memory and need not be closed; that of an upgrade is
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
	meant := options.Options
	meant.AllowedOrigins = nil
	if err := meant.Validate(); err != nil {
		return nil, nil, err
	}
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
	d := &dialing{ctx: bounded, cancel: cancel, options: options, request: request}
	gorilla, err := d.dial()
	switch {
	case errors.Is(err, ErrBadHandshake):
		return nil, d.response, err
	case err != nil:
		return nil, nil, err
	}
	return newConn(ctx, gorilla, d.t, d.t.options, false), d.response, nil
}

// request is the opening handshake, but for its key.
func (o *DialOptions) request(rawURL string) (*http.Request, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	header := canonical(o.Header)
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
	if !canBeSent(host) {
		return nil, fmt.Errorf("websocket: %q can't be sent as the Host header", host)
	}
	// The spelling of RFC 6455, for servers that insist on it.
	header["Upgrade"] = []string{"websocket"}
	header["Connection"] = []string{"Upgrade"}
	header["Sec-WebSocket-Version"] = []string{"13"}
	if len(o.Subprotocols) > 0 {
		header["Sec-WebSocket-Protocol"] = []string{strings.Join(o.Subprotocols, ", ")}
	}
	if o.EnableCompression {
		header["Sec-WebSocket-Extensions"] = []string{compressionOffer}
	}
	return &http.Request{
		Method: http.MethodGet, URL: u, Host: host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// canBeSent tells whether net/http sends the host: one that it takes for malformed
// it leaves out without a word.
func canBeSent(host string) bool {
	var written bytes.Buffer
	if err := (&http.Request{URL: &url.URL{Path: "/"}, Host: host}).Write(&written); err != nil {
		return false
	}
	read, err := http.ReadRequest(bufio.NewReader(&written))
	return err == nil && read.Host != ""
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
	return u, nil
}

// gorillaBuffers are gorilla's, to write with, of all connections that were
// dialed.
var gorillaBuffers sync.Pool

// dialReadBuffers are ours, to read with.
var dialReadBuffers sync.Pool

// A carrier is the net.Conn that gorilla keeps: the handshake at first, the
// transport when that is done.
type carrier struct{ net.Conn }

// dialing is one opening handshake of a client. Gorilla makes the key and judges
// the answer, for nobody but gorilla can make a connection of its type. In
// between, net/http carries both, for it knows networks, TLS and proxies. To
// gorilla it is a net.Conn of which only what is below is used.
type dialing struct {
	net.Conn
	ctx     context.Context // ends with Dial at the latest
	cancel  context.CancelCauseFunc
	options *DialOptions
	request *http.Request
	proxy   *url.URL // that gets a CONNECT; nil: none

	asked    bytes.Buffer   // gorilla's request
	answered io.Reader      // what gorilla is answered
	response *http.Response // that the caller gets
	t        *transport

	mu       sync.Mutex
	sockets  []net.Conn // that were opened
	over     bool       // they are closed, and so are others that come
	panicked any        // the value of a panic in dialNetwork
}

// dial makes the connection. Where it returns an error, or panics in a function
// of the caller's, nothing is left open.
func (d *dialing) dial() (gorilla *ws.Conn, err error) {
	stop := context.AfterFunc(d.ctx, d.abandon) // ends also what net/http does not
	defer func() {
		stop()
		if gorilla == nil {
			d.abandon()
			d.panicAgain()
		}
	}()
	c := &carrier{Conn: d}
	dialer := ws.Dialer{
		NetDialContext:  func(context.Context, string, string) (net.Conn, error) { return c, nil },
		ReadBufferSize:  gorillaReadBuffer,
		WriteBufferPool: &gorillaBuffers,
	}
	made, _, err := dialer.DialContext(context.Background(), "ws://server", nil) //nolint:bodyclose // it is our answer, in memory
	switch {
	case err == nil && stop():
		c.Conn = d.t
		return made, nil
	case err == ErrBadHandshake: //nolint:errorlint // gorilla's own, which says no more
		return nil, fmt.Errorf("%w: the server's 101 has no right Upgrade and Sec-WebSocket-Accept headers", ErrBadHandshake)
	case errors.Is(err, ErrBadHandshake):
		return nil, err
	case d.ctx.Err() != nil:
		return nil, d.failed(context.Cause(d.ctx))
	default:
		return nil, err
	}
}

// failed is the error of a dial that got no answer. Only the text is kept of one
// that is about the handshake of another, beneath this one.
func (d *dialing) failed(err error) error {
	if errors.Is(err, ErrBadHandshake) {
		return fmt.Errorf("websocket: dial %s: %v", d.request.URL.Host, err) //nolint:errorlint // it must not be ours
	}
	return fmt.Errorf("websocket: dial %s: %w", d.request.URL.Host, err)
}

// abandon closes what was opened, beneath TLS: nobody is waited for.
func (d *dialing) abandon() {
	d.mu.Lock()
	d.over = true
	sockets := d.sockets
	d.mu.Unlock()
	for _, socket := range sockets {
		_ = socket.Close()
	}
}

// Write takes gorilla's request.
func (d *dialing) Write(p []byte) (int, error) { return d.asked.Write(p) }

// Read gives gorilla the server's answer, when there is one, and not a byte of
// what comes behind it.
func (d *dialing) Read(p []byte) (int, error) {
	if d.answered == nil {
		answer, err := d.exchange()
		if err != nil {
			return 0, err
		}
		d.answered = answer
	}
	return d.answered.Read(p)
}

// SetDeadline does nothing: the context bounds the handshake.
func (d *dialing) SetDeadline(time.Time) error { return nil }

// Close does nothing: there is abandon.
func (d *dialing) Close() error { return nil }

// exchange carries the handshake to the server and the transport's making. It
// returns the answer as far as it concerns gorilla.
func (d *dialing) exchange() (io.Reader, error) {
	asked, err := http.ReadRequest(bufio.NewReader(&d.asked))
	if err != nil {
		return nil, d.failed(err)
	}
	d.request.Header["Sec-WebSocket-Key"] = asked.Header["Sec-Websocket-Key"]
	nc, response, err := d.roundTrip()
	if err != nil {
		return nil, d.failed(err)
	}
	d.response = response
	body := response.Body
	if _, switched := body.(io.Writer); !switched {
		kept, _ := io.ReadAll(io.LimitReader(body, refusalBody)) // what came in time
		_ = body.Close()
		response.Body = io.NopCloser(bytes.NewReader(kept))
		return nil, fmt.Errorf("%w: the server answered %s", ErrBadHandshake, response.Status)
	}
	response.Body = http.NoBody
	if !response.ProtoAtLeast(1, 1) {
		return nil, fmt.Errorf("%w: the server answered in %s", ErrBadHandshake, response.Proto)
	}
	compressed, err := d.agreed(response.Header)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadHandshake, err)
	}
	early, err := nc.early(body)
	if err != nil {
		return nil, d.failed(err)
	}
	options := d.options.Options
	d.t = newTransport(nc.own(), early, 0, &dialReadBuffers, &options)
	d.t.client, d.t.deflate = true, compressed

	header := response.Header.Clone()
	if compressed {
		header.Set("Sec-WebSocket-Extensions", compressionOffer)
	}
	var answer bytes.Buffer
	fmt.Fprintf(&answer, "HTTP/1.1 %s\r\n", response.Status)
	_ = header.Write(&answer) // to memory
	answer.WriteString("\r\n")
	return &answer, nil
}

// roundTrip sends the request and returns the connection with the response. An
// http.Transport serves one handshake: nothing is kept for another.
func (d *dialing) roundTrip() (nc *carried, response *http.Response, err error) {
	transport := &http.Transport{
		DialContext:        d.dialNetwork,
		DialTLSContext:     d.dialTLS,
		TLSClientConfig:    d.options.TLSConfig.Clone(), // for TLS behind a SOCKS proxy, which is net/http's
		DisableCompression: true,
		DisableKeepAlives:  true,
	}
	if transport.Proxy, err = d.chooseProxy(); err != nil {
		return nil, nil, err
	}
	ctx := httptrace.WithClientTrace(d.ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { nc = carriedOf(info.Conn) },
	})
	response, err = transport.RoundTrip(d.request.WithContext(ctx))
	if err == nil && nc.secure != nil {
		state := nc.secure.ConnectionState()
		response.TLS = &state
	}
	return nc, response, err
}

// agreed tells whether messages may be compressed. It is an error if the server
// chose what was not offered (RFC 6455, 4.1; RFC 7692, 7.1).
func (d *dialing) agreed(header http.Header) (compressed bool, err error) {
	if chosen, ok := header["Sec-Websocket-Protocol"]; ok {
		protocol := strings.Join(chosen, ", ")
		if !slices.Contains(d.options.Subprotocols, protocol) {
			return false, fmt.Errorf("the server chose subprotocol %q, which was not offered", protocol)
		}
	}
	extensions := strings.Join(header["Sec-Websocket-Extensions"], ", ")
	if extensions == "" {
		return false, nil
	}
	name, parameters, _ := strings.Cut(extensions, ";")
	takeover := true
	known := d.options.EnableCompression && strings.TrimSpace(name) == "permessage-deflate"
	seen := make(map[string]bool)
	for parameter := range strings.SplitSeq(parameters, ";") {
		parameter, value, valued := strings.Cut(parameter, "=")
		parameter, value = strings.TrimSpace(parameter), strings.TrimSpace(value)
		known = known && !seen[parameter]
		seen[parameter] = true
		switch parameter {
		case "server_no_context_takeover":
			takeover = false
			known = known && !valued
		case "client_no_context_takeover": // we do so in any case
			known = known && !valued
		case "server_max_window_bits": // a smaller window than ours is inflated, too
			known = known && isWindowBits(strings.Trim(value, `"`))
		default:
			known = false
		}
	}
	if !known || takeover || strings.Contains(extensions, ",") {
		return false, fmt.Errorf("the server chose extensions %q, which were not offered", extensions)
	}
	return true, nil
}
