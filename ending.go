package websocket

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// An outcome is what follows from the way in which a connection ended: the close frame
// still to send and the error to report.
type outcome struct {
	report error // nil: the end is only logged, at debug level
	level  slog.Level
	frame  *CloseError // to send, unless a close frame was sent already; nil: none can be sent

	failed bool // report contains a failure of the controller, not only an act of the peer
	chosen bool // the controller chose the frame
}

// outcome calls decideOutcome, which calls methods of the application's errors. If one of
// them panics, the panic is the failure.
func (c *Conn) outcome(errs []error, reported error) (o outcome) {
	callRecovering(func() error {
		o = c.decideOutcome(errs, reported)
		return nil
	}, func(failure error) {
		if failure != nil {
			o = outcome{report: failure, level: slog.LevelError, failed: true, frame: failureFrame}
		}
	})
	return o
}

// decideOutcome decides how to end the connection after the functions that served it
// returned errs, in this order. What happened on the wire takes precedence. reported is the
// error of an earlier outcome that was reported already, or nil.
func (c *Conn) decideOutcome(errs []error, reported error) outcome {
	how, cause := c.t.CloseCause()
	shuttingDown := c.t.ShuttingDown()
	failures, chosen := c.classifyErrors(errs, reported, shuttingDown || how != transport.CauseNone)
	o := outcome{report: errors.Join(failures...), level: slog.LevelError, frame: normalFrame, failed: len(failures) > 0}
	if len(failures) == 1 {
		o.report = failures[0]
	}
	switch {
	case shuttingDown && chosen != nil:
		o.frame, o.chosen = chosen, true
	case shuttingDown:
		o.frame = c.departureFrame()
	case how == transport.CausePeer:
		o.frame = wire.CloseAnswer(asCloseError(cause)) // the reply, if the read that received the frame has not sent it
	case how == transport.CauseLocal:
		o.frame, _ = cause.(*CloseError) //nolint:errorlint // nil after CloseNow
	case how == transport.CauseProtocol:
		o.frame = violationFrame(cause)
		o.blamePeer(slog.LevelWarn, errs, cause)
	case how == transport.CauseDisconnect:
		o.blamePeer(slog.LevelDebug, errs, cause, c.t.ReadFailure(), c.t.SocketFailure())
		o.frame = nil
	case o.failed:
		o.frame = &CloseError{Code: CloseInternalServerErr, Text: wire.TruncateReason(c.failureText(failures...))}
	case chosen != nil:
		o.frame, o.chosen = chosen, true
	}
	return o
}

// classifyErrors separates real failures among errs from errors that only repeat why the
// connection ended. chosen is the close frame that the controller chose, if any. If
// explained is set, the connection has ended for a known reason, and errors that the
// connection itself returned are not failures. A panic is reported once.
func (c *Conn) classifyErrors(errs []error, reported error, explained bool) (failures []error, chosen *CloseError) {
	for _, err := range errs {
		switch ce := c.chosenEnding(err); {
		case err == nil, c.merelyCanceled(err), errors.Is(err, transport.ErrPanicked): // the panic itself is reported
		case ce != nil:
			chosen, explained = ce, true
		case explained && c.isOwnError(err), repeats(err, reported, failures):
		default:
			failures, explained = append(failures, err), true
		}
	}
	return failures, chosen
}

// blamePeer reports what the peer did. It reports the first of errs that wraps the cause or
// one of aliases, the errors under which calls returned the cause, because that error has
// the application's context. A failure of the controller is joined with the cause instead.
func (o *outcome) blamePeer(level slog.Level, errs []error, cause error, aliases ...error) {
	if o.failed {
		o.report = errors.Join(o.report, cause)
		return
	}
	o.report, o.level = cause, level
	aliases = append(aliases, cause)
	for _, err := range errs {
		if err != nil && slices.ContainsFunc(aliases, func(alias error) bool { return errors.Is(err, alias) }) {
			o.report = err
			return
		}
	}
}

// violationFrame returns the close frame for a protocol violation.
func violationFrame(cause error) *CloseError {
	var violation *wire.ProtocolError
	if errors.As(cause, &violation) {
		return violation.CloseFrame()
	}
	return normalFrame
}

// chosenEnding returns the *CloseError with which the controller chose how to end the
// connection. It returns nil if err wraps none, if its code may not be sent, or if it only
// repeats the close frame of the peer or of Shutdown.
func (c *Conn) chosenEnding(err error) *CloseError {
	ce := asCloseError(err)
	if ce == nil || ce == c.t.PeerCloseRead() || isPanic(err) {
		return nil
	}
	if ce == shutdownFrame { // err is or wraps ErrShutdown
		if c.t.ShuttingDown() {
			return nil
		}
		return c.options.shutdownFrame // a hub shuts down, for example
	}
	if !ValidCloseCode(ce.Code) {
		return nil
	}
	return &CloseError{Code: ce.Code, Text: wire.TruncateReason(ce.Text)}
}

// isOwnError reports whether err contains no news: it wraps an error that a read or write of
// this connection returned, or the cause or error of its context.
func (c *Conn) isOwnError(err error) bool {
	if isPanic(err) {
		return false
	}
	if read := c.t.ReadFailure(); read != nil && errors.Is(err, read) {
		return true
	}
	if unwritable := c.t.Unwritable(); unwritable != nil && errors.Is(err, unwritable) {
		return true
	}
	if ce := c.t.PeerCloseRead(); ce != nil && errors.Is(err, ce) {
		return true
	}
	return errors.Is(err, ErrCloseSent) || errors.Is(err, transport.ErrClosed) ||
		c.Context().Err() != nil && (errors.Is(err, context.Cause(c.Context())) || errors.Is(err, c.Context().Err()))
}

// repeats reports whether err wraps a panic that was reported already or is among the
// failures.
func repeats(err, reported error, failures []error) bool {
	var p *PanicError
	return errors.As(err, &p) && errors.Is(errors.Join(reported, errors.Join(failures...)), p)
}

// merelyHungUp reports whether err only says that a write failed because the peer hung up.
func (c *Conn) merelyHungUp(err error) bool { return c.t.IsHangUp(err) && !isPanic(err) }

// merelyCanceled reports whether err says that the connection's context ended, but not why.
func (c *Conn) merelyCanceled(err error) bool {
	return c.Context().Err() != nil && errors.Is(err, c.Context().Err()) && !errors.Is(err, context.Cause(c.Context())) && !isPanic(err)
}

// finish closes the connection with the frame of the outcome.
func (c *Conn) finish(o outcome) {
	if o.frame == nil {
		c.t.Abort()
		return
	}
	if o.chosen { // it replaces the close frame of Shutdown, if that still waits to be written
		c.t.ReplaceFrame(c.departureFrame(), o.frame)
	}
	_ = c.closeWith(o.frame) // the socket is closed even if the frame can't be written
}
