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
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// Stream returns a connection as a stream of bytes, for protocols that run on a net.Conn: SSH,
// yamux, a database's protocol, TLS, net/http. Each Write is one message of the given type,
// TextMessage or BinaryMessage (Stream panics for any other); an empty Write sends nothing.
// Reads return the payloads of all messages one after another. All methods may be called from
// any goroutine at the same time.
//
// From then on, the application must not read from the connection, write messages to it or
// set its deadlines itself. The connection still ends when Serve returns, and waiting calls
// with it. A stream that is made after that can't be read.
//
// Read returns io.EOF if the peer closed the connection between two messages with code 1000,
// 1001 or none (1005), once everything before that is read. Every other end has an error of
// its own, so that a truncated stream never looks complete: the peer's *CloseError, which has
// code 1006 if the peer vanished; ErrShutdown; or net.ErrClosed if this side closed the
// connection. A message of the other type ends the connection with code 1003. There is no
// limit for messages: at most 32 KiB of one are held at a time. Control frames are handled
// without a Read, but not while data before them waits for one.
//
// A peer may limit the length of a message, and so of a Write. A Write that ends within a
// character makes a text message invalid, which ends the connection (RFC 6455, 8.1): use
// BinaryMessage unless every Write is whole text.
//
// Deadlines also apply to calls that are already waiting. A Read whose deadline passed may be
// tried again, and so may a Write whose message has not begun; once it has, the connection
// ends, because half a message can't be taken back. Without a write deadline, each Write is
// bounded by WriteTimeout. A write deadline, longer or shorter, replaces it for later Writes.
//
// Close performs the closing handshake with code 1000, within the close timeout: see
// [Conn.Close]. Waiting Reads and all later calls, also of Close, fail with net.ErrClosed. So
// do waiting Writes, except for one whose message has begun, which may complete within the
// close timeout. One direction can't be closed alone. If a handler of the connection calls
// Close, that takes the whole close timeout.
//
// If ctx ends, reads and writes fail with an error that wraps its cause, and the socket is
// closed without a closing handshake, so that the peer does not take that for the end of the
// data. Once the connection itself is ending, ctx has no effect: the context of the request,
// which ends with the connection, may be used.
func Stream(ctx context.Context, conn *Conn, messageType int) net.Conn {
	if messageType != TextMessage && messageType != BinaryMessage {
		panic("websocket: Stream: the message type is neither TextMessage nor BinaryMessage")
	}
	conn.SetReadLimit(0)
	s := &stream{
		conn:        conn,
		messageType: messageType,
		callerCtx:   ctx,
		writeLock:   make(chan struct{}, 1),
		closing:     make(chan struct{}),
		received:    make(chan struct{}),
	}
	s.pipe, s.feed = net.Pipe()
	s.writeCtx, s.cancelWrites = context.WithCancelCause(context.Background())
	s.writeDeadline = xsync.NewDeadline(s.writeCtx)
	s.unwatch = conn.whenDone(ctx, s.contextEnded)
	if !conn.goInternal(s.receive) { // Serve has returned
		s.unwatch()
		s.endReads(transport.ErrClosed)
	}
	conn.whenDone(conn.Context(), s.connectionEnded)
	return s
}

// stream is a Conn as a net.Conn.
//
// After a read of the Conn that timed out no other can succeed, unlike with a net.Conn. So one
// goroutine reads all messages, without a deadline, and feeds their payloads to a net.Pipe.
// Read reads from the pipe, and the pipe keeps its deadlines.
type stream struct {
	conn        *Conn
	messageType int
	callerCtx   context.Context // passed to Stream
	unwatch     func() bool     // stops to wait for the end of callerCtx

	pipe     net.Conn      // the end for Read; closed by Close
	feed     net.Conn      // the other end, for the reading goroutine; closed by endReads
	started  atomic.Bool   // the reading goroutine has started
	received chan struct{} // closed when the reading goroutine ends
	ended    sync.Once
	err      error // of Read at the end of the data; set before feed is closed

	writeCtx      context.Context         // canceled when callerCtx ends
	cancelWrites  context.CancelCauseFunc // of writeCtx, with the cause of callerCtx
	deadlineLock  sync.Mutex              // held while writeDeadline and the Conn's are set
	writeDeadline *xsync.Deadline
	writeLock     chan struct{} // a lock, held during a Write; kept by Close
	closed        atomic.Bool   // Close was called
	closing       chan struct{} // closed by Close, after closed is set
}

// receive feeds the pipe until the connection ends. If copyMessages fails although the
// connection has not ended, a handler failed. Then receive returns the error to Conn.Go,
// which ends the connection before Read returns: otherwise Serve could return first, and
// without the error.
func (s *stream) receive() error {
	s.started.Store(true)
	defer close(s.received)
	defer s.unwatch()
	returned := false
	defer func() {
		if !returned && s.conn.Context().Err() != nil { // the close handler panicked
			s.endReads(s.readError(context.Cause(s.conn.Context())))
		}
	}()
	err := s.copyMessages()
	returned = true
	if how, _ := s.conn.t.CloseCause(); how == transport.CauseNone && s.conn.Context().Err() == nil {
		return err
	}
	s.endReads(err)
	return nil
}

// copyMessages writes the payloads of all messages to the feed. It returns the error for Read.
func (s *stream) copyMessages() error {
	for {
		messageType, r, err := s.conn.NextReader()
		if err != nil {
			return s.errorBetweenMessages(err)
		}
		if messageType != s.messageType {
			return s.readError(s.conn.t.RefuseMessage(&wire.ProtocolError{
				Code:   CloseUnsupportedData,
				Reason: "text and binary messages in one stream",
			}))
		}
		if _, err := io.Copy((*feedWriter)(s), r); err != nil {
			return s.readError(err)
		}
	}
}

