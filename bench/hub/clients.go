package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/goyave-contrib/websocket"
)

// A request asks the process of the clients for one thing.
type request struct {
	Address string // of a server, for Dial
	Dial    int    // connections to open, which read at once
	Await   uint64 // messages that the connections have received together, since the beginning
}

// An answer is that to a request.
type answer struct {
	Received uint64
	Error    string
}

// connect is the process of the clients.
func connect(in io.Reader, out io.Writer) error {
	c := &clients{}
	c.changed.L = &c.mu
	requests, answers := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var r request
		if err := requests.Decode(&r); errors.Is(err, io.EOF) {
			c.close()
			return nil
		} else if err != nil {
			return err
		}
		err := c.dial(r.Address, r.Dial)
		a := answer{Received: c.await(r.Await)}
		if err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
}

// clients are connections that read, and count what they have read.
type clients struct {
	conns   []*websocket.Conn
	reading sync.WaitGroup

	mu       sync.Mutex
	changed  sync.Cond
	received uint64
	wanted   uint64
	broken   bool // a connection has ended: await waits no more
}

func (c *clients) dial(address string, n int) error {
	for range n {
		conn, response, err := websocket.Dial(context.Background(), "ws://"+address+"/", nil)
		if response != nil && response.Body != nil {
			_ = response.Body.Close()
		}
		if err != nil {
			return err
		}
		c.conns = append(c.conns, conn)
		c.reading.Go(func() { c.read(conn) })
	}
	return nil
}

func (c *clients) read(conn *websocket.Conn) {
	for {
		_, _, err := conn.ReadSlice()
		c.mu.Lock()
		if err != nil {
			c.broken = true
			c.changed.Signal()
			c.mu.Unlock()
			return
		}
		if c.received++; c.received == c.wanted {
			c.changed.Signal()
		}
		c.mu.Unlock()
	}
}

// await waits for a number of messages, and returns how many there were.
func (c *clients) await(n uint64) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.wanted = n; c.received < n && !c.broken; {
		c.changed.Wait()
	}
	return c.received
}

func (c *clients) close() {
	for _, conn := range c.conns {
		_ = conn.CloseNow()
	}
	c.reading.Wait()
}

// check returns why an answer is not what was asked for.
func (a answer) check(r request) error {
	switch {
	case a.Error != "":
		return errors.New(a.Error)
	case a.Received != r.Await:
		return fmt.Errorf("the clients have received %d messages: want %d", a.Received, r.Await)
	default:
		return nil
	}
}
