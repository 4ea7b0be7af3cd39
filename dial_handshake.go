package websocket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/internal/dialing"
	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/transport"
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
	attempt *dialing.Attempt
	options *DialOptions
	config  *transport.Config
	request *http.Request

	gorillaRequest  bytes.Buffer   // written by gorilla
	gorillaResponse io.Reader      // read by gorilla; nil before exchange
	response        *http.Response // returned to the caller
	t               *transport.Conn
}

// dial makes the connection. If it returns an error, or a function of the caller panics, no
// socket is left open.
func (d *clientHandshake) dial() (gorilla *ws.Conn, err error) {
	defer func() {
		if gorilla == nil {
			d.attempt.Abandon()
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
	case err == nil && d.attempt.Keep():
		c.Conn = (*transport.GorillaView)(d.t)
		return made, nil
	case err == ErrBadHandshake: //nolint:errorlint // gorilla's own error, without a reason
		return nil, fmt.Errorf("%w: the server's 101 has no right Sec-WebSocket-Accept header", ErrBadHandshake)
	case errors.Is(err, ErrBadHandshake):
		return nil, err
	case d.attempt.Cause() != nil:
		return nil, d.failed(d.attempt.Cause())
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

// Close does nothing: the attempt closes the sockets.
func (d *clientHandshake) Close() error { return nil }

// exchange sends the handshake to the server, reads the response and makes the transport.
// It returns the part of the response that concerns gorilla.
func (d *clientHandshake) exchange() (io.Reader, error) {
	sent, err := http.ReadRequest(bufio.NewReader(&d.gorillaRequest))
	if err != nil {
		return nil, d.failed(err)
	}
	d.request.Header["Sec-WebSocket-Key"] = sent.Header["Sec-Websocket-Key"]
	nc, err := d.attempt.Connect(d.request)
	if err != nil {
		return nil, d.failed(err)
	}
	response, early, err := d.attempt.RoundTrip(nc, d.request) //nolint:bodyclose // its body is in memory
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
