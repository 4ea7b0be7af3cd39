package main

import (
	"bytes"
	"compress/flate"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/wstest"
)

// faults are the kinds of clients that make a mistake, or have a controller that does.
var faults = []kind{
	{"reset", (*client).reset},
	{"vanishing", (*client).vanish},
	{"stalled reader", (*client).stallReading},
	{"stalled writer", (*client).stallWriting},
	{"flood of pings", func(c *client) { c.flood(wstest.Ping("a")) }},
	{"flood of messages", func(c *client) { c.flood(wstest.Text(strings.Repeat("x", 100))) }},
	{"half-close", (*client).halfClose},
	{"panic in Serve", func(c *client) { c.failing("do=panic", 1011) }},
	{"panic in OnError", func(c *client) { c.failing("do=fail&panic", 1011) }},
	{"panic in Conn.Go", func(c *client) { c.failing("do=panic beside", 1011) }},
	{"Goexit in Serve", func(c *client) { c.failing("do=goexit", 1011) }},
	{"error of Serve", func(c *client) { c.failing("do=fail", 1011) }},
	{"closed many times", func(c *client) { c.failing("do=close", 4000, 4001, 4002, 1006) }},
	{"no answer to a close frame", (*client).mute},
	{"violation", (*client).violation},
	{"refused", (*client).refused},
	{"too late", (*client).late},
	{"half a handshake", (*client).halfHandshake},
}

// chat sends a few messages and checks their echoes.
func (c *client) chat(w *raw) (sent []string) {
	for i := range c.random.IntN(20) {
		text := fmt.Sprint("message ", i, strings.Repeat("!", c.random.IntN(1000)))
		if w.send(wstest.Text(text)) != nil {
			return sent
		}
		sent = append(sent, text)
	}
	return sent
}

// half is the beginning of a frame.
func half() []byte { return wstest.Text(strings.Repeat("x", 1000)).Bytes()[:500] }

func (c *client) reset() {
	w := c.dialRaw("do=echo", nil)
	if w == nil {
		return
	}
	c.chat(w)
	_, _ = w.Write(half()[:c.random.IntN(500)])
	_ = w.tcp.SetLinger(0) // so that Close resets the connection
	_ = w.tcp.Close()
}

func (c *client) vanish() {
	w := c.dialRaw("do=echo", nil)
	if w == nil {
		return
	}
	c.chat(w)
	_, _ = w.Write(half()[:c.random.IntN(500)])
	_ = w.tcp.Close()
}

// wait waits until the server's end of the connection has ended.
func (c *client) wait() {
	select {
	case <-c.l.ended:
	case <-time.After(patience):
		c.problem("the server does not let go of it")
	}
}

func (c *client) stallReading() {
	w := c.dialRaw("do=push", nil)
	if w == nil {
		return
	}
	c.wait()
	_ = w.tcp.Close()
}

func (c *client) stallWriting() {
	w := c.dialRaw("do=idle", nil)
	if w == nil {
		return
	}
	defer func() { _ = w.tcp.Close() }()
	_, _ = w.Write(half())
	_, code := c.drain(w)
	if !slices.Contains([]int{1001, 1006, 1011}, code) {
		c.problem("close code %d", code)
	}
	c.wait()
}

