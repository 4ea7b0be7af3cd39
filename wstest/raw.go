package wstest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Raw is the client's end of a connection after the handshake. It writes and reads single frames or
// bytes, and answers nothing by itself. One goroutine of the test may use it at a time. The socket
// is closed when the test ends.
type Raw struct {
	net.Conn

	// Response is the server's answer to the handshake.
	Response *http.Response

	t       testing.TB
	r       *bufio.Reader
	options Options
}

// DialRaw connects like [Dial]. Of the options, ReadOnDemand does not apply.
func DialRaw(t testing.TB, target any, path string, options *Options) *Raw {
	t.Helper()
	c := &Raw{t: t}
	if options != nil {
		c.options = *options
	}
	e := resolve(t, target, path)
	request, err := http.NewRequest(http.MethodGet, e.url, http.NoBody)
	if err != nil {
		t.Fatalf("wstest: dial %s: %v", path, err)
	}
	for name, values := range c.options.Header {
		request.Header[name] = slices.Clone(values)
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "websocket")
	request.Header.Set("Sec-WebSocket-Version", "13")
	request.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	if len(c.options.Subprotocols) > 0 {
		request.Header.Set("Sec-WebSocket-Protocol", strings.Join(c.options.Subprotocols, ", "))
	}
	if c.options.Compression {
		request.Header.Set("Sec-WebSocket-Extensions", "permessage-deflate")
	}

	address := request.URL.Host
	if request.URL.Port() == "" {
		address = net.JoinHostPort(address, request.URL.Scheme)
	}
	if c.Conn, err = e.dial(context.Background(), "tcp", address); err != nil {
		t.Fatalf("wstest: dial %s: %v", path, err)
	}
	t.Cleanup(func() { _ = c.Conn.Close() })
	if request.URL.Scheme == "https" {
		config := e.tls.Clone()
		if config.ServerName == "" {
			config.ServerName = request.URL.Hostname()
		}
		c.Conn = tls.Client(c.Conn, config)
	}
	_ = c.SetDeadline(c.options.deadline())
	if err := request.Write(c.Conn); err != nil {
		t.Fatalf("wstest: dial %s: %v", path, err)
	}
	c.r = bufio.NewReader(c.Conn)
	if c.Response, err = http.ReadResponse(c.r, request); err != nil { //nolint:bodyclose // the connection is closed
		t.Fatalf("wstest: dial %s: %v", path, err)
	}
	if c.Response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("wstest: dial %s%s", path, describe(c.Response))
	}
	_ = c.SetDeadline(time.Time{})
	return c
}

// Send writes frames in one write. If it fails, so does the test.
func (c *Raw) Send(frames ...Frame) {
	c.t.Helper()
	var b []byte
	for _, f := range frames {
		b = f.AppendTo(b)
	}
	c.SendBytes(b)
}

// SendBytes writes bytes. If it fails, so does the test.
func (c *Raw) SendBytes(p []byte) {
	c.t.Helper()
	_ = c.SetWriteDeadline(c.options.deadline())
	if _, err := c.Write(p); err != nil {
		c.t.Fatalf("wstest: write: %v", err)
	}
}

// Read reads the next bytes. It has no deadline but the one of SetReadDeadline.
func (c *Raw) Read(p []byte) (int, error) { return c.r.Read(p) }

// Receive reads one frame of any kind: see [ReadFrame]. It waits up to Timeout.
func (c *Raw) Receive() (Frame, error) {
	_ = c.SetReadDeadline(c.options.deadline())
	return ReadFrame(c.r)
}

// Expect reads frames, which must be equal to the given ones and unmasked: Masked of the given
// frames is ignored.
func (c *Raw) Expect(frames ...Frame) {
	c.t.Helper()
	for _, want := range frames {
		want.Masked = false
		got, err := c.Receive()
		if err != nil {
			c.t.Fatalf("wstest: got %v, want %s", err, want)
		}
		if got.Fin != want.Fin || got.RSV != want.RSV || got.Opcode != want.Opcode || got.Masked || !bytes.Equal(got.Payload, want.Payload) {
			c.t.Fatalf("wstest: got %s, want %s", got, want)
		}
	}
}

// ExpectClose reads a close frame, which must come next and have the given code and text. Code 1005
// means an empty frame.
func (c *Raw) ExpectClose(code int, text string) {
	c.t.Helper()
	c.Expect(Close(code, text))
}

// ExpectEnd expects the end of the connection next: the server has closed its socket or half-closed
// it, or has reset the connection.
func (c *Raw) ExpectEnd() {
	c.t.Helper()
	_ = c.SetReadDeadline(c.options.deadline())
	var timeout net.Error
	switch b, err := c.r.ReadByte(); {
	case err == nil:
		c.t.Fatalf("wstest: got byte %#x, want the end of the connection", b)
	case errors.As(err, &timeout) && timeout.Timeout():
		c.t.Fatalf("wstest: the connection is still open after %v", c.options.timeout())
	}
}

var _ io.Reader = (*Raw)(nil)
