package websocket

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// NormalClosureMessage is the text sent with code 1000 when Serve returns nil.
const NormalClosureMessage = "Server closed connection"

// Close frames that the library sends by itself.
var (
	normalFrame   = &CloseError{Code: CloseNormalClosure, Text: NormalClosureMessage}
	shutdownFrame = &CloseError{Code: CloseGoingAway, Text: "Server shutting down"}
	failureFrame  = &CloseError{Code: CloseInternalServerErr, Text: http.StatusText(http.StatusInternalServerError)}
)

// SetCloseHandshakeTimeout bounds later closing handshakes of this connection:
// writing our close frame and waiting for the peer's. Zero or less means no
// waiting: the frame is tried and the socket closed at once.
func (c *Conn) SetCloseHandshakeTimeout(timeout time.Duration) {
	c.t.CloseTimeout.Store(int64(timeout))
}

// GetCloseHandshakeTimeout returns the bound of the closing handshake.
func (c *Conn) GetCloseHandshakeTimeout() time.Duration {
	return time.Duration(c.t.CloseTimeout.Load())
}

// CloseNormal is Close with code 1000 and the text "Server closed connection".
func (c *Conn) CloseNormal() error { return c.Close(CloseNormalClosure, NormalClosureMessage) }

// CloseWithError is Close with code 1011 and the text "Internal Server Error";
// with Debug, err's own, or the value of a panic.
func (c *Conn) CloseWithError(err error) error {
	return c.Close(CloseInternalServerErr, c.failureText(err))
}

// failureText returns what the peer is told of errors.
func (c *Conn) failureText(errs ...error) string {
	if !c.options.debug || errors.Join(errs...) == nil {
		return http.StatusText(http.StatusInternalServerError)
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = ownText(err)
	}
	return strings.Join(texts, "\n")
}

// ownText is the message of an error, or what a panic was called with: whoever
// debugs looks for the words of the application.
func ownText(err error) string {
	if p, ok := err.(*PanicError); ok && p.Value != nil { //nolint:errorlint // what wraps it has a message
		return fmt.Sprint(p.Value)
	}
	return err.Error()
}

// Close performs the closing handshake (RFC 6455, 7.1.2): it writes a close
// frame, waits for the peer's and closes the socket, all within the close
// timeout. It may be called from any goroutine, also from a handler and while
// others read or write. Code 1005 sends an empty frame. The text is cut to 123
// bytes of valid UTF-8.
//
// Nil means that the frame was written and the socket closed, even if the peer
// never answered. Where the frame can't be written, the socket is closed all the
// same and the error returned. A code that may not be sent is an error too, but
// nothing has happened then. Only the first call writes a frame: a later one
// waits for the first to end and returns nil.
//
// From the moment it is called no read delivers a message, also while what was
// enqueued before is sent first: see [Conn.Enqueue].
func (c *Conn) Close(code int, text string) error {
	if !ValidCloseCode(code) {
		return fmt.Errorf("websocket: close code %d may not be sent", code)
	}
	return c.closeWith(&CloseError{Code: code, Text: wire.TruncateReason(text)})
}

// closeWith is Close with a frame that may be sent.
func (c *Conn) closeWith(frame *CloseError) (err error) {
	if !c.t.Happens(transport.EventClose, frame) {
		<-c.t.Closed.Done() // not for the first call to return: it may wait for this one, by way of BeforeClose
		c.stopBackground()
		return nil
	}
	defer c.stopBackground()
	defer c.cancelContext(frame)                  // sending the frame does it, if it can be sent
	defer func() { err = c.t.CloseHandshake() }() // also if a panic ends what is called before
	c.beginClosing()
	return nil
}

// CloseNow closes the socket without a closing handshake. Reads and writes that
// wait return net.ErrClosed. Messages that are held back (see WriteMessage) or enqueued
// are lost.
func (c *Conn) CloseNow() error {
	c.t.Happens(transport.EventClosing, nil)
	first := c.begin()
	c.t.CloseNow()
	if first { // otherwise another goroutine waits for BeforeClose
		<-c.group.begun.Done()
	}
	c.stopBackground()
	return nil
}

// stopBackground stops the timers and the flusher of the connection, whose socket is closed,
// and returns when none of them runs any more.
func (c *Conn) stopBackground() {
	c.keepalive.timer.Stop()
	c.t.StopBackground()
}
