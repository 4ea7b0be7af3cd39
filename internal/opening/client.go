// Package opening does the opening handshake of a client (RFC 6455, 4.1), from a connection to the
// server to the transport, with gorilla's connection on top of it. It knows how a WebSocket begins,
// and nothing of what is done with it.
package opening

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

// A Client dials servers. Any number of goroutines may use it.
type Client struct {
	Network dialing.Network
	Offer   handshake.Offer
	Config  *transport.Config // of the transports
}

// Dial reaches the server of a URL and returns gorilla's connection, on top of the view of a
// transport. The context bounds the handshake. The response is nil, unless there is no error or the
// error wraps gorilla's ErrBadHandshake. If Dial returns an error, or a function of the application
// panics, no socket is left open.
func (c *Client) Dial(ctx context.Context, url string) (*ws.Conn, *transport.Conn, *http.Response, error) {
	request, err := c.Offer.Request(url)
	if err != nil {
		return nil, nil, nil, err
	}
	d := &clientHandshake{Client: c, attempt: dialing.Start(ctx, c.Network), request: request}
	gorilla, err := d.dial()
	switch {
	case errors.Is(err, ws.ErrBadHandshake):
		return nil, nil, d.response, err
	case err != nil:
		return nil, nil, nil, err
	default:
		return gorilla, d.t, d.response, nil
	}
}

// A swapConn is the net.Conn that gorilla keeps: first the clientHandshake, then the view
// of the transport.
type swapConn struct{ net.Conn }

// clientHandshake is one opening handshake. Only gorilla can make a connection of its type, so
// gorilla creates the key and checks that the server's Sec-WebSocket-Accept header matches it.
// Between these two steps, clientHandshake sends the request and checks the response. To gorilla
// it is a net.Conn, of which gorilla calls only the methods below.
type clientHandshake struct {
	net.Conn
	*Client
	attempt *dialing.Attempt
	request *http.Request // without a key before exchange

	gorillaRequest  bytes.Buffer   // written by gorilla
	gorillaResponse io.Reader      // read by gorilla; nil before exchange
	response        *http.Response // of the server; nil before exchange
	t               *transport.Conn
}

// dial has gorilla make its connection.
func (d *clientHandshake) dial() (gorilla *ws.Conn, err error) {
	defer func() {
		if gorilla == nil {
			d.attempt.Abandon()
		}
	}()
	c := &swapConn{Conn: d}
	dialer := ws.Dialer{
		NetDialContext:  func(context.Context, string, string) (net.Conn, error) { return c, nil },
		ReadBufferSize:  transport.GorillaReadBuffer,
		WriteBufferPool: &gorillaBuffers,
	}
	made, _, err := dialer.DialContext(context.Background(), "ws://server", nil) //nolint:bodyclose // it is our own response, in memory
	switch {
	case err == nil && d.attempt.Keep():
		c.Conn = (*transport.GorillaView)(d.t)
		return made, nil
	case err == ws.ErrBadHandshake: //nolint:errorlint // gorilla's own error, without a reason
		return nil, fmt.Errorf("%w: the server's 101 has no right Sec-WebSocket-Accept header", ws.ErrBadHandshake)
	case errors.Is(err, ws.ErrBadHandshake):
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
	if errors.Is(err, ws.ErrBadHandshake) {
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
		return nil, fmt.Errorf("%w: the server answered %s", ws.ErrBadHandshake, response.Status)
	}
	subprotocol, terms, err := handshake.ReadResponse(response, d.Offer.Subprotocols, d.Offer.Deflate)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ws.ErrBadHandshake, err)
	}
	if err := nc.SetReadDeadline(time.Time{}); err != nil { // DialContext may have set one
		return nil, d.failed(err)
	}
	d.t = transport.New(nc, early, d.Config)
	if terms != nil {
		UseDeflate(d.t, terms.Client, terms.Server)
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
