package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket"
)

// A controller serves all clients of a generation, as their queries say.
type controller struct{ g *generation }

// errExpected is the error with which controllers fail on purpose.
var errExpected = errors.New("soak: on purpose")

func isExpectedPanic(err error) bool {
	var p *websocket.PanicError
	return errors.Is(err, errExpected) || errors.As(err, &p) && p.Value == nil
}

// Serve does what the query says.
func (ctrl *controller) Serve(conn *websocket.Conn, r *http.Request) error {
	return ctrl.server(conn, r).serve(r.URL.Query().Get("do"))
}

// server returns the server's end of a connection.
func (ctrl *controller) server(conn *websocket.Conn, r *http.Request) *server {
	l := ledgerOf(r.Context())
	if l.healthy() { // a slow reader needs time to reach the close frame
		conn.SetCloseHandshakeTimeout(patience)
	}
	return &server{g: ctrl.g, conn: conn, l: l, random: rand.New(rand.NewPCG(l.id, 2))} //nolint:gosec // must be reproducible
}

// serve does what a query says. Serve, Open or OnMessage calls it.
func (v *server) serve(do string) error {
	switch do {
	case "exchange":
		return v.exchange()
	case "stream":
		return v.stream()
	case "echo":
		return v.echo()
	case "push":
		return v.push()
	case "idle":
		return v.idle()
	case "mute":
		return nil
	case "close":
		return v.closeManyTimes()
	case "fail":
		return fmt.Errorf("%w", errExpected)
	case "panic":
		panic(errExpected)
	case "goexit":
		runtime.Goexit()
		return nil
	case "panic beside":
		v.panicBeside()
		return v.idle()
	default:
		return fmt.Errorf("do what: %q", do)
	}
}

// OnError records the error. Sometimes it panics, too.
func (ctrl *controller) OnError(r *http.Request, err error) {
	l := ledgerOf(r.Context())
	l.tell(err)
	if errors.Is(err, websocket.ErrPeerGone) {
		ctrl.g.gone.Add(1)
	}
	if r.URL.Query().Has("panic") {
		panic(errExpected)
	}
}

// A server is the server's end of one connection.
type server struct {
	g    *generation
	conn *websocket.Conn
	l    *ledger

	random *rand.Rand // for calls of Serve, Open and OnMessage, which do not overlap
}

func (v *server) panicBeside() {
	v.conn.Go(func(context.Context) error { panic(errExpected) })
}

// exchange reads numbered messages and answers some of them, while other goroutines write, too.
func (v *server) exchange() error {
	defer v.beginExchange()()
	for {
		_, p, err := v.read()
		if err != nil {
			return err
		}
		if string(p) == goodbye {
			return nil // the end of Serve waits for the writers and closes with 1000
		}
		if err := v.answer(p); err != nil {
			return err
		}
	}
}

// beginExchange starts the goroutines that write. end stops them and waits for them.
func (v *server) beginExchange() (end func()) {
	v.g.mu.Lock()
	v.g.crowd[v.conn] = v.l
	v.g.mu.Unlock()
	var writers sync.WaitGroup
	talking, quit := context.WithCancel(v.conn.Context()) // until the client has said goodbye
	for i := range v.random.IntN(4) {
		random := rand.New(rand.NewPCG(v.l.id, uint64(10+i))) //nolint:gosec // must be reproducible
		writers.Add(1)
		v.conn.Go(func(context.Context) error {
			defer writers.Done()
			return v.pump(talking, fmt.Sprint("pump", i), random)
		})
	}
	writers.Add(1)
	v.conn.Go(func(context.Context) error {
		defer writers.Done()
		return v.ping(talking)
	})
	return func() {
		quit()
		writers.Wait()
		v.g.mu.Lock()
		defer v.g.mu.Unlock()
		delete(v.g.crowd, v.conn)
	}
}

// answer checks a numbered message, and sometimes answers it.
func (v *server) answer(p []byte) error {
	if err := v.l.up.arrived(p); err != nil {
		v.g.s.problems.add("%s %d: to the server: %v", v.l.kind, v.l.id, err)
	}
	if v.random.IntN(2) == 0 {
		return v.write("answers", v.random)
	}
	return nil
}

