package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/goyave-contrib/websocket"
)

const (
	firstWait = 500 * time.Millisecond // after the first failure, at most
	longest   = 30 * time.Second       // after many, at most
	steady    = 10 * time.Second       // after a connection that lived longer, failures are counted anew
)

// client keeps a connection to a server: one that is lost is opened again.
type client struct {
	url     string
	options websocket.DialOptions
	hello   string        // sent first on each connection; "" for nothing
	send    <-chan string // messages to send; received only while there is a connection
	receive func(message string)
	report  func(format string, args ...any) // logs the connections
}

// run connects, again and again, until ctx is done. Then it closes the connection with code
// 1000 and returns nil. It returns an error if connecting again would be of no use.
func (c *client) run(ctx context.Context) error {
	for failures := 0; ; failures++ {
		lived, err := c.connect(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if isFinal(err) {
			return err
		}
		if lived > steady {
			failures = 0
		}
		wait := backoff(failures)
		c.report("%v; connecting again in %v", err, wait.Round(time.Millisecond))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}

// connect serves one connection, from its handshake to its end. It returns how long the
// connection lived, and why it ended.
func (c *client) connect(ctx context.Context) (lived time.Duration, err error) {
	conn, response, err := websocket.Dial(ctx, c.url, &c.options)
	if errors.Is(err, websocket.ErrBadHandshake) {
		return 0, &refusal{response.StatusCode}
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.CloseNow() }()
	c.report("connected")
	opened := time.Now()
	writing := make(chan struct{})
	defer func() { <-writing }()
	conn.Go(func(alive context.Context) error {
		defer close(writing)
		return c.write(ctx, alive, conn)
	})
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			return time.Since(opened), err
		}
		c.receive(string(message))
	}
}

// write sends messages until alive, the context of the connection, ends. Once ctx is done, it
// closes the connection. If a write fails, the message may have arrived or not, so it is not sent
// again.
func (c *client) write(ctx, alive context.Context, conn *websocket.Conn) error {
	if c.hello != "" {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(c.hello)); err != nil {
			return err
		}
	}
	for {
		select {
		case message := <-c.send:
			if err := conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
				c.report("perhaps lost: %s", message)
				return err
			}
		case <-ctx.Done():
			return conn.Close(websocket.CloseNormalClosure, "")
		case <-alive.Done():
			return nil
		}
	}
}

// backoff returns how long to wait after the given number of failures in a row. The time
// doubles with each failure. A part of it is random: otherwise all clients of a server that
// restarts would come back at once.
func backoff(failures int) time.Duration {
	ceiling := longest
	if failures < 6 { // 500 ms << 6 is more than the longest
		ceiling = firstWait << failures
	}
	return ceiling/2 + rand.N(ceiling/2)
}

// refusal is the status of a handshake that was refused.
type refusal struct{ status int }

func (r *refusal) Error() string {
	return fmt.Sprintf("the server refused the connection: %d %s", r.status, http.StatusText(r.status))
}

// finalCodes are the close codes that the same client would get again.
var finalCodes = []int{
	websocket.CloseNormalClosure, websocket.CloseProtocolError, websocket.CloseUnsupportedData,
	websocket.CloseInvalidFramePayloadData, websocket.ClosePolicyViolation, websocket.CloseMessageTooBig,
}

// isFinal reports whether connecting again is of no use. All other failures may be temporary: a
// network that is down, a server that restarts or is full.
func isFinal(err error) bool {
	var refused *refusal
	if errors.As(err, &refused) {
		switch refused.status {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return false
		}
		return refused.status < 500
	}
	code := websocket.CloseStatus(err)
	return slices.Contains(finalCodes, code) || code >= 3000 // the application chose it
}
