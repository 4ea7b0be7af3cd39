package wstest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	ws "github.com/gorilla/websocket"
)

// handlers are what the test has done about control messages. They run in the
// background, where they are read.
type handlers struct {
	ping, pong atomic.Pointer[func(data string) error]
	closed     atomic.Pointer[func(code int, text string) error]
}

// errHandler is why nothing is read after a handler called t.FailNow or the like.
var errHandler = errors.New("wstest: a handler has ended the goroutine that reads")

// readInBackground begins to read; the test's end waits for that to end.
func (c *Client) readInBackground() {
	c.inbox.onDemand = c.options.ReadOnDemand
	c.SetPingHandler(nil)
	c.SetPongHandler(nil)
	c.SetCloseHandler(nil)
	c.Conn.SetPingHandler(func(data string) error { return (*c.handlers.ping.Load())(data) })
	c.Conn.SetPongHandler(func(data string) error { return (*c.handlers.pong.Load())(data) })
	c.Conn.SetCloseHandler(func(code int, text string) error { return (*c.handlers.closed.Load())(code, text) })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		end := errHandler
		defer func() { c.inbox.change(func() { c.inbox.end = end }) }()
		end = c.readAll()
	}()
	c.t.Cleanup(func() {
		_ = c.Conn.Close()
		c.inbox.change(func() { c.inbox.stopped = true })
		select {
		case <-ended:
		case <-time.After(defaultTimeout):
			c.t.Errorf("wstest: a handler of control messages has not returned")
		}
	})
}

// readAll reads messages into the inbox and returns why there are no more.
func (c *Client) readAll() error {
	for c.inbox.demanded() {
		messageType, r, err := c.Conn.NextReader()
		if err != nil {
			return err
		}
		limit := c.readLimit()
		if limit > 0 {
			r = io.LimitReader(r, limit+1)
		}
		p, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if limit > 0 && int64(len(p)) > limit {
			_ = c.WriteControl(ws.CloseMessage, ws.FormatCloseMessage(ws.CloseMessageTooBig, ""), c.options.deadline())
			return ws.ErrReadLimit
		}
		if !c.inbox.put(Message{Type: messageType, Data: p}) {
			break
		}
	}
	return os.ErrClosed // the test is over
}

func (c *Client) readLimit() int64 {
	c.inbox.mu.Lock()
	defer c.inbox.mu.Unlock()
	return c.inbox.limit
}

// ReadMessage takes the next message, or waits for it until the deadline that
// SetReadDeadline has set, zero for none. It fails when nothing more will come: with a
// [*ws.CloseError] if the server has sent a close frame. A deadline that has passed ends
// nothing: the next call may succeed.
func (c *Client) ReadMessage() (messageType int, p []byte, err error) {
	m, err := c.inbox.next(func() time.Time { return c.inbox.deadline })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = timeout(c.Conn)
	}
	return m.Type, m.Data, err
}

// NextReader is ReadMessage with a reader of the message.
func (c *Client) NextReader() (messageType int, r io.Reader, err error) {
	messageType, p, err := c.ReadMessage()
	if err != nil {
		return 0, nil, err
	}
	return messageType, bytes.NewReader(p), nil
}

// ReadJSON is ReadMessage, and decodes the message into v.
func (c *Client) ReadJSON(v any) error {
	_, p, err := c.ReadMessage()
	if err != nil {
		return err
	}
	err = json.NewDecoder(bytes.NewReader(p)).Decode(v)
	if errors.Is(err, io.EOF) { // as gorilla says of a message without a value
		err = io.ErrUnexpectedEOF
	}
	return err
}

// SetReadDeadline bounds ReadMessage, NextReader and ReadJSON, also one that waits. It
// always returns nil.
func (c *Client) SetReadDeadline(t time.Time) error {
	c.inbox.change(func() { c.inbox.deadline = t })
	return nil
}

// SetReadLimit bounds messages that come later, in bytes. A longer one is answered with
// 1009 and ends reading with [ws.ErrReadLimit]. Zero or less means no bound.
func (c *Client) SetReadLimit(limit int64) {
	c.inbox.change(func() { c.inbox.limit = limit })
}

// SetPingHandler sets what is done about pings, in the background where they are read:
// reading goes on when it returns, and ends where it returns an error. Nil means that
// they are answered.
func (c *Client) SetPingHandler(handler func(data string) error) {
	if handler == nil {
		handler = c.answerPing
	}
	c.handlers.ping.Store(&handler)
}

// SetPongHandler is SetPingHandler for pongs. Nil means that nothing is done.
func (c *Client) SetPongHandler(handler func(data string) error) {
	if handler == nil {
		handler = func(string) error { return nil }
	}
	c.handlers.pong.Store(&handler)
}

// SetCloseHandler is SetPingHandler for the server's close frame. Nil means that it is
// answered with its code.
func (c *Client) SetCloseHandler(handler func(code int, text string) error) {
	if handler == nil {
		handler = c.answerClose
	}
	c.handlers.closed.Store(&handler)
}

// PingHandler returns what is done about pings.
func (c *Client) PingHandler() func(data string) error { return *c.handlers.ping.Load() }

// PongHandler returns what is done about pongs.
func (c *Client) PongHandler() func(data string) error { return *c.handlers.pong.Load() }

// CloseHandler returns what is done about the server's close frame.
func (c *Client) CloseHandler() func(code int, text string) error { return *c.handlers.closed.Load() }

// answerPing sends a pong. Where it can't be written, the next read or write says so.
func (c *Client) answerPing(data string) error {
	_ = c.WriteControl(ws.PongMessage, []byte(data), c.options.deadline())
	return nil
}

func (c *Client) answerClose(code int, _ string) error {
	c.answered.Store(true) // before a write can fail because of it
	err := c.WriteControl(ws.CloseMessage, ws.FormatCloseMessage(code, ""), c.options.deadline())
	if errors.Is(err, ws.ErrCloseSent) { // by the test: this is the answer to that
		c.answered.Store(false)
	}
	return nil
}
