package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"weak"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
)

// A kind is a kind of client.
type kind struct {
	name string
	run  func(c *client)
}

const (
	kindHealthy = "healthy"
	kindSlow    = "slow reader"
	kindStream  = "byte stream"
)

// healthy are the kinds of clients that make no mistake.
var healthy = []kind{
	{kindHealthy, (*client).exchange},
	{kindHealthy, (*client).exchange},
	{kindHealthy, (*client).exchange},
	{kindSlow, (*client).exchange},
	{kindStream, (*client).stream},
}

// A client is the client's end of one connection.
type client struct {
	s        *soak
	l        *ledger
	random   *rand.Rand
	secure   bool
	compress bool
}

// url returns the URL of the server with the query of the client.
func (c *client) url(scheme, query string) string {
	server := c.s.plain
	if c.secure {
		server, scheme = c.s.secure, scheme+"s"
	}
	return fmt.Sprintf("%s://%s/?id=%d&%s", scheme, server.Listener.Addr(), c.l.id, strings.ReplaceAll(query, " ", "+"))
}

func (c *client) tls() *tls.Config {
	transport := c.s.secure.Client().Transport.(*http.Transport) //nolint:errcheck // the client of httptest has one
	config := transport.TLSClientConfig.Clone()
	config.ServerName = "example.com" // the name in its certificate
	return config
}

func (c *client) problem(format string, args ...any) {
	c.s.problems.add("%s %d: "+format, append([]any{c.l.kind, c.l.id}, args...)...)
}

// A wire has the methods that gorilla's connections and ours have in common.
type wire interface {
	ReadMessage() (int, []byte, error)
	WriteMessage(messageType int, p []byte) error
	WriteControl(messageType int, p []byte, deadline time.Time) error
	SetReadDeadline(t time.Time) error
	SetPongHandler(handle func(payload string) error)
}

// dial connects by gorilla or by Dial. It returns the connection, nil if the server refused it
// because of a shutdown, and a function that hangs up.
func (c *client) dial(query string) (conn wire, hangUp func() error) {
	var response *http.Response
	var err error
	if c.random.IntN(2) == 0 {
		dialer := ws.Dialer{TLSClientConfig: c.tls(), EnableCompression: c.compress, HandshakeTimeout: patience}
		var theirs *ws.Conn
		if theirs, response, err = dialer.Dial(c.url("ws", query), nil); err == nil { //nolint:bodyclose // gorilla keeps its start in memory
			theirs.SetPingHandler(func(payload string) error { // gorilla's own handler gives up after a second
				err := theirs.WriteControl(ws.PongMessage, []byte(payload), time.Now().Add(patience))
				if errors.Is(err, ws.ErrCloseSent) {
					return nil // like gorilla's own handler
				}
				return err
			})
			conn, hangUp = theirs, theirs.Close
		}
	} else {
		options := &websocket.DialOptions{TLSConfig: c.tls(), EnableCompression: c.compress}
		options.PingInterval, options.CloseTimeout = -1, patience
		var ours *websocket.Conn
		if ours, response, err = websocket.Dial(context.Background(), c.url("ws", query), options); err == nil {
			conn, hangUp = ours, func() error {
				_ = ours.CloseNow()
				if !isClosed(ours) {
					c.problem("the client's socket is not closed")
				}
				return nil
			}
			c.l.set(func() { c.l.client = weak.Make(ours) })
		}
	}
	if response != nil {
		c.l.answered(response.StatusCode)
	}
	if err != nil && (response == nil || response.StatusCode != http.StatusServiceUnavailable) {
		c.problem("dial: %v", err)
	}
	return conn, hangUp
}

// exchange sends numbered messages and checks the messages that it receives, until one side says
// goodbye.
func (c *client) exchange() {
	conn, hangUp := c.dial("do=exchange")
	if conn == nil {
		return
	}
	defer func() { _ = hangUp() }()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	conn.SetPongHandler(func(string) error {
		c.l.pongs.Add(1)
		return nil
	})
	var reading sync.WaitGroup
	reading.Go(func() { c.check(conn) })
	if err := c.talk(conn); err != nil {
		c.l.writeFailed(err)
	}
	reading.Wait()
}

// unread bounds the bytes that a client writes and the server has not read, to what the buffers of
// the network hold. Otherwise two correct peers could wait for each other: one does not read while
// it answers a message, the other while it answers a ping.
const unread = 512 << 10

// talk sends numbered messages and pings, and goodbye.
func (c *client) talk(conn wire) error {
	written := 0
	for range c.random.IntN(200) {
		kind := messageType(c.random)
		p := message("client", c.l.up.next("client"), body(c.random, kind))
		if written += len(p); written > unread {
			break
		}
		if err := conn.WriteMessage(kind, p); err != nil {
			return err
		}
		c.l.up.wrote("client")
		switch c.random.IntN(20) {
		case 0:
			if err := conn.WriteControl(ws.PingMessage, []byte{1}, time.Now().Add(patience)); err != nil {
				return err
			}
			c.l.pings.Add(1)
		case 1, 2:
			time.Sleep(time.Duration(c.random.IntN(20)) * time.Millisecond)
		}
	}
	return conn.WriteMessage(ws.TextMessage, []byte(goodbye))
}