// feedWriter writes to the feed of a stream. Once nothing can read from the pipe, it discards
// the data, so that the peer's close frame behind the data is read.
type feedWriter stream

func (w *feedWriter) Write(p []byte) (int, error) {
	if len(p) > 0 {
		_, _ = w.feed.Write(p)
	}
	return len(p), nil
}

// errorBetweenMessages returns the error of Read for a read of the Conn that failed between two
// messages, so that no message is incomplete.
func (s *stream) errorBetweenMessages(err error) error {
	if how, _ := s.conn.t.CloseCause(); how == transport.CausePeer && IsCloseError(err) {
		return io.EOF
	}
	return s.readError(err)
}

// readError returns the error of Read for a read of the Conn that failed, or for the end of
// the connection's context. If this side has ended the connection, it says so, because err may
// only be the peer's answer.
func (s *stream) readError(err error) error {
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

// endReads makes Read return err, after the data that was fed before.
func (s *stream) endReads(err error) {
	s.ended.Do(func() {
		s.err = err
		_ = s.feed.Close()
	})
}

// connectionEnded ends the reads when the connection's context has ended, even if there is data
// left: the end of Serve waits for the reading goroutine, which may be waiting for a Read.
//
// If the peer hung up, the context ends while the reading goroutine still reads what had
// arrived. Then connectionEnded lets it read on until the socket is closed.
func (s *stream) connectionEnded() {
	if s.conn.t.HungUp() {
		select {
		case <-s.received:
			return
		case <-s.conn.t.Closed():
		}
		if !s.conn.t.PeerCloseReported() { // the reading goroutine has not seen a close frame
			s.endReads(s.readError(context.Cause(s.conn.Context())))
			return
		}
	}
	if how, _ := s.conn.t.CloseCause(); how == transport.CausePeer {
		return // the reading goroutine saw the close frame, and ends the reads with more detail
	}
	s.endReads(s.readError(context.Cause(s.conn.Context())))
}

// contextEnded ends the stream with the caller's context, unless the connection has ended: the
// caller's context may have ended because of that.
func (s *stream) contextEnded() {
	if s.conn.Context().Err() != nil {
		return
	}
	cause := context.Cause(s.callerCtx)
	s.endReads(&transport.Error{Op: "read", Err: cause})
	s.cancelWrites(cause)
	_ = s.conn.CloseNow()
}

func (s *stream) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, s.closedError() // the pipe would wait
	}
	n, err := s.pipe.Read(p)
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
	if s.callerCtx.Err() != nil {
		s.contextEnded() // the callback of the context may be late
	}
	ctx := s.writeDeadline.Context()
	if err := s.lockWrite(ctx); err != nil {
		return 0, err
	}
	defer func() { <-s.writeLock }()
	if err := s.conn.WriteMessageContext(ctx, s.messageType, p); err != nil {
		return 0, s.writeError(err)
	}
	return len(p), nil
}

// closedError returns the error of a call with no bytes to read or write.
func (s *stream) closedError() error {
	if s.closed.Load() {
		return transport.ErrClosed
	}
	return nil
}

// lockWrite acquires the write lock for a Write.
func (s *stream) lockWrite(ctx context.Context) error {
	if !s.closed.Load() && ctx.Err() == nil {
		select {
		case s.writeLock <- struct{}{}:
			return nil
		case <-s.closing:
		case <-ctx.Done():
		}
	}
	return s.writeError(s.opError("write", context.Cause(ctx)))
}

// writeError returns the error of a Write that failed with err. If this side has ended the
// stream, it returns the reason for that, of which err is only a consequence.
func (s *stream) writeError(err error) error {
	switch {
	case s.closed.Load():
		return transport.ErrClosed
	case s.writeCtx.Err() != nil:
		return &transport.Error{Op: "write", Err: context.Cause(s.writeCtx)}
	default:
		return err
	}
}

// opError returns an error as package net does for a deadline. Unlike a transport.Error, it is
// temporary, and a tls.Conn on the stream goes on after temporary errors.
func (s *stream) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "websocket", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: err}
}

func (s *stream) Close() error {
	if !s.closed.CompareAndSwap(false, true) {
		return transport.ErrClosed
	}
	_ = s.pipe.Close()
	close(s.closing)
	defer s.unwatch()
	defer s.writeDeadline.Stop()
	timedOut := make(chan struct{})
	timer := s.conn.afterFunc(max(s.conn.GetCloseHandshakeTimeout(), transport.CloseGrace), func() {
		defer close(timedOut)
		s.conn.t.Abort()
	})
	defer timer.Stop()
	select {
	case s.writeLock <- struct{}{}: // after a message that is being written
	case <-s.conn.t.Closed():
	}
	err := s.conn.closeWith(&CloseError{Code: CloseNormalClosure})
	if s.started.Load() { // otherwise it ends as soon as it starts
		select {
		case <-s.received:
		case <-timedOut: // the goroutine runs a handler, perhaps the one that called Close
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
	_ = s.pipe.SetReadDeadline(d) // fails only if no Read can wait any more
	return nil
}

func (s *stream) SetWriteDeadline(d time.Time) error {
	if s.closed.Load() {
		return transport.ErrClosed
	}
	s.deadlineLock.Lock()
	defer s.deadlineLock.Unlock()
	if d.IsZero() {
		_ = s.conn.SetWriteDeadline(time.Time{}) // always nil
	} else {
		_ = s.conn.SetWriteDeadline(never)
	}
	s.writeDeadline.Set(d)
	return nil
}

// never is a write deadline of the Conn that does not pass. It replaces WriteTimeout while the
// context of writeDeadline bounds each Write.
var never = time.Unix(1<<33, 0)
