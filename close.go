package websocket

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
)

// NormalClosureMessage is the text of the close frame, with code 1000, that is sent when Serve
// returns nil.
const NormalClosureMessage = "Server closed connection"

// Close frames that the library chooses, rather than the application.
var (
	normalFrame   = &CloseError{Code: CloseNormalClosure, Text: NormalClosureMessage}
	shutdownFrame = &CloseError{Code: CloseGoingAway, Text: "Server shutting down"}   // the default of Options.ShutdownClose
	drainFrame    = &CloseError{Code: CloseServiceRestart, Text: "Server restarting"} // the default of Options.DrainClose
	failureFrame  = &CloseError{Code: CloseInternalServerErr, Text: http.StatusText(http.StatusInternalServerError)}

	unexpectedFrame = &CloseError{Code: ClosePolicyViolation, Text: "unexpected data message"} // after CloseRead
)

// checkFrame returns an error if the close frame of an option may not be sent.
func checkFrame(option string, frame *CloseError) error {
	if frame == nil || ValidCloseCode(frame.Code) {
		return nil
	}
	return fmt.Errorf("websocket: %s has code %d, which may not be sent", option, frame.Code)
}

// frameOr returns the close frame of an option, as it is sent, or otherwise if the option is nil.
func frameOr(option, otherwise *CloseError) *CloseError {
	if option == nil {
		return otherwise
	}
	return &CloseError{Code: option.Code, Text: wire.TruncateReason(option.Text)}
}

// SetCloseHandshakeTimeout sets the close timeout of this connection in place of
// Options.CloseTimeout. It bounds a whole closing handshake that begins later: writing our
// close frame and waiting for the peer's. Zero or less means no waiting: Close tries to write
// the frame and closes the socket at once. It may be called from any goroutine.
func (c *Conn) SetCloseHandshakeTimeout(timeout time.Duration) {
	c.t.SetCloseTimeout(timeout)
}

// GetCloseHandshakeTimeout returns the close timeout: see [Conn.SetCloseHandshakeTimeout].
func (c *Conn) GetCloseHandshakeTimeout() time.Duration {
	return c.t.CloseTimeout()
}

// CloseNormal is Close with code 1000 and the text "Server closed connection".
func (c *Conn) CloseNormal() error { return c.Close(CloseNormalClosure, NormalClosureMessage) }

// CloseWithError is Close with code 1011 and the text "Internal Server Error". With
// Options.Debug, the text is the message of err, or the value of a *PanicError.
func (c *Conn) CloseWithError(err error) error {
	return c.Close(CloseInternalServerErr, c.failureText(err))
}

// failureText returns the text of the close frame for errs. Only with Debug does it tell the
// peer what failed.
func (c *Conn) failureText(errs ...error) string {
	if !c.options.debug || errors.Join(errs...) == nil {
		return http.StatusText(http.StatusInternalServerError)
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = applicationText(err)
	}
	return strings.Join(texts, "\n")
}

// applicationText is the message of err, or the value of a panic: in the application's words
// and without our prefix, because a developer reads it.
func applicationText(err error) string {
	if p, ok := err.(*PanicError); ok && p.Value != nil { //nolint:errorlint // an error that wraps one has a message
		return fmt.Sprint(p.Value)
	}
	return err.Error()
}

// Close performs the closing handshake (RFC 6455, 7.1.2): it writes a close frame, waits for
// the peer's and closes the socket, all within the close timeout. Code 1005 sends an empty
// frame. The text is truncated to 123 bytes of valid UTF-8. Close may be called from any
// goroutine, also from a handler and while other goroutines read or write.
//
// Close returns nil if the frame was written and the socket closed, even if the peer never
// answered. If the frame can't be written, Close still closes the socket, and returns the
// error. If the code may not be sent (see [ValidCloseCode]), Close returns an error and does
// nothing. Only the first call writes a frame: a later call waits until the connection is
// closed and returns nil.
//
// Once Close is called, no read delivers a message any more, not even while enqueued messages
// are sent before the close frame: see [Conn.Enqueue].
func (c *Conn) Close(code int, text string) error {
	if !ValidCloseCode(code) {
		return fmt.Errorf("websocket: close code %d may not be sent", code)
	}
	return c.closeWith(&CloseError{Code: code, Text: wire.TruncateReason(text)})
}

// closeWith is Close with a frame whose code and text are valid.
func (c *Conn) closeWith(frame *CloseError) (err error) {
	if !c.t.ChooseClose(frame) {
		<-c.t.Closed() // the first call may wait for this one, in a hook of BeforeClose
		c.stopBackground()
		return nil
	}
	defer c.stopBackground()
	defer c.cancelContext(frame)                  // for a frame that can't be sent
	defer func() { err = c.t.CloseHandshake() }() // also if beginClosing panics
	c.beginClosing()
	return nil
}

// ShutdownClose returns the code and the text with which a shutdown ends the connection: those of
// Options.ShutdownClose. A function that closes some connections because the server goes away calls
// conn.Close(conn.ShutdownClose()). It may be called from any goroutine.
func (c *Conn) ShutdownClose() (code int, text string) {
	frame := c.options.shutdownFrame
	return frame.Code, frame.Text
}

// CloseNow closes the socket without a closing handshake. Waiting reads and writes return
// net.ErrClosed. Messages that are held back (see [Conn.WriteMessage]) or enqueued are lost.
//
// It returns when no timer or background goroutine of the connection runs any more. The call
// that begins to end the connection also waits for the functions given to BeforeClose. The
// error is always nil. It may be called from any goroutine, and more than once.
func (c *Conn) CloseNow() error {
	c.t.StopDelivering()
	first := c.startHooks()
	c.t.CloseNow()
	if first { // otherwise another goroutine waits for the hooks
		<-c.group.hooksReturned.Done()
	}
	c.stopBackground()
	return nil
}

// stopBackground stops the timers and the flusher, and waits until none of them runs. The
// socket must be closed, so that a flusher that writes fails.
func (c *Conn) stopBackground() {
	c.options.alarms.Stop(c)
	c.t.StopBackground()
}
