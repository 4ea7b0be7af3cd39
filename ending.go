package websocket

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/goyave-contrib/websocket/internal/wire"
)

// An outcome says how a connection is ended and who is told.
type outcome struct {
	report error // nil: nobody, it is logged for debugging
	level  slog.Level
	frame  *CloseError // to send, unless one was sent already; nil: none is to be sent

	failed bool // what is told is the controller's failure, not only what the peer did
	chosen bool // the frame is the controller's choice
}

// outcome is what decideOutcome decides. The errors are the application's, and so are the methods
// that look into them: if one panics, that is the failure.
func (c *Conn) outcome(errs []error, reported error) (o outcome) {
	recovered(func() error {
		o = c.decideOutcome(errs, reported)
		return nil
	}, func(failure error) {
		if failure != nil {
			o = outcome{report: failure, level: slog.LevelError, failed: true, frame: failureFrame}
		}
	})
	return o
}

// decideOutcome decides how the connection ends after the functions that served it
// returned errs, in the order of time. What happened on the wire counts first. Reported
// is the error of an earlier outcome that was reported.
func (c *Conn) decideOutcome(errs []error, reported error) outcome {
	how, cause := c.t.closeCause()
	down := c.t.has(factShutdown)
	failures, chosen := c.classifyErrors(errs, reported, down || how != undecided)
	o := outcome{report: errors.Join(failures...), level: slog.LevelError, frame: normalFrame, failed: len(failures) > 0}
	if len(failures) == 1 {
		o.report = failures[0]
	}
	switch {
	case down && chosen != nil:
		o.frame, o.chosen = chosen, true
	case down:
		o.frame = shutdownFrame
	case how == causePeer:
		o.frame = &CloseError{Code: CloseStatus(cause)} // the answer, if its reader has not got so far
	case how == causeLocal:
		o.frame, _ = cause.(*CloseError) //nolint:errorlint // nil after CloseNow
	case how == causeProtocol:
		o.frame = violationFrame(cause)
		o.blamePeer(slog.LevelWarn, errs, cause)
	case how == causeDisconnect:
		o.blamePeer(slog.LevelDebug, errs, cause, c.t.readFailure(), c.t.socketFailure())
		o.frame = nil
	case o.failed:
		o.frame = &CloseError{Code: CloseInternalServerErr, Text: wire.TruncateReason(c.failureText(failures...))}
	case chosen != nil:
		o.frame, o.chosen = chosen, true
	}
	return o
}

// classifyErrors finds the failures among errs, and an ending that was chosen. Once the end
// is explained, what the connection itself has returned is no failure, and neither is
// a panic that is told once.
func (c *Conn) classifyErrors(errs []error, reported error, explained bool) (failures []error, chosen *CloseError) {
	for _, err := range errs {
		switch ce := c.chosenEnding(err); {
		case err == nil, c.merelyCanceled(err), errors.Is(err, errPanicked): // which is told by itself
		case ce != nil:
			chosen, explained = ce, true
		case explained && c.knows(err), repeats(err, reported, failures):
		default:
			failures, explained = append(failures, err), true
		}
	}
	return failures, chosen
}

// blamePeer tells of what the peer did, in the words of the first error that knows of it,
// by one of its faces, or together with a failure of the controller's own.
func (o *outcome) blamePeer(level slog.Level, errs []error, cause error, faces ...error) {
	if o.failed {
		o.report = errors.Join(o.report, cause)
		return
	}
	o.report, o.level = cause, level
	faces = append(faces, cause)
	for _, err := range errs {
		if err != nil && slices.ContainsFunc(faces, func(face error) bool { return errors.Is(err, face) }) {
			o.report = err
			return
		}
	}
}

// violationFrame is what the peer is told of a protocol violation.
func violationFrame(cause error) *CloseError {
	var violation *wire.ProtocolError
	if errors.As(cause, &violation) {
		return violation.CloseFrame()
	}
	return normalFrame
}

// chosenEnding returns the *CloseError with which a controller chose how to end
// the connection. It is nil if err is none, or repeats the close frame of the peer or of
// Shutdown.
func (c *Conn) chosenEnding(err error) *CloseError {
	var ce *CloseError
	if !errors.As(err, &ce) || ce == nil || ce == c.t.peerCloseRead() || isPanic(err) {
		return nil
	}
	if ce == shutdownFrame && c.t.has(factShutdown) {
		return nil
	}
	if !ValidCloseCode(ce.Code) {
		return nil
	}
	return &CloseError{Code: ce.Code, Text: wire.TruncateReason(ce.Text)}
}

// knows reports whether err is nothing new: it wraps what a read or write of this
// connection returned, or why its context ended.
func (c *Conn) knows(err error) bool {
	if isPanic(err) {
		return false
	}
	if read := c.t.readFailure(); read != nil && errors.Is(err, read) {
		return true
	}
	if unwritable := c.t.unwritable(); unwritable != nil && errors.Is(err, unwritable) {
		return true
	}
	if ce := c.t.peerCloseRead(); ce != nil && errors.Is(err, ce) {
		return true
	}
	return errors.Is(err, ErrCloseSent) || errors.Is(err, errClosed) ||
		c.Context().Err() != nil && (errors.Is(err, context.Cause(c.Context())) || errors.Is(err, c.Context().Err()))
}

// repeats reports whether err passes on a panic that is told already or among the
// failures.
func repeats(err, reported error, failures []error) bool {
	var p *PanicError
	return errors.As(err, &p) && errors.Is(errors.Join(reported, errors.Join(failures...)), p)
}

// merelyHungUp reports whether err says that a write failed because the peer hung up,
// and nothing else.
func (c *Conn) merelyHungUp(err error) bool { return c.t.isHangUp(err) && !isPanic(err) }

// merelyCanceled reports whether err says that the context has ended, and nothing
// of the reason.
func (c *Conn) merelyCanceled(err error) bool {
	return c.Context().Err() != nil && errors.Is(err, c.Context().Err()) && !errors.Is(err, context.Cause(c.Context())) && !isPanic(err)
}

// finish closes the connection with the frame of the outcome.
func (c *Conn) finish(o outcome) {
	if o.frame == nil {
		c.t.abort()
		return
	}
	if o.chosen { // it takes the place of Shutdown's, if that still waits for its turn
		c.t.replaceFrame(shutdownFrame, o.frame)
	}
	_ = c.closeWith(o.frame) // the socket is closed, which is what counts
}
