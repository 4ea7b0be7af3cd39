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

// handlers are the handlers of control frames. They run in the reading goroutine.
type handlers struct {
	ping, pong atomic.Pointer[func(data string) error]
	closed     atomic.Pointer[func(code int, text string) error]
}

// errHandler is the error of reads after a handler has called t.FailNow or the like.
var errHandler = errors.New("wstest: a handler has ended the goroutine that reads")

// readInBackground starts the reading goroutine, which the end of the test waits for.
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

// readAll reads messages into the inbox until the end, and returns its reason.
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
	return os.ErrClosed // the test has ended
}

func (c *Client) readLimit() int64 {
	c.inbox.mu.Lock()
	defer c.inbox.mu.Unlock()
	return c.inbox.limit
}

// ReadMessage returns the next message. It waits until the deadline of SetReadDeadline, if there is
// one; after a timeout, the next call may succeed. When the connection has ended, it returns the
// reason: a [*ws.CloseError] if the server has sent a close frame.
func (c *Client) ReadMessage() (messageType int, p []byte, err error) {
	m, err := c.inbox.next(func() time.Time { return c.inbox.deadline })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = timeout(c.Conn)
	}
	return m.Type, m.Data, err
}

// NextReader is [Client.ReadMessage], but returns a reader of the message.
func (c *Client) NextReader() (messageType int, r io.Reader, err error) {
	messageType, p, err := c.ReadMessage()
	if err != nil {
		return 0, nil, err
	}
	return messageType, bytes.NewReader(p), nil
}

// ReadJSON is [Client.ReadMessage], but decodes the message into v.
func (c *Client) ReadJSON(v any) error {
	_, p, err := c.ReadMessage()
	if err != nil {
		return err
	}
	err = json.NewDecoder(bytes.NewReader(p)).Decode(v)
	if errors.Is(err, io.EOF) { // like gorilla, for an empty message
		err = io.ErrUnexpectedEOF
	}
	return err
}

// SetReadDeadline sets the deadline of ReadMessage, NextReader and ReadJSON, including a waiting
// call. The zero time means no deadline. It always returns nil.
func (c *Client) SetReadDeadline(t time.Time) error {
	c.inbox.change(func() { c.inbox.deadline = t })
	return nil
}

// SetReadLimit limits the length, in bytes, of messages that arrive later. For a longer one, the
// client sends a close frame with 1009, and reads fail with [ws.ErrReadLimit]. Zero or less means
// no limit.
func (c *Client) SetReadLimit(limit int64) {
	c.inbox.change(func() { c.inbox.limit = limit })
}

// SetPingHandler sets the handler of pings. It runs in the reading goroutine, which continues when
// the handler returns nil, and ends with the error that it returns. A nil handler answers pings.
func (c *Client) SetPingHandler(handler func(data string) error) {
	if handler == nil {
		handler = c.answerPing
	}
	c.handlers.ping.Store(&handler)
}

// SetPongHandler is [Client.SetPingHandler] for pongs. A nil handler ignores them.
func (c *Client) SetPongHandler(handler func(data string) error) {
	if handler == nil {
		handler = func(string) error { return nil }
	}
	c.handlers.pong.Store(&handler)
}

// SetCloseHandler is [Client.SetPingHandler] for the server's close frame. A nil handler answers it
// with the same code.
func (c *Client) SetCloseHandler(handler func(code int, text string) error) {
	if handler == nil {
		handler = c.answerClose
	}
	c.handlers.closed.Store(&handler)
}

// PingHandler returns the handler of pings.
func (c *Client) PingHandler() func(data string) error { return *c.handlers.ping.Load() }

// PongHandler returns the handler of pongs.
func (c *Client) PongHandler() func(data string) error { return *c.handlers.pong.Load() }

// CloseHandler returns the handler of the server's close frame.
func (c *Client) CloseHandler() func(code int, text string) error { return *c.handlers.closed.Load() }

// answerPing sends a pong. If that fails, the next read or write returns an error.
func (c *Client) answerPing(data string) error {
	_ = c.WriteControl(ws.PongMessage, []byte(data), c.options.deadline())
	return nil
}

func (c *Client) answerClose(code int, _ string) error {
	c.answered.Store(true) // set before a write can fail because of it
	err := c.WriteControl(ws.CloseMessage, ws.FormatCloseMessage(code, ""), c.options.deadline())
	if errors.Is(err, ws.ErrCloseSent) { // the test has sent a close frame, which the server has answered
		c.answered.Store(false)
	}
	return nil
}
