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

const defaultTimeout = 20 * time.Second

// Options configures a client. The zero value and nil are ready to use.
type Options struct {
	// Header is added to the request, for example Origin, Cookie, Authorization or Host.
	Header http.Header

	// Subprotocols are offered in this order.
	Subprotocols []string

	// Compression offers permessage-deflate.
	Compression bool

	// ReadOnDemand makes a [Client] read only while one of its methods waits for a message, so
	// that it is a slow reader. It also answers pings and the server's close frame only then.
	ReadOnDemand bool

	// Timeout limits the handshake, each write and each expected message. Zero means 20 seconds;
	// negative means no limit.
	Timeout time.Duration
}

func (o *Options) timeout() time.Duration {
	if o.Timeout == 0 {
		return defaultTimeout
	}
	return o.Timeout
}

// deadline returns the deadline for an operation that starts now, zero for none.
func (o *Options) deadline() time.Time {
	if o.timeout() < 0 {
		return time.Time{}
	}
	return time.Now().Add(o.timeout())
}

// Client is the client's end of a connection. One goroutine of the test may use it at a time. The
// embedded connection of gorilla/websocket is for methods that Client does not have; its own read
// methods must not be used. The socket is closed when the test ends.
//
// A client reads in the background, as a browser does: it answers pings and the server's close
// frame at any time, and keeps messages until the test reads or expects them. While 1,024 messages
// or 1 MiB wait, it stops reading, so that the server sees a peer that does not read and does not
// answer pings. Options.ReadOnDemand makes a slow client. For a client that never reads or does not
// answer, use [DialRaw].
type Client struct {
	*ws.Conn

	// Response is the server's answer to the handshake.
	Response *http.Response

	t        testing.TB
	options  Options
	inbox    inbox
	handlers handlers
	answered atomic.Bool // the client has answered the server's close frame
}

// Dial connects to a WebSocket endpoint. The target is an http.Handler, which is served in memory,
// a [*Server], an [*net/http/httptest.Server], or a URL such as "ws://127.0.0.1:8080". The path may
// have a query. If the handshake fails, so does the test.
func Dial(t testing.TB, target any, path string, options *Options) *Client {
	t.Helper()
	c, response, err := dial(t, target, path, options) //nolint:bodyclose // gorilla has read its beginning
	if err != nil {
		t.Fatalf("wstest: dial %s: %v%s", path, err, describe(response))
	}
	c.Response = response
	return c
}

// DialRefused expects the handshake to be refused and returns the response. Its body is in memory,
// limited to the first 1,024 bytes. The test fails if the upgrade succeeds or if there is no
// response.
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
	body, _ := io.ReadAll(response.Body) // gorilla has read its beginning
	return fmt.Sprintf(": %s: %s", response.Status, bytes.TrimSpace(body))
}

// WriteText sends a text message. After the server's close frame it sends nothing, and the next
// expected message fails the test with that close frame.
func (c *Client) WriteText(message string) {
	c.t.Helper()
	c.write(ws.TextMessage, []byte(message))
}

// WriteBinary is [Client.WriteText] with a binary message.
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

// hasAnsweredClose reports whether a write has failed because the client has answered the server's
// close frame in the background.
func (c *Client) hasAnsweredClose(err error) bool {
	return errors.Is(err, ws.ErrCloseSent) && c.answered.Load()
}

// ExpectText reads the next message, which must be the given text message.
func (c *Client) ExpectText(want string) {
	c.t.Helper()
	c.expect(ws.TextMessage, []byte(want))
}

// ExpectBinary reads the next message, which must be the given binary message.
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

// read waits up to Timeout for the next message.
func (c *Client) read() (Message, error) {
	deadline := c.options.deadline()
	m, err := c.inbox.next(func() time.Time { return deadline })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("nothing in %v", c.options.timeout())
	}
	return m, err
}

// ExpectJSON reads the next message, which must be a text message with the same JSON as the
// encoding of want. White space and the order of keys do not matter; numbers must be spelled alike.
// For JSON that is encoded already, pass a [json.RawMessage].
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

// sameJSON reports whether two JSON texts are equal, with numbers in the same spelling.
func sameJSON(got, want []byte) bool {
	a, err := decodeJSON(got)
	if err != nil {
		return false
	}
	b, err := decodeJSON(want)
	return err == nil && reflect.DeepEqual(a, b)
}

func decodeJSON(p []byte) (v any, err error) {
	if !json.Valid(p) { // Decode would ignore trailing data
		return nil, errors.New("no JSON")
	}
	decoder := json.NewDecoder(bytes.NewReader(p))
	decoder.UseNumber()
	return v, decoder.Decode(&v)
}

// ExpectNothing fails the test if there is an unread message, or if a message arrives or the
// connection ends within the given time. The connection can be used afterwards. In a
// testing/synctest bubble, zero is enough after [testing/synctest.Wait], because everything in
// transit has arrived then. Outside a bubble, the call takes the whole time.
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

// Received removes all unread messages and returns them in order, without waiting. In a
// testing/synctest bubble, call [testing/synctest.Wait] before.
func (c *Client) Received() []Message { return c.inbox.all() }

// ExpectClose reads the server's close frame, which must come next and have the given code and
// text.
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

// Close performs the closing handshake from the client's side: it sends a close frame and expects
// the server to answer with the same code and no text (RFC 6455, 5.5.1). It drops messages that
// arrive in between, and closes the socket.
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
