package websocket

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// Stream makes a connection a stream of bytes, for what runs on a net.Conn: SSH,
// yamux, a database's protocol, TLS, net/http. Each Write is one message of the
// given type, TextMessage or BinaryMessage (it panics for another one); an empty
// Write sends nothing. Reads see the payloads of all messages one after another.
// All methods may be called from any goroutine at the same time.
//
// From now on nobody else may read from the connection, write messages to it or
// set its deadlines. It still ends when Serve returns, and waiting calls with it;
// a stream made after that can't be read.
//
// Read returns io.EOF, once all is read that came before, where the peer said
// goodbye between two messages: with close code 1000, 1001 or none (1005). Every
// other end is its own error, lest a stream that was cut off looks whole: the
// peer's *CloseError, one with code 1006 where it vanished, ErrShutdown,
// net.ErrClosed where this side closed the connection. A message of the other
// type ends it with code 1003. There is no message limit: a message passes
// through in pieces, of which at most 32 KiB are held. Pings and the like are
// answered without a Read, but not while data before them waits for one.
//
// A peer may limit the length of a message, and so of a Write. A character of
// text split between two Writes makes both messages invalid, and ends the
// connection (RFC 6455, 8.1): use BinaryMessage for all but whole texts.
//
// Deadlines hold for calls that wait already, too. A Read whose deadline passed
// may be tried again, and so may a Write that had not begun; one that had ends the
// connection, as there is no half of a message. Without a write deadline the
// connection's WriteTimeout bounds each Write; with one, longer or shorter, it
// does not bound those that begin later.
//
// Close performs the closing handshake with code 1000, all within the close
// timeout; see [Conn.Close]. Waiting Reads and all later calls, a second Close
// too, fail with net.ErrClosed. So do waiting Writes, but one whose message is
// under way may complete within the close timeout. One direction can't be closed
// alone. Called from a handler of the connection, Close takes the whole timeout.
//
// When ctx ends, reads and writes fail with its cause, wrapped, and the socket is
// closed without a handshake: the peer must not take that for the end of the
// data. Once the connection is ending by itself, ctx changes nothing; so the
// context of the request, which ends with the connection, does well.
func Stream(ctx context.Context, conn *Conn, messageType int) net.Conn {
	if messageType != TextMessage && messageType != BinaryMessage {
		panic("websocket: Stream: the message type is neither TextMessage nor BinaryMessage")
	}
	conn.SetReadLimit(0)
	s := &stream{
		conn:        conn,
		messageType: messageType,
		callers:     ctx,
		turn:        make(chan struct{}, 1),
		closing:     make(chan struct{}),
		received:    make(chan struct{}),
	}
	s.reads, s.arrivals = net.Pipe()
	s.writing, s.interrupt = context.WithCancelCause(context.Background())
	s.writes.renew(s.writing)
	s.unwatch = conn.whenDone(ctx, s.contextEnded)
	if !conn.Go(s.receive) { // Serve has returned
		s.unwatch()
		s.end(transport.ErrClosed)
	}
	conn.whenDone(conn.Context(), s.connectionEnded)
	return s
}

// stream is a Conn as a net.Conn.
//
// A read of the Conn that timed out is final, those of a net.Conn are not. So a
// goroutine of its own reads all messages, and callers read what it hands them
// through a net.Pipe, whose deadlines are as they should be.
type stream struct {
	conn        *Conn
	messageType int
	callers     context.Context
	unwatch     func() bool // of callers

	reads    net.Conn // the caller's end of the pipe, closed by Close
	arrivals net.Conn // the other end, closed by end
	started  atomic.Bool
	received chan struct{} // closed when the reading goroutine ends
	ended    sync.Once
	err      error // of Read when all is read; set before arrivals is closed

	writing   context.Context         // of all writes
	interrupt context.CancelCauseFunc // of writing, with the cause of callers
	writes    writeBound
	turn      chan struct{} // the lock of one Write, kept by Close
	closed    atomic.Bool   // Close was called
	closing   chan struct{} // closed by Close, soon after
}

