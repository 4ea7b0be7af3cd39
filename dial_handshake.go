package websocket

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/transport"
)

const (
	// maxRefusalBody bounds the kept part of a refusal's body, in bytes, and
	// refusalBodyTimeout the wait for it. The status says more, and the body may never end.
	maxRefusalBody     = 1024
	refusalBodyTimeout = time.Second

	// maxHeadSize bounds the heads of all responses to one request together, in bytes.
	maxHeadSize = 1 << 20
)

// gorillaBuffers are gorilla's write buffers for all dialed connections.
var gorillaBuffers sync.Pool

// dialReadBuffers are the read buffers of the transports of all dialed connections.
var dialReadBuffers sync.Pool

// A swapConn is the net.Conn that gorilla keeps: first the clientHandshake, then the view
// of the transport.
type swapConn struct{ net.Conn }

// clientHandshake is one opening handshake of a client. Only gorilla can make a connection
// of its type, so gorilla creates the key and checks that the server's Sec-WebSocket-Accept
// header matches it. Between these two steps, clientHandshake sends the request and checks
// the response. To gorilla it is a net.Conn, of which gorilla calls only the methods below.
type clientHandshake struct {
	net.Conn
	ctx     context.Context // ends when Dial returns, at the latest
	cancel  context.CancelCauseFunc
	options *DialOptions
	config  *transport.Config
	request *http.Request

	gorillaRequest  bytes.Buffer   // written by gorilla
	gorillaResponse io.Reader      // read by gorilla; nil before exchange
	response        *http.Response // returned to the caller
	t               *transport.Conn

	mu        sync.Mutex
	sockets   []net.Conn // opened so far
	abandoned bool       // sockets are closed, and so is every later one
	panicked  any        // the value of a panic in DialContext; nil: none
}

// dial makes the connection. If it returns an error, or a function of the caller panics, no
// socket is left open.
func (d *clientHandshake) dial() (gorilla *ws.Conn, err error) {
	stop := context.AfterFunc(d.ctx, d.abandon) // interrupts every read and write
	defer func() {
		stop()
		if gorilla == nil {
			d.abandon()
			d.repanic()
		}
	}()
	c := &swapConn{Conn: d}
	dialer := ws.Dialer{
		NetDialContext:  func(context.Context, string, string) (net.Conn, error) { return c, nil },
		ReadBufferSize:  gorillaReadBuffer,
		WriteBufferPool: &gorillaBuffers,
	}
	made, _, err := dialer.DialContext(context.Background(), "ws://server", nil) //nolint:bodyclose // it is our own response, in memory
	switch {
	case err == nil && stop():
		c.Conn = (*transport.GorillaView)(d.t)
		return made, nil
	case err == ErrBadHandshake: //nolint:errorlint // gorilla's own error, without a reason
		return nil, fmt.Errorf("%w: the server's 101 has no right Sec-WebSocket-Accept header", ErrBadHandshake)
	case errors.Is(err, ErrBadHandshake):
		return nil, err
	case d.ctx.Err() != nil:
		return nil, d.failed(context.Cause(d.ctx))
	default:
		return nil, err
	}
}

// failed wraps the error of a dial that received no response. An error that wraps
// ErrBadHandshake belongs to another handshake beneath this one: of it only the text is
// kept.
func (d *clientHandshake) failed(err error) error {
	if errors.Is(err, ErrBadHandshake) {
		return fmt.Errorf("websocket: dial %s: %v", d.request.URL.Host, err) //nolint:errorlint // must not match ErrBadHandshake
	}
	return fmt.Errorf("websocket: dial %s: %w", d.request.URL.Host, err)
}

// abandon closes the sockets beneath TLS, without waiting for the peer.
func (d *clientHandshake) abandon() {
	d.mu.Lock()
	d.abandoned = true
	sockets := d.sockets
	d.mu.Unlock()
	for _, socket := range sockets {
		_ = socket.Close()
	}
}

// Write receives gorilla's request.
func (d *clientHandshake) Write(p []byte) (int, error) { return d.gorillaRequest.Write(p) }

// Read returns the server's response to gorilla, and not a byte of what follows it. The
// first call performs the exchange with the server.
func (d *clientHandshake) Read(p []byte) (int, error) {
	if d.gorillaResponse == nil {
		response, err := d.exchange()
		if err != nil {
			return 0, err
		}
		d.gorillaResponse = response
	}
	return d.gorillaResponse.Read(p)
}

// SetDeadline does nothing: the context bounds the handshake.
func (d *clientHandshake) SetDeadline(time.Time) error { return nil }

// Close does nothing: abandon closes the sockets.
func (d *clientHandshake) Close() error { return nil }

