package wstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
)

const defaultTimeout = 5 * time.Second

// Options tunes a client. The zero value, and nil, are ready to use.
type Options struct {
	// Header is added to the request: Origin, Cookie, Authorization, Host.
	Header http.Header

	// Subprotocols are offered, in this order.
	Subprotocols []string

	// Compression offers permessage-deflate.
	Compression bool

	// Timeout bounds the handshake and each expectation. Zero means 5 seconds;
	// negative means no bound.
	Timeout time.Duration
}

func (o *Options) timeout() time.Duration {
	if o.Timeout == 0 {
		return defaultTimeout
	}
	return o.Timeout
}

// deadline is when an expectation that begins now is given up.
func (o *Options) deadline() time.Time {
	if o.timeout() < 0 {
		return time.Time{}
	}
	return time.Now().Add(o.timeout())
}

// Client is the client's end of a connection, which belongs to one goroutine of
// the test. The embedded connection is gorilla's, for what is not here. Its
// socket is closed when the test ends.
type Client struct {
	*ws.Conn

	// Response is the server's answer to the handshake.
	Response *http.Response

	t       testing.TB
	options Options
}

// Dial connects to a WebSocket endpoint: path (with a query, if any) of an
// http.Handler, which is served in memory, a [*Server], an
// [*net/http/httptest.Server] or a URL such as "ws://127.0.0.1:8080". It fails the
// test if the handshake does.
func Dial(t testing.TB, target any, path string, options *Options) *Client {
	t.Helper()
	c, response, err := dial(t, target, path, options) //nolint:bodyclose // gorilla keeps its start in memory
	if err != nil {
		t.Fatalf("wstest: dial %s: %v%s", path, err, describe(response))
	}
	c.Response = response
	return c
}

// DialRefused expects the handshake to be refused and returns the answer, whose
// body is read already, at most its first 1,024 bytes. It fails the test if the
// upgrade succeeds or there is no answer.
func DialRefused(t testing.TB, target any, path string, options *Options) *http.Response {
	t.Helper()
	_, response, err := dial(t, target, path, options)
	switch {
	case err == nil:
		t.Fatalf("wstest: dial %s: upgraded, want a refusal", path)
	case response == nil:
		t.Fatalf("wstest: dial %s: %v, want an answer that refuses", path, err)
	}
	return response
}

func dial(t testing.TB, target any, path string, options *Options) (*Client, *http.Response, error) {
	t.Helper()
	c := &Client{t: t}
	if options != nil {
		c.options = *options
	}
	e := resolve(t, target, path)
	dialer := ws.Dialer{
		NetDialContext:    e.dial,
		TLSClientConfig:   e.tls,
		HandshakeTimeout:  max(c.options.timeout(), 0),
		Subprotocols:      c.options.Subprotocols,
		EnableCompression: c.options.Compression,
	}
	conn, response, err := dialer.Dial("ws"+strings.TrimPrefix(e.url, "http"), c.options.Header)
	if err != nil {
		return nil, response, err
	}
	c.Conn = conn
	t.Cleanup(func() { _ = conn.Close() })
	return c, response, nil
}

func describe(response *http.Response) string {
	if response == nil {
		return ""
	}
	body, _ := io.ReadAll(response.Body) // gorilla keeps the start of it in memory
	return fmt.Sprintf(": %s: %s", response.Status, bytes.TrimSpace(body))
}

// WriteText sends a text message.
func (c *Client) WriteText(message string) {
	c.t.Helper()
	c.write(ws.TextMessage, []byte(message))
}

// WriteBinary sends a binary message.
func (c *Client) WriteBinary(message []byte) {
	c.t.Helper()
	c.write(ws.BinaryMessage, message)
}

func (c *Client) write(messageType int, message []byte) {
	c.t.Helper()
	_ = c.SetWriteDeadline(c.options.deadline()) // always nil
	if err := c.WriteMessage(messageType, message); err != nil {
		c.t.Fatalf("wstest: write: %v", err)
	}
}

// ExpectText reads the next message, which must be this text.
func (c *Client) ExpectText(want string) {
	c.t.Helper()
	c.expect(ws.TextMessage, []byte(want))
}

// ExpectBinary reads the next message, which must be this binary one.
func (c *Client) ExpectBinary(want []byte) {
	c.t.Helper()
	c.expect(ws.BinaryMessage, want)
}

func (c *Client) expect(messageType int, want []byte) {
	c.t.Helper()
	gotType, got, err := c.read()
	wanted := message(messageType, want)
	switch {
	case err != nil:
		c.t.Fatalf("wstest: got %v, want %s", err, wanted)
	case gotType != messageType || !bytes.Equal(got, want):
		c.t.Fatalf("wstest: got %s, want %s", message(gotType, got), wanted)
	}
}

func (c *Client) read() (messageType int, p []byte, err error) {
	if err := c.SetReadDeadline(c.options.deadline()); err != nil {
		return 0, nil, err
	}
	return c.ReadMessage()
}

// ExpectClose reads the server's close frame, which must come next and have this
// code and text.
func (c *Client) ExpectClose(code int, text string) {
	c.t.Helper()
	messageType, p, err := c.read()
	if err == nil {
		c.t.Fatalf("wstest: got %s, want close %d %q", message(messageType, p), code, text)
	}
	var ce *ws.CloseError
	if !errors.As(err, &ce) || ce.Code != code || ce.Text != text {
		c.t.Fatalf("wstest: got %v, want close %d %q", err, code, text)
	}
}

// Close performs the closing handshake from the client's side: it sends a close
// frame and expects the server to answer with the same code and no text (RFC
// 6455, 5.5.1). Messages that arrive in between are dropped.
func (c *Client) Close(code int, text string) {
	c.t.Helper()
	if err := c.WriteControl(ws.CloseMessage, ws.FormatCloseMessage(code, text), c.options.deadline()); err != nil {
		c.t.Fatalf("wstest: write close %d: %v", code, err)
	}
	for {
		_, _, err := c.read()
		if err == nil {
			continue
		}
		var ce *ws.CloseError
		if !errors.As(err, &ce) || ce.Code != code || ce.Text != "" {
			c.t.Fatalf("wstest: got %v in answer to close %d, want the same code and no text", err, code)
		}
		_ = c.Conn.Close()
		return
	}
}

// message describes a message in a failure, its start if it is long.
func message(messageType int, p []byte) string {
	const most = 64
	kind, rest := "text", ""
	if messageType == ws.BinaryMessage {
		kind = "binary"
	}
	if len(p) > most {
		p, rest = p[:most], fmt.Sprintf("... (%d bytes)", len(p))
	}
	return fmt.Sprintf("%s %q%s", kind, p, rest)
}
