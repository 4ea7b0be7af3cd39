package wstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
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

	// ReadOnDemand has a [Client] read only while a method waits for a message: it is
	// slow to take what it is sent, and answers pings and the server's close frame only
	// then.
	ReadOnDemand bool

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
// the test. The embedded connection is gorilla's, for what is not here: read with the
// methods of Client, never with its own. The socket is closed when the test ends.
//
// A client reads in the background, as a browser does: pings and the server's close
// frame are answered whatever the test does, and messages wait until they are read or
// expected. While 1,024 of them wait, or 1 MiB, it reads no more, so that the server
// feels a peer that does not read, and gets no answer to its pings. Options.ReadOnDemand
// is for clients that are to be slow, [DialRaw] for those that never read or answer
// nothing.
type Client struct {
	*ws.Conn

	// Response is the server's answer to the handshake.
	Response *http.Response

	t        testing.TB
	options  Options
	inbox    inbox
	handlers handlers
	answered atomic.Bool // the server's close frame
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
	c.readInBackground()
	return c, response, nil
}

func describe(response *http.Response) string {
	if response == nil {
		return ""
	}
	body, _ := io.ReadAll(response.Body) // gorilla keeps the start of it in memory
	return fmt.Sprintf(": %s: %s", response.Status, bytes.TrimSpace(body))
}

// WriteText sends a text message. Once the server's close frame is answered it sends
// nothing, and the next expectation finds the close frame.
func (c *Client) WriteText(message string) {
	c.t.Helper()
	c.write(ws.TextMessage, []byte(message))
}

// WriteBinary is WriteText with a binary message.
func (c *Client) WriteBinary(message []byte) {
	c.t.Helper()
	c.write(ws.BinaryMessage, message)
}

func (c *Client) write(messageType int, message []byte) {
	c.t.Helper()
	_ = c.SetWriteDeadline(c.options.deadline()) // always nil
	err := c.WriteMessage(messageType, message)
	if err != nil && !c.hasAnsweredClose(err) {
		c.t.Fatalf("wstest: write: %v", err)
	}
}

// hasAnsweredClose reports whether a write failed because the server's close frame has
// come and was answered, which the test may not know yet.
func (c *Client) hasAnsweredClose(err error) bool {
	return errors.Is(err, ws.ErrCloseSent) && c.answered.Load()
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
	wanted := Message{Type: messageType, Data: want}
	got, err := c.read()
	switch {
	case err != nil:
		c.t.Fatalf("wstest: got %v, want %s", err, wanted)
	case got.Type != messageType || !bytes.Equal(got.Data, want):
		c.t.Fatalf("wstest: got %s, want %s", got, wanted)
	}
}

// read takes the next message, which may take Timeout to come.
func (c *Client) read() (Message, error) {
	deadline := c.options.deadline()
	m, err := c.inbox.next(func() time.Time { return deadline })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("nothing in %v", c.options.timeout())
	}
	return m, err
}

// ExpectJSON reads the next message, which must be a text with the same JSON as want is
// encoded to: white space and the order of keys do not matter, and numbers are compared
// as they are written. JSON that is written by hand is given as a [json.RawMessage].
func (c *Client) ExpectJSON(want any) {
	c.t.Helper()
	encoded, err := json.Marshal(want)
	if err != nil {
		c.t.Fatalf("wstest: the JSON that is wanted: %v", err)
	}
	got, err := c.read()
	switch {
	case err != nil:
		c.t.Fatalf("wstest: got %v, want JSON %s", err, encoded)
	case got.Type != ws.TextMessage || !sameJSON(got.Data, encoded):
		c.t.Fatalf("wstest: got %s, want JSON %s", got, encoded)
	}
}

// sameJSON compares JSON, with numbers as they are written.
func sameJSON(got, want []byte) bool {
	a, err := decodeJSON(got)
	if err != nil {
		return false
	}
	b, err := decodeJSON(want)
	return err == nil && reflect.DeepEqual(a, b)
}

func decodeJSON(p []byte) (v any, err error) {
	if !json.Valid(p) { // also where something follows
		return nil, errors.New("no JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(p))
	decoder.UseNumber()
	return v, decoder.Decode(&v)
}

// ExpectNothing fails the test if a message has come that was not read, or comes within
// that time, or if the connection ends. The connection goes on. In a testing/synctest
// bubble, zero is enough after [testing/synctest.Wait]: whatever was under way has come then.
// Elsewhere the time is spent.
func (c *Client) ExpectNothing(within time.Duration) {
	c.t.Helper()
	deadline := time.Now().Add(within)
	switch got, err := c.inbox.next(func() time.Time { return deadline }); {
	case err == nil:
		c.t.Fatalf("wstest: got %s, want nothing", got)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		c.t.Fatalf("wstest: got %v, want nothing", err)
	}
}

// Received takes all messages that have come and were not read yet, in their order, and
// waits for none. In a testing/synctest bubble, call [testing/synctest.Wait] before.
func (c *Client) Received() []Message { return c.inbox.all() }

// ExpectClose reads the server's close frame, which must come next and have this
// code and text.
func (c *Client) ExpectClose(code int, text string) {
	c.t.Helper()
	got, err := c.read()
	if err == nil {
		c.t.Fatalf("wstest: got %s, want close %d %q", got, code, text)
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
	err := c.WriteControl(ws.CloseMessage, ws.FormatCloseMessage(code, text), c.options.deadline())
	if err != nil && !c.hasAnsweredClose(err) {
		c.t.Fatalf("wstest: write close %d: %v", code, err)
	}
	for {
		_, err := c.read()
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