// check reads messages until the server's close frame.
func (c *client) check(conn wire) {
	pause := time.Duration(0)
	if c.l.kind == kindSlow {
		pause = time.Second
	}
	for {
		_, p, err := conn.ReadMessage()
		if err != nil {
			c.closed(err)
			return
		}
		if bytes.HasPrefix(p, []byte("broadcast ")) {
			err = c.l.down.announced(p)
		} else {
			err = c.l.down.arrived(p)
		}
		if err != nil {
			c.problem("to the client: %v", err)
		}
		if pause > 0 {
			time.Sleep(20 * time.Millisecond)
			pause -= 20 * time.Millisecond
		}
	}
}

// closed records the error that ended reading, which must be a close frame.
func (c *client) closed(err error) {
	var ce *ws.CloseError
	if !errors.As(err, &ce) || ce.Code != ws.CloseNormalClosure && ce.Code != ws.CloseGoingAway {
		c.problem("read: %v", err)
		return
	}
	c.l.closed(ce.Code)
}

// stream sends bytes and checks that it receives the same bytes.
func (c *client) stream() {
	conn, hangUp := c.dial("do=stream")
	if conn == nil {
		return
	}
	defer func() { _ = hangUp() }()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	sent := make([]byte, c.random.IntN(unread))
	for i := range sent {
		sent[i] = byte(c.random.Uint32())
	}
	cut := rand.New(rand.NewPCG(c.l.id, 3)) //nolint:gosec // must be reproducible
	var writing sync.WaitGroup
	writing.Go(func() {
		for rest := sent; len(rest) > 0; {
			n := 1 + cut.IntN(min(len(rest), 50_000))
			if err := conn.WriteMessage(ws.BinaryMessage, rest[:n]); err != nil {
				c.l.writeFailed(err)
				return
			}
			rest = rest[n:]
		}
	})
	defer writing.Wait()
	var got []byte
	for len(got) < len(sent) {
		_, p, err := conn.ReadMessage()
		if err != nil {
			c.closed(err)
			break
		}
		got = append(got, p...)
	}
	if !bytes.HasPrefix(sent, got) {
		c.problem("other bytes came back")
	}
	if len(got) < len(sent) {
		if c.l.code != ws.CloseGoingAway {
			c.problem("%d of %d bytes came back", len(got), len(sent))
		}
		return
	}
	_ = conn.WriteControl(ws.CloseMessage, ws.FormatCloseMessage(ws.CloseNormalClosure, ""), time.Now().Add(patience))
	for {
		_, p, err := conn.ReadMessage()
		if err != nil {
			c.closed(err)
			return
		}
		c.problem("%d bytes too many", len(p))
	}
}

// A raw is a connection for frames that the library would not send.
type raw struct {
	net.Conn
	tcp *net.TCPConn
	r   *bufio.Reader
}

// dialRaw performs the opening handshake itself. It returns nil if the server refused it.
func (c *client) dialRaw(query string, change func(r *http.Request)) *raw {
	request, err := http.NewRequest(http.MethodGet, c.url("http", query), http.NoBody)
	if err != nil {
		c.problem("%v", err)
		return nil
	}
	request.Header.Set("Connection", "Upgrade")
	request.Header.Set("Upgrade", "websocket")
	request.Header.Set("Sec-Websocket-Version", "13")
	request.Header.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	if c.compress {
		request.Header.Set("Sec-Websocket-Extensions", "permessage-deflate")
	}
	if change != nil {
		change(request)
	}
	conn, err := net.Dial("tcp", request.URL.Host)
	if err != nil {
		c.problem("dial: %v", err)
		return nil
	}
	w := &raw{Conn: conn, tcp: conn.(*net.TCPConn)} //nolint:errcheck // it is one
	_ = w.tcp.SetReadBuffer(16 << 10)               // so that a client that does not read stalls the server soon
	if c.secure {
		w.Conn = tls.Client(conn, c.tls())
	}
	_ = w.SetDeadline(time.Now().Add(patience))
	w.r = bufio.NewReader(w)
	if err = request.Write(w); err == nil {
		var response *http.Response
		if response, err = http.ReadResponse(w.r, request); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1000*int64(max(0, response.StatusCode-101))))
			_ = response.Body.Close()
			c.l.answered(response.StatusCode)
			if response.StatusCode == http.StatusSwitchingProtocols {
				return w
			}
		}
	}
	if err != nil {
		c.problem("dial: %v", err)
	}
	_ = conn.Close()
	return nil
}

func (w *raw) send(frames ...wstest.Frame) error {
	var b []byte
	for _, f := range frames {
		b = f.AppendTo(b)
	}
	_, err := w.Write(b)
	return err
}

// drain reads to the end. It returns the messages and the code of the close frame, 1006 without
// one. It answers the close frame.
func (c *client) drain(w *raw) (messages []string, code int) {
	code = ws.CloseAbnormalClosure
	for {
		f, err := wstest.ReadFrame(w.r)
		var timeout net.Error
		switch {
		case errors.As(err, &timeout) && timeout.Timeout():
			c.problem("the server neither sends nor hangs up")
			return messages, code
		case err != nil:
			return messages, code
		case f.Opcode == wstest.OpText || f.Opcode == wstest.OpBinary:
			messages = append(messages, string(f.Payload))
		case f.Opcode == wstest.OpClose && code == ws.CloseAbnormalClosure:
			code = f.CloseCode()
			c.l.closed(code)
			_ = w.send(wstest.Close(code, ""))
		}
	}
}
