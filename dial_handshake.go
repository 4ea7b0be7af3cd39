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
	// refusalBody is how much of a refusal's body is kept, in bytes, and refusalWait is
	// how long it is waited for: the status says more, and a body need not end.
	refusalBody = 1024
	refusalWait = time.Second

	// longestHead bounds the heads of all answers to a request, in bytes.
	longestHead = 1 << 20
)

// gorillaBuffers are gorilla's, to write with, of all connections that were
// dialed.
var gorillaBuffers sync.Pool

// dialReadBuffers are ours, to read with.
var dialReadBuffers sync.Pool

// A carrier is the net.Conn that gorilla keeps: the handshake at first, the
// transport when that is done.
type carrier struct{ net.Conn }

// dialing is one opening handshake of a client. Gorilla makes the key and checks
// the server's proof that it has read it, for nobody but gorilla can make a connection
// of its type. In between, the request is sent and the answer judged here. To
// gorilla it is a net.Conn of which only what is below is used.
type dialing struct {
	net.Conn
	ctx     context.Context // ends with Dial at the latest
	cancel  context.CancelCauseFunc
	options *DialOptions
	config  *transport.Config // of the transport
	request *http.Request

	asked    bytes.Buffer   // gorilla's request
	answered io.Reader      // what gorilla is answered
	response *http.Response // that the caller gets
	t        *transport.Conn

	mu       sync.Mutex
	sockets  []net.Conn // that were opened
	over     bool       // they are closed, and so are others that come
	panicked any        // the value of a panic in DialContext
}

// dial makes the connection. Where it returns an error, or panics in a function
// of the caller's, nothing is left open.
func (d *dialing) dial() (gorilla *ws.Conn, err error) {
	stop := context.AfterFunc(d.ctx, d.abandon) // ends every read and write
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
		c.Conn = (*transport.GorillaView)(d.t)
		return made, nil
	case err == ErrBadHandshake: //nolint:errorlint // gorilla's own, which says no more
		return nil, fmt.Errorf("%w: the server's 101 has no right Sec-WebSocket-Accept header", ErrBadHandshake)
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

// abandon closes the sockets, beneath TLS: it waits for no peer.
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
	nc, err := d.connect()
	if err != nil {
		return nil, d.failed(err)
	}
	response, early, err := d.roundTrip(nc) //nolint:bodyclose // it is in memory
	if err != nil {
		return nil, d.failed(err)
	}
	d.response = response
	if response.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("%w: the server answered %s", ErrBadHandshake, response.Status)
	}
	subprotocol, compressed, err := handshake.ReadResponse(response, d.options.Subprotocols, d.options.EnableCompression)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadHandshake, err)
	}
	if err := nc.SetReadDeadline(time.Time{}); err != nil { // there may be one from DialContext
		return nil, d.failed(err)
	}
	d.t = transport.New(nc, early, d.config)
	if compressed {
		d.t.UseDeflate()
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

// roundTrip sends the request and reads the answer: its head and, of a refusal, the
// beginning of the body. Early is what has come behind a 101.
func (d *dialing) roundTrip(nc net.Conn) (response *http.Response, early []byte, err error) {
	stop, unsent := d.send(nc, d.request)
	defer stop()
	limited := &io.LimitedReader{R: nc, N: longestHead}
	r := bufio.NewReader(limited)
	response, err = readAnswer(r, d.request)
	switch {
	case err != nil && unsent != nil:
		return nil, nil, unsent
	case err != nil && limited.N <= 0:
		return nil, nil, fmt.Errorf("the head of the answer is longer than %d bytes", longestHead)
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
	early, _ = r.Peek(r.Buffered()) // what is buffered can be peeked at
	return response, early, nil
}

// send sends a request. Where it can't be sent whole, the peer may have refused it
// already: what has come is still to be read, for as long as a refusal's body.
func (d *dialing) send(nc net.Conn, request *http.Request) (stop func() bool, err error) {
	wait := refusalWait
	switch err = request.Write(nc); {
	case err == nil:
		return func() bool { return false }, nil
	case isPanic(err): // it is no peer that has done that
		wait = 0
	}
	return time.AfterFunc(wait, d.abandon).Stop, err
}

// keepBody reads the beginning of a refusal's body, as far as it comes in time.
func (d *dialing) keepBody(response *http.Response) {
	defer time.AfterFunc(refusalWait, d.abandon).Stop()
	kept, _ := io.ReadAll(io.LimitReader(response.Body, refusalBody)) // what came in time
	response.Body = io.NopCloser(bytes.NewReader(kept))               // the other has no end that could be waited for
}

// readAnswer reads the head of the final answer to a request. Others may come before
// it (RFC 9110, 15.2); a 101 is final.
func readAnswer(r *bufio.Reader, request *http.Request) (*http.Response, error) {
	for {
		begin, _ := r.Peek(len("HTTP/1.1 101")) // its error is the next read's
		if bytes.HasSuffix(begin, []byte(" 101")) {
			return readHead(r, request)
		}
		response, err := http.ReadResponse(r, request)
		if err != nil || response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, err
		}
	}
}

// readHead reads the head of an answer behind which another protocol begins, a 101 or
// one to CONNECT, and nothing behind it. What it says of a body means nothing, and is
// ignored (RFC 9110, 9.3.6). Net/http would look at that, and takes a 101 whose
// Connection header has "close" for the answer of a server that hangs up.
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

// noEOF is the error of a read in the middle of something.
func noEOF(err error) error {
	if err == io.EOF { //nolint:errorlint // that of a read, as it is
		return io.ErrUnexpectedEOF
	}
	return err
}
