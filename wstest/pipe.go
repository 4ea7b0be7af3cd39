package wstest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// PipeBuffer is the size, in bytes, of the buffer of each direction of a [Pipe]. A write waits for
// the reader when the buffer is full.
const PipeBuffer = 64 << 10

// The addresses of every pipe. They look like host:port because servers and loggers parse remote
// addresses.
const (
	clientAddr addr = "127.0.0.1:1"
	serverAddr addr = "127.0.0.1:80"
)

type addr string

func (addr) Network() string  { return "mem" }
func (a addr) String() string { return string(a) }

// Pipe returns the two ends of a connection in memory that behaves like TCP. The ends differ only
// in their addresses. All methods of both ends may be called concurrently, from any goroutine;
// concurrent writes to one end are not interleaved.
//
// A write returns when all of its bytes are in the buffer, which has [PipeBuffer] bytes in each
// direction. A write that does not fit waits for the reader until its deadline passes or an end is
// closed, and then returns the number of buffered bytes. As in TCP, a deadline also applies to
// waiting calls, a call after its deadline fails at once even if there are bytes to read, and the
// zero time removes the deadline.
//
// After Close, every other call of this end fails, including waiting calls and a second Close. The
// peer can read the buffered bytes and then gets [io.EOF]; its writes fail. Bytes that this end has
// not read are lost. Both ends also have a method CloseWrite() error: writes of this end then fail,
// the peer can read the buffered bytes and then gets io.EOF, and the other direction is not
// affected. A second CloseWrite does nothing. [Reset] resets the connection.
//
// Every error except io.EOF is a [*net.OpError] that wraps one of
//   - [net.ErrClosed]: this end is closed
//   - [os.ErrDeadlineExceeded]: the deadline passed; Timeout is true
//   - [syscall.EPIPE]: a write after the peer's Close or this end's CloseWrite
//   - [syscall.ECONNRESET]: Reset was called with the peer
//
// Plan 9 has no numbers for the last two; their errors there have the same text.
//
// Unlike in TCP, the peer notices at once: its first write after a Close fails, and closing an end
// with unread bytes is not a reset.
//
// A pipe has no goroutines, and a timer only while a call with a deadline waits. A waiting call is
// durably blocked in a testing/synctest bubble.
func Pipe() (client, server net.Conn) {
	mu := new(sync.Mutex)
	up, down := &stream{mu: mu}, &stream{mu: mu}
	return &end{in: down, out: up, local: clientAddr, remote: serverAddr},
		&end{in: up, out: down, local: serverAddr, remote: clientAddr}
}

// Reset ends a connection as a TCP reset does: the buffered bytes of both directions are lost,
// calls of the peer fail with [syscall.ECONNRESET], and calls of conn fail with [net.ErrClosed],
// including waiting calls. It may be called after Close; a second call does nothing.
//
// It panics if conn is not an end of a [Pipe], because a test without the reset would prove
// nothing.
func Reset(conn net.Conn) {
	e, ok := conn.(*end)
	if !ok {
		panic(fmt.Sprintf("wstest: Reset: %T is not an end of a Pipe", conn))
	}
	e.Reset()
}

// end is one end of a pipe.
type end struct {
	in, out       *stream
	local, remote addr
}

func (e *end) Read(p []byte) (int, error) {
	n, err := e.in.read(p)
	return n, e.wrap("read", err)
}

func (e *end) Write(p []byte) (int, error) {
	n, err := e.out.write(p)
	return n, e.wrap("write", err)
}

func (e *end) Close() error {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()

	if e.in.reader.closed {
		return e.wrap("close", net.ErrClosed)
	}
	e.shut()
	return nil
}

func (e *end) CloseWrite() error {
	return e.wrap("close", e.out.finish())
}

func (e *end) Reset() {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()

	e.in.reset, e.out.reset = true, true
	e.out.buf = bytes.Buffer{}
	e.shut()
}

