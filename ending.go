package websocket

import (
	"context"
	"errors"
	"log/slog"
	"net"
)

// A verdict says how a connection is ended and who is told.
type verdict struct {
	tell  error // nil: nobody, it is logged for debugging
	level slog.Level
	frame *CloseError // to send, unless one was sent already; nil: none can arrive
}

// judge decides how the connection ends after the functions that served it
// returned errs, in the order of time. What happened on the wire counts first.
func (c *Conn) judge(errs []error) verdict {
	how, cause := c.t.decided()
	down := c.shutdown.Load()

	var failures []error
	var chosen *CloseError
	for i, err := range errs {
		consequence := down || how != undecided || i > 0
		switch ce := c.chosenEnding(err); {
		case err == nil:
		case ce != nil:
			chosen = ce
		case consequence && c.knows(err):
		default:
			failures = append(failures, err)
		}
	}

	v := verdict{tell: errors.Join(failures...), level: slog.LevelError, frame: normalFrame}
	if len(failures) == 1 {
		v.tell = failures[0]
	}
	switch {
	case down && chosen != nil:
		v.frame = chosen
	case down:
		v.frame = shutdownFrame
	case how == endedByPeer:
		v.frame = &CloseError{Code: CloseStatus(cause)} // the answer, if its reader has not got so far
	case how == endedByUs: // whoever ended it has sent a frame, or closed the socket
	case how == endedByBreach:
		v.frame = breachFrame(cause)
		v.blame(cause, errs, slog.LevelWarn)
	case how == endedByVanished:
		v.blame(cause, errs, slog.LevelDebug)
		v.frame = nil
	case v.tell != nil:
		v.frame = &CloseError{Code: CloseInternalServerErr, Text: cutReason(c.failureText(v.tell))}
	case chosen != nil:
		v.frame = chosen
	}
	return v
}

// blame tells of what the peer did, in the words of the first error that knows
// of it, or together with a failure of the controller's own.
func (v *verdict) blame(cause error, errs []error, level slog.Level) {
	if v.tell != nil {
		v.tell = errors.Join(v.tell, cause)
		return
	}
	v.tell, v.level = cause, level
	for _, err := range errs {
		if errors.Is(err, cause) {
			v.tell = err
			return
		}
	}
}

// breachFrame is what the peer is told of a breach of the protocol.
func breachFrame(cause error) *CloseError {
	var breach *protocolError
	if errors.As(cause, &breach) {
		return breach.frame()
	}
	return normalFrame
}

// chosenEnding returns the *CloseError with which a controller chose how to end
// the connection, nil if err is none or that of a peer that is passed on.
func (c *Conn) chosenEnding(err error) *CloseError {
	var ce *CloseError
	if !errors.As(err, &ce) || ce == c.t.peerCloseRead() || isPanic(err) {
		return nil
	}
	if ce.Code != CloseNoStatusReceived && !mayBeSent(ce.Code) {
		return nil
	}
	return &CloseError{Code: ce.Code, Text: cutReason(ce.Text)}
}

// knows tells whether err is nothing new: it wraps what a read or write of this
// connection returned, or why its context ended.
func (c *Conn) knows(err error) bool {
	if isPanic(err) {
		return false
	}
	if read := c.readErr.Load(); read != nil && errors.Is(err, *read) {
		return true
	}
	if unwritable := c.t.unwritable(); unwritable != nil && errors.Is(err, unwritable) {
		return true
	}
	if ce := c.t.peerCloseRead(); ce != nil && errors.Is(err, ce) {
		return true
	}
	return errors.Is(err, ErrCloseSent) ||
		c.t.isClosed() && errors.Is(err, net.ErrClosed) ||
		c.ctx.Err() != nil && (errors.Is(err, context.Cause(c.ctx)) || errors.Is(err, c.ctx.Err()))
}

// finish closes the connection with the frame of the verdict.
func (c *Conn) finish(frame *CloseError) {
	if frame == nil {
		c.t.cut()
		return
	}
	// While Shutdown's frame waits for its turn, a chosen one takes its place.
	c.frame.CompareAndSwap(shutdownFrame, frame)
	_ = c.closeWith(frame) // the socket is closed, which is what counts
}