// exchange sends the handshake to the server, reads the response and makes the transport.
// It returns the part of the response that concerns gorilla.
func (d *clientHandshake) exchange() (io.Reader, error) {
	sent, err := http.ReadRequest(bufio.NewReader(&d.gorillaRequest))
	if err != nil {
		return nil, d.failed(err)
	}
	d.request.Header["Sec-WebSocket-Key"] = sent.Header["Sec-Websocket-Key"]
	nc, err := d.connect()
	if err != nil {
		return nil, d.failed(err)
	}
	response, early, err := d.roundTrip(nc) //nolint:bodyclose // its body is in memory
	if err != nil {
		return nil, d.failed(err)
	}
	d.response = response
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("%w: the server answered %s", ErrBadHandshake, response.Status)
	}
	subprotocol, terms, err := handshake.ReadResponse(response, d.options.Subprotocols, d.options.connection().deflateLimits(false))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadHandshake, err)
	}
	if err := nc.SetReadDeadline(time.Time{}); err != nil { // DialContext may have set one
		return nil, d.failed(err)
	}
	d.t = transport.New(nc, early, d.config)
	if terms != nil {
		d.t.UseDeflate(deflateTerms(terms.Client), deflateTerms(terms.Server))
	}

	answer := &bytes.Buffer{}
	answer.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
	fmt.Fprintf(answer, "Sec-WebSocket-Accept: %s\r\n", response.Header.Get("Sec-Websocket-Accept"))
	if subprotocol != "" {
		fmt.Fprintf(answer, "Sec-WebSocket-Protocol: %s\r\n", subprotocol)
	}
	answer.WriteString("\r\n")
	return answer, nil
}

// roundTrip sends the request and reads the response: its head and the beginning of a
// refusal's body. early is what the server sent after a 101.
func (d *clientHandshake) roundTrip(nc net.Conn) (response *http.Response, early []byte, err error) {
	stop, unsent := d.send(nc, d.request)
	defer stop()
	limited := &io.LimitedReader{R: nc, N: maxHeadSize}
	r := bufio.NewReader(limited)
	response, err = readFinalResponse(r, d.request)
	switch {
	case err != nil && unsent != nil:
		return nil, nil, unsent
	case err != nil && limited.N <= 0:
		return nil, nil, fmt.Errorf("the head of the answer is longer than %d bytes", maxHeadSize)
	case err != nil:
		return nil, nil, err
	}
	if secure, ok := nc.(*tls.Conn); ok {
		state := secure.ConnectionState()
		response.TLS = &state
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		limited.N = math.MaxInt64
		d.keepBody(response)
		return response, nil, nil
	}
	response.Body = http.NoBody
	early, _ = r.Peek(r.Buffered()) // no error: these bytes are buffered
	return response, early, nil
}

// send sends a request. If it can't be sent whole, the peer may have refused it already:
// its response is still to be read then, within the time for a refusal's body. The caller
// must call stop when it has read the response.
func (d *clientHandshake) send(nc net.Conn, request *http.Request) (stop func() bool, err error) {
	wait := refusalBodyTimeout
	switch err = request.Write(nc); {
	case err == nil:
		return func() bool { return false }, nil
	case isPanic(err): // the net.Conn failed by itself; the peer refused nothing
		wait = 0
	}
	return time.AfterFunc(wait, d.abandon).Stop, err
}

// keepBody keeps the beginning of a refusal's body, as far as it arrives in time.
func (d *clientHandshake) keepBody(response *http.Response) {
	defer time.AfterFunc(refusalBodyTimeout, d.abandon).Stop()
	kept, _ := io.ReadAll(io.LimitReader(response.Body, maxRefusalBody)) // an error ends what arrived in time
	response.Body = io.NopCloser(bytes.NewReader(kept))                  // the rest may never end
}

// readFinalResponse reads the head of the final response to a request. Interim responses
// may come before it (RFC 9110, 15.2); a 101 is final.
func readFinalResponse(r *bufio.Reader, request *http.Request) (*http.Response, error) {
	for {
		begin, _ := r.Peek(len("HTTP/1.1 101")) // the next read returns its error
		if bytes.HasSuffix(begin, []byte(" 101")) {
			return readHead(r, request)
		}
		response, err := http.ReadResponse(r, request)
		if err != nil || response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, err
		}
	}
}

// readHead reads the head of a response after which another protocol begins, a 101 or one
// to CONNECT, and nothing after it. Headers that describe a body are ignored (RFC 9110,
// 9.3.6). net/http would honor them, and takes a 101 with "close" in its Connection header
// for the response of a server that hangs up.
func readHead(r *bufio.Reader, request *http.Request) (*http.Response, error) {
	text := textproto.NewReader(r)
	line, err := text.ReadLine()
	if err != nil {
		return nil, noEOF(err)
	}
	response := &http.Response{Request: request, Body: http.NoBody}
	var status string
	var known bool
	response.Proto, status, _ = strings.Cut(line, " ")
	response.ProtoMajor, response.ProtoMinor, known = http.ParseHTTPVersion(response.Proto)
	response.Status = strings.TrimLeft(status, " ")
	code, _, _ := strings.Cut(response.Status, " ")
	response.StatusCode, err = strconv.Atoi(code)
	if !known || err != nil || len(code) != 3 || response.StatusCode < 100 {
		return nil, fmt.Errorf("malformed HTTP response %q", line)
	}
	header, err := text.ReadMIMEHeader()
	response.Header = http.Header(header)
	return response, noEOF(err)
}

// noEOF returns io.ErrUnexpectedEOF for the io.EOF of a read in the middle of a message.
func noEOF(err error) error {
	if err == io.EOF { //nolint:errorlint // a read returns it unwrapped
		return io.ErrUnexpectedEOF
	}
	return err
}