// shut closes both directions of this end in one step, so that a call that one direction wakes does
// not find the other one open. The caller holds the mutex.
func (e *end) shut() {
	e.in.reader.closed = true
	e.in.buf = bytes.Buffer{}
	e.in.signal()

	e.out.writer.closed = true
	e.out.fin = true
	e.out.signal()
}

func (e *end) LocalAddr() net.Addr  { return e.local }
func (e *end) RemoteAddr() net.Addr { return e.remote }

func (e *end) SetDeadline(t time.Time) error {
	if err := e.SetReadDeadline(t); err != nil {
		return err
	}
	return e.SetWriteDeadline(t)
}

func (e *end) SetReadDeadline(t time.Time) error {
	return e.wrap("set", e.in.set(&e.in.reader, t))
}

func (e *end) SetWriteDeadline(t time.Time) error {
	return e.wrap("set", e.out.set(&e.out.writer, t))
}

// wrap makes errors look like errors of package net. It does not wrap io.EOF, because readers
// compare it with ==.
func (e *end) wrap(op string, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return &net.OpError{Op: op, Net: e.local.Network(), Source: e.local, Addr: e.remote, Err: err}
}

// stream is one direction of a pipe. A call that must wait releases the mutex and checks its
// condition again after each change, so one broadcast channel is enough.
type stream struct {
	mu      *sync.Mutex   // shared by both directions; never held while a call waits
	changed chan struct{} // closed at the next change; nil while no call waits

	buf     bytes.Buffer // at most PipeBuffer bytes
	writing bool         // a write is in progress; other writes wait for it
	fin     bool         // the writer has finished: io.EOF follows buf
	reset   bool         // by either end

	reader, writer side
}

// side is the state of one end's use of a stream.
type side struct {
	closed   bool
	deadline time.Time // zero: none
}

func (s *side) err() error {
	if s.closed {
		return net.ErrClosed
	}
	if !s.deadline.IsZero() && !time.Now().Before(s.deadline) {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (s *stream) read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	for {
		if err := s.reader.err(); err != nil {
			return 0, err
		}
		switch {
		case len(p) == 0:
			return 0, nil
		case s.reset:
			return 0, os.NewSyscallError("read", errReset)
		case s.buf.Len() > 0:
			s.signal()
			return s.buf.Read(p)
		case s.fin:
			return 0, io.EOF
		}
		s.wait(s.reader.deadline)
	}
}

func (s *stream) write(p []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	for s.writing && s.writeErr() == nil {
		s.wait(s.writer.deadline)
	}
	if err := s.writeErr(); err != nil {
		return 0, err
	}
	s.writing = true
	defer func() {
		s.writing = false
		s.signal()
	}()

	for n < len(p) {
		if err := s.writeErr(); err != nil {
			return n, err
		}
		room := min(PipeBuffer-s.buf.Len(), len(p)-n)
		if room == 0 {
			s.wait(s.writer.deadline)
			continue
		}
		s.buf.Write(p[n : n+room])
		n += room
		s.signal()
	}
	return n, nil
}

// writeErr returns why nothing can be written, or nil. The caller holds the mutex.
func (s *stream) writeErr() error {
	if err := s.writer.err(); err != nil {
		return err
	}
	switch {
	case s.reset:
		return os.NewSyscallError("write", errReset)
	case s.fin, s.reader.closed:
		return os.NewSyscallError("write", errPipe)
	}
	return nil
}

// wait releases the mutex, waits for a change or the deadline, and acquires the mutex again. The
// caller holds the mutex.
func (s *stream) wait(deadline time.Time) {
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	changed := s.changed
	s.mu.Unlock()
	defer s.mu.Lock()

	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-changed:
	case <-expired:
	}
}

// signal wakes all waiting calls. The caller holds the mutex.
func (s *stream) signal() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// set changes a side's deadline, also for waiting calls.
func (s *stream) set(side *side, deadline time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if side.closed {
		return net.ErrClosed
	}
	side.deadline = deadline
	s.signal()
	return nil
}

func (s *stream) finish() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.writer.closed {
		return net.ErrClosed
	}
	s.fin = true
	s.signal()
	return nil
}