// read reads a message by one of the methods for it.
func (v *server) read() (messageType int, p []byte, err error) {
	switch v.random.IntN(4) {
	case 0:
		messageType, p, err = v.conn.ReadMessage()
	case 1:
		messageType, p, err = v.conn.ReadSlice()
	case 2:
		ctx, cancel := context.WithTimeout(v.conn.Context(), patience)
		defer cancel()
		messageType, p, err = v.conn.ReadMessageContext(ctx)
	default:
		var r io.Reader
		if messageType, r, err = v.conn.NextReader(); err == nil {
			p, err = io.ReadAll(r)
		}
	}
	if err == nil {
		v.g.read.Add(1)
	}
	return messageType, p, err
}

// write writes the next message of a stream by one of the methods for it.
func (v *server) write(stream string, random *rand.Rand) error {
	kind := messageType(random)
	p := message(stream, v.l.down.next(stream), body(random, kind))
	var err error
	switch random.IntN(8) {
	case 0:
		var prepared *websocket.PreparedMessage
		if prepared, err = websocket.NewPreparedMessage(kind, p); err == nil {
			err = v.conn.WritePreparedMessage(prepared)
		}
	case 1:
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = v.conn.WriteMessageContext(ctx, kind, p)
	case 2:
		err = v.writeParts(kind, p, random)
	default:
		err = v.conn.WriteMessage(kind, p)
	}
	if err != nil {
		v.l.writeFailed(err)
		return err
	}
	v.l.down.wrote(stream)
	v.g.written.Add(1)
	return nil
}

func (v *server) writeParts(kind int, p []byte, random *rand.Rand) error {
	w, err := v.conn.NextWriter(kind)
	if err != nil {
		return err
	}
	for len(p) > 0 && err == nil {
		n := 1 + random.IntN(len(p))
		_, err = w.Write(p[:n])
		p = p[n:]
	}
	return errors.Join(err, w.Close())
}

// pump writes messages of its own.
func (v *server) pump(ctx context.Context, stream string, random *rand.Rand) error {
	for range random.IntN(60) {
		if err := v.write(stream, random); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Duration(random.IntN(4)) * time.Millisecond):
		}
	}
	return nil
}

// ping measures the round trip until the client has said goodbye.
func (v *server) ping(ctx context.Context) error {
	for {
		switch _, err := v.conn.Ping(ctx); {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			v.l.writeFailed(err)
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stream sends all bytes back.
func (v *server) stream() error {
	s := websocket.Stream(v.conn.Context(), v.conn, websocket.BinaryMessage)
	_, err := io.Copy(countedWriter{s, v}, onlyReader{s})
	if err == nil {
		return nil // the peer has said goodbye
	}
	return err
}

// onlyReader and countedWriter hide the rest of a stream from io.Copy.
type onlyReader struct{ io.Reader }

type countedWriter struct {
	net.Conn
	v *server
}

func (w countedWriter) Write(p []byte) (int, error) {
	n, err := w.Conn.Write(p)
	if err == nil && len(p) > 0 {
		w.v.g.written.Add(1)
	}
	return n, err
}

func (w countedWriter) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, r)
}

// echo answers each message with itself.
func (v *server) echo() error {
	for {
		messageType, p, err := v.read()
		if err != nil {
			return err
		}
		if err := v.sendBack(messageType, p); err != nil {
			return err
		}
	}
}

func (v *server) sendBack(messageType int, p []byte) error {
	if err := v.conn.WriteMessage(messageType, p); err != nil {
		return err
	}
	v.g.written.Add(1)
	return nil
}

// push writes messages that the peer does not read.
func (v *server) push() error {
	p := make([]byte, 1<<20)
	ctx := context.Background()
	if v.random.IntN(2) == 0 {
		bounded, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		ctx = bounded
	}
	for {
		if err := v.conn.WriteMessageContext(ctx, websocket.BinaryMessage, p); err != nil {
			return err
		}
		v.g.written.Add(1)
	}
}

// idle reads, sometimes with a deadline.
func (v *server) idle() error {
	v.boundReads()
	for {
		if _, _, err := v.read(); err != nil {
			return err
		}
	}
}

// boundReads sometimes sets a read deadline.
func (v *server) boundReads() {
	if v.random.IntN(2) == 0 {
		_ = v.conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond)) // if it fails, so does the read
	}
}

// closeManyTimes closes the connection from several goroutines while it is being read.
func (v *server) closeManyTimes() error {
	v.startClosing()
	return v.idle()
}

func (v *server) startClosing() {
	for i := range 3 {
		v.conn.Go(func(context.Context) error {
			if i == 2 && v.l.id%2 == 0 {
				return v.conn.CloseNow()
			}
			_ = v.conn.Close(4000+i, "many times") // CloseNow may come first
			return nil
		})
	}
}