// receive hands on the messages until the connection ends, which says why by
// itself. Where it has not ended, a handler failed: the error goes to Conn.Go,
// which ends the connection with it and so the reads, in this order, lest Serve
// sees it first.
func (s *stream) receive(context.Context) error {
	s.started.Store(true)
	defer close(s.received)
	defer s.unwatch()
	returned := false
	defer func() {
		if !returned && s.conn.Context().Err() != nil { // the close handler panicked
			s.end(s.reason(context.Cause(s.conn.Context())))
		}
	}()
	err := s.copyMessages()
	returned = true
	if how, _ := s.conn.t.CloseCause(); how == transport.CauseNone && s.conn.Context().Err() == nil {
		return err
	}
	s.end(err)
	return nil
}

func (s *stream) copyMessages() error {
	for {
		messageType, r, err := s.conn.NextReader()
		if err != nil {
			return s.endBetweenMessages(err)
		}
		if messageType != s.messageType {
			return s.reason(s.conn.t.RefuseMessage(&wire.ProtocolError{Code: CloseUnsupportedData, Reason: "text and binary messages in one stream"}))
		}
		if _, err := io.Copy((*arrivalsOf)(s), r); err != nil {
			return s.reason(err)
		}
	}
}

// arrivalsOf is where a stream's messages go to. When the readers are gone, what still
// arrives is thrown away: the peer's close frame comes after it.
type arrivalsOf stream

func (a *arrivalsOf) Write(p []byte) (int, error) {
	if len(p) > 0 {
		_, _ = a.arrivals.Write(p)
	}
	return len(p), nil
}

// endBetweenMessages is what Read returns after a read that failed where no
// message is lost.
func (s *stream) endBetweenMessages(err error) error {
	if how, _ := s.conn.t.CloseCause(); how == transport.CausePeer && IsCloseError(err) {
		return io.EOF
	}
	return s.reason(err)
}

// reason is what Read returns after a read that failed, or when the connection's
// context ended. An end of our own comes first: the error may only be the peer's
// answer to it.
func (s *stream) reason(err error) error {
	how, _ := s.conn.t.CloseCause()
	switch {
	case how == transport.CausePeer:
		return err
	case s.conn.t.ShuttingDown():
		return ErrShutdown
	case how == transport.CauseLocal:
		return transport.ErrClosed
	default:
		return err
	}
}

// end has Read return err when it has returned what came before.
func (s *stream) end(err error) {
	s.ended.Do(func() {
		s.err = err
		_ = s.arrivals.Close()
	})
}

// connectionEnded ends the reads with the connection, whatever is not read yet:
// Serve's end waits for the reading goroutine, which may wait for a reader.
//
// Where the peer hung up, that is told while what had come is still read.
func (s *stream) connectionEnded() {
	if s.conn.t.HungUp() {
		select {
		case <-s.received:
			return
		case <-s.conn.t.Closed():
		}
		if !s.conn.t.PeerCloseReported() { // not by the reading goroutine, which may wait for a reader
			s.end(s.reason(context.Cause(s.conn.Context())))
			return
		}
	}
	if how, _ := s.conn.t.CloseCause(); how == transport.CausePeer {
		return // it was the reading goroutine that found out, and it says more
	}
	s.end(s.reason(context.Cause(s.conn.Context())))
}

// contextEnded ends the stream with the caller's context, unless that has ended
// because the connection did.
func (s *stream) contextEnded() {
	if s.conn.Context().Err() != nil {
		return
	}
	cause := context.Cause(s.callers)
	s.end(&transport.Error{Op: "read", Err: cause})
	s.interrupt(cause)
	_ = s.conn.CloseNow()
}

func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, s.closedError() // a pipe would wait
	}
	n, err := s.reads.Read(p)
	switch {
	case err == nil:
		return n, nil
	case errors.Is(err, io.EOF):
		return n, s.err
	case errors.Is(err, io.ErrClosedPipe):
		return n, transport.ErrClosed
	default:
		return n, s.opError("read", os.ErrDeadlineExceeded)
	}
}

func (s *stream) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, s.closedError()
	}
	if s.callers.Err() != nil {
		s.contextEnded() // perhaps nobody has told yet
	}
	ctx := s.writes.context()
	if err := s.lockWrite(ctx); err != nil {
		return 0, err
	}
	defer func() { <-s.turn }()
	if err := s.conn.WriteMessageContext(ctx, s.messageType, p); err != nil {
		return 0, s.writeFailed(err)
	}
	return len(p), nil
}

