package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket"
)

// An assignment is what the process of the clients is to do.
type assignment struct {
	Clients   int
	Addresses [2]string // of A and B
	TLS       bool
}

// A clientsReport is what has happened to the clients.
type clientsReport struct {
	Handshakes []time.Duration // with B, from the first byte to an answered message; sorted
	Away       []time.Duration // of each client, from the close frame to an answered message; sorted
	Codes      map[int]int     // of the close frames from A; 1006 for none
	Failed     int             // handshakes with B
	LastBack   time.Duration   // since the first client was told to go
}

// How long a client waits before it tries again, as in a page: at first half of firstCeiling and up
// to all of it, then twice as long after each failure.
const (
	firstCeiling = 500 * time.Millisecond
	lastCeiling  = 30 * time.Second
)

// dialing is how many clients connect to A at the same time.
const dialing = 50

// connect is the process of the clients.
func connect(in io.Reader, out io.Writer) error {
	var a assignment
	if err := json.NewDecoder(in).Decode(&a); err != nil {
		return err
	}
	c := &clients{assignment: a, report: clientsReport{Codes: make(map[int]int)}}
	values := json.NewEncoder(out)
	conns, err := c.connectAll()
	if err != nil {
		return err
	}
	if err := values.Encode("connected"); err != nil {
		return err
	}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	defer running.Wait()
	defer cancel()
	var moved sync.WaitGroup
	moved.Add(len(conns))
	for _, conn := range conns {
		running.Go(func() { c.move(ctx, conn, moved.Done) })
	}
	moved.Wait()
	if err := values.Encode(c.result()); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, in) // until the parent closes it
	return nil
}

type clients struct {
	assignment

	mu     sync.Mutex
	first  time.Time // when the first client was told to go
	report clientsReport
}

// dial connects to a server, and has an answer from it.
func (c *clients) dial(ctx context.Context, address string) (*websocket.Conn, error) {
	scheme := "ws"
	if c.TLS {
		scheme = "wss"
	}
	conn, response, err := websocket.Dial(ctx, scheme+"://"+address+"/", &websocket.DialOptions{
		TLSConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the certificate is a new one each time
	})
	if response != nil && response.Body != nil {
		_ = response.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	if err = conn.WriteMessage(websocket.TextMessage, []byte("hello")); err == nil {
		_, _, err = conn.ReadMessageContext(ctx)
	}
	if err != nil {
		_ = conn.CloseNow()
		return nil, err
	}
	return conn, nil
}

// connectAll connects all clients to A.
func (c *clients) connectAll() ([]*websocket.Conn, error) {
	conns, errs := make([]*websocket.Conn, c.Clients), make([]error, c.Clients)
	slots := make(chan struct{}, dialing)
	var running sync.WaitGroup
	for i := range c.Clients {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			conns[i], errs[i] = c.dial(context.Background(), c.Addresses[0])
		})
	}
	running.Wait()
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("client %d: %w", i, err)
		}
	}
	return conns, nil
}

// move waits until A sends a client away, and connects it to B. There it stays until the context
// ends.
func (c *clients) move(ctx context.Context, conn *websocket.Conn, moved func()) {
	_, _, err := conn.ReadMessage()
	told := time.Now()
	c.told(told, websocket.CloseStatus(err))
	_ = conn.CloseNow()
	ceiling := firstCeiling
	for {
		time.Sleep(ceiling/2 + rand.N(ceiling/2)) //nolint:gosec // nothing is secret
		begun := time.Now()
		conn, err = c.dial(ctx, c.Addresses[1])
		if err == nil {
			c.back(told, begun)
			break
		}
		c.failed()
		ceiling = min(2*ceiling, lastCeiling)
	}
	moved()
	<-ctx.Done()
	_ = conn.CloseNow()
}

func (c *clients) told(at time.Time, code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first.IsZero() {
		c.first = at
	}
	c.report.Codes[code]++
}

func (c *clients) failed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Failed++
}

// back notes that a client that was told to go is served again.
func (c *clients) back(told, begun time.Time) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Handshakes = append(c.report.Handshakes, now.Sub(begun))
	c.report.Away = append(c.report.Away, now.Sub(told))
	c.report.LastBack = max(c.report.LastBack, now.Sub(c.first))
}

func (c *clients) result() clientsReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.Sort(c.report.Handshakes)
	slices.Sort(c.report.Away)
	return c.report
}