// flood writes until the server hangs up. It reads nothing, so that the kernel may not report the
// end.
func (c *client) flood(frame wstest.Frame) {
	w := c.dialRaw("do=echo", nil)
	if w == nil {
		return
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		for b := bytes.Repeat(frame.Bytes(), 1000); ; {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
	c.wait()
	_ = w.tcp.Close()
	writing.Wait()
}

// halfClose closes its direction of the socket, and still expects all answers.
func (c *client) halfClose() {
	w := c.dialRaw("do=echo", nil)
	if w == nil {
		return
	}
	defer func() { _ = w.tcp.Close() }()
	sent := c.chat(w)
	_ = w.Conn.(interface{ CloseWrite() error }).CloseWrite() //nolint:errcheck // TCP and TLS connections have it
	got, code := c.drain(w)
	if !slices.Contains([]int{1001, 1006}, code) {
		c.problem("close code %d", code)
	}
	if c.compress {
		return // the frames may be compressed
	}
	if len(got) > len(sent) || !slices.Equal(sent[:len(got)], got) || len(got) < len(sent) && code != ws.CloseGoingAway {
		c.problem("%d messages were sent, %d echoed, close code %d", len(sent), len(got), code)
	}
}

// failing is served by a controller that fails: the client reads the close frame.
func (c *client) failing(query string, codes ...int) {
	w := c.dialRaw(query, nil)
	if w == nil {
		return
	}
	defer func() { _ = w.tcp.Close() }()
	if _, code := c.drain(w); code != ws.CloseGoingAway && !slices.Contains(codes, code) {
		c.problem("close code %d, want one of %d", code, codes)
	}
}

func (c *client) mute() {
	w := c.dialRaw("do=mute", nil)
	if w == nil {
		return
	}
	c.wait()
	_ = w.tcp.Close()
}

// deflated returns the payload of a compressed text.
func deflated(text string) wstest.Frame {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed) // the level is valid
	_, _ = w.Write([]byte(text))                 // to memory, which never fails
	_ = w.Flush()
	return wstest.Frame{Fin: true, RSV: 4, Opcode: wstest.OpText, Masked: true, Payload: bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))}
}

// bomb is a compressed message of 3 MiB.
var bomb = deflated(strings.Repeat("x", 3<<20))

// violation breaks the protocol after a few good messages, and reads the close frame.
func (c *client) violation() {
	w := c.dialRaw("do=echo", nil)
	if w == nil {
		return
	}
	defer func() { _ = w.tcp.Close() }()
	c.chat(w)
	want := 1002
	var err error
	switch c.random.IntN(8) {
	case 0:
		err = w.send(wstest.Text("x").Unmasked())
	case 1:
		err = w.send(wstest.Frame{Fin: true, RSV: 2, Opcode: wstest.OpText, Masked: true})
	case 2:
		err = w.send(wstest.Frame{Fin: true, Opcode: wstest.OpContinuation, Masked: true})
	case 3:
		err = w.send(wstest.Close(1005+1, "never"))
	case 4:
		want = 1007
		err = w.send(wstest.Text("\xff"))
	case 5:
		want = 1007
		err = w.send(wstest.Close(1000, "\xff"))
	case 6:
		want = 1009
		_, err = w.Write(wstest.Binary(nil).AppendHeader(nil, 1<<20+1))
	default:
		if c.compress {
			want = 1009
		}
		err = w.send(bomb)
	}
	if err == nil { // otherwise it is ending
		if _, code := c.drain(w); code != want && code != ws.CloseGoingAway {
			c.problem("close code %d, want %d", code, want)
		}
		return
	}
	c.drain(w)
}

// refused sends an invalid opening handshake.
func (c *client) refused() {
	changes := map[int]func(r *http.Request){
		http.StatusBadRequest:       func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8") },
		http.StatusForbidden:        func(r *http.Request) { r.Header.Set("Origin", "https://evil.test") },
		http.StatusMethodNotAllowed: func(r *http.Request) { r.Method = http.MethodDelete },
	}
	want := []int{http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed}[c.random.IntN(3)]
	if w := c.dialRaw("do=echo", changes[want]); w != nil {
		_ = w.tcp.Close()
	}
	if c.l.status != want && c.l.status != http.StatusServiceUnavailable {
		c.problem("status %d, want %d", c.l.status, want)
	}
}

// late connects to an Upgrader that is shutting down, if there is one.
func (c *client) late() {
	w := c.dialRaw("do=echo&late", nil)
	if w == nil {
		return
	}
	defer func() { _ = w.tcp.Close() }()
	_ = w.send(wstest.Close(1000, ""))
	c.drain(w)
}

func (c *client) halfHandshake() {
	conn, err := c.s.dialer.Dial("tcp", c.s.plain.Listener.Addr().String())
	if err != nil {
		c.problem("dial: %v", err)
		return
	}
	_, _ = fmt.Fprintf(conn, "GET /?id=%d HTTP/1.1\r\nHost: x\r\nConnection: Upgr", c.l.id)
	_ = conn.Close()
}