// closedError is what calls without anything to do return.
func (s *stream) closedError() error {
	if s.closed.Load() {
		return transport.ErrClosed
	}
	return nil
}

// lockWrite waits for the turn of a Write.
func (s *stream) lockWrite(ctx context.Context) error {
	if !s.closed.Load() && ctx.Err() == nil {
		select {
		case s.turn <- struct{}{}:
			return nil
		case <-s.closing:
		case <-ctx.Done():
		}
	}
	return s.writeFailed(s.opError("write", context.Cause(ctx)))
}

// writeFailed is the error of a Write: what was done on this side, rather than
// what became of the connection by it.
func (s *stream) writeFailed(err error) error {
	switch {
	case s.closed.Load():
		return transport.ErrClosed
	case s.writing.Err() != nil:
		return &transport.Error{Op: "write", Err: context.Cause(s.writing)}
	default:
		return err
	}
}

// opError is how package net reports a deadline. In contrast to an ioError it is
// temporary, which a tls.Conn on the stream makes a difference of.
func (s *stream) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "websocket", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

func (s *stream) Close() error {
	if !s.closed.CompareAndSwap(false, true) {
		return transport.ErrClosed
	}
	_ = s.reads.Close()
	close(s.closing)
	defer s.unwatch()
	defer s.writes.stop()
	over := make(chan struct{})
	timer := s.conn.afterFunc(max(s.conn.GetCloseHandshakeTimeout(), transport.CloseGrace), func() {
		defer close(over)
		s.conn.t.Abort()
	})
	defer timer.Stop()
	select {
	case s.turn <- struct{}{}: // after the message under way
	case <-s.conn.t.Closed():
	}
	err := s.conn.closeWith(&CloseError{Code: CloseNormalClosure})
	if s.started.Load() { // otherwise it ends as soon as it starts, if it does
		select {
		case <-s.received:
		case <-over: // a handler runs there, perhaps the one that called Close
		}
	}
	return err
}

func (s *stream) LocalAddr() net.Addr  { return s.conn.LocalAddr() }
func (s *stream) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

func (s *stream) SetDeadline(d time.Time) error {
	return errors.Join(s.SetReadDeadline(d), s.SetWriteDeadline(d))
}

func (s *stream) SetReadDeadline(d time.Time) error {
	if s.closed.Load() {
		return transport.ErrClosed
	}
	_ = s.reads.SetReadDeadline(d) // where it fails there is nothing to wait for
	return nil
}

func (s *stream) SetWriteDeadline(d time.Time) error {
	if s.closed.Load() {
		return transport.ErrClosed
	}
	s.writes.set(s, d)
	return nil
}

// never is a write deadline for the connection that takes WriteTimeout's place
// and does not come: what bounds a Write is its context.
var never = time.Unix(1<<33, 0)

// writeBound bounds writes by a deadline that may change while they wait. They
// run in its context, which ends when the deadline passes and is replaced by a
// new one when a later deadline is set then.
type writeBound struct {
	mu     sync.Mutex
	at     time.Time // zero: never
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
}

// renew replaces the context. The mutex is held, unless nobody else has b yet.
func (b *writeBound) renew(parent context.Context) {
	b.ctx, b.cancel = context.WithCancelCause(parent)
}

func (b *writeBound) context() context.Context {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.at.IsZero() && !time.Now().Before(b.at) {
		b.cancel(os.ErrDeadlineExceeded) // the timer may be late
	}
	return b.ctx
}

func (b *writeBound) set(s *stream, d time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil && !b.timer.Stop() || b.ctx.Err() != nil {
		b.renew(s.writing)
	}
	b.at, b.timer = d, nil
	if d.IsZero() {
		_ = s.conn.SetWriteDeadline(time.Time{}) // always nil
		return
	}
	_ = s.conn.SetWriteDeadline(never)
	cancel := b.cancel
	if wait := time.Until(d); wait > 0 {
		b.timer = time.AfterFunc(wait, func() { cancel(os.ErrDeadlineExceeded) })
	} else {
		cancel(os.ErrDeadlineExceeded)
	}
}

// stop releases the timer. What it would have ended has ended.
func (b *writeBound) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.timer != nil {
		b.timer.Stop()
	}
}
