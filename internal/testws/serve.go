package testws

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/goyave-contrib/websocket"
)

// Echo is the echo controller of the documentation.
func Echo(conn *websocket.Conn, _ *http.Request) error {
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(messageType, message); err != nil {
			return err
		}
	}
}

// ReadLoop is a Serve that reads until it fails and returns that error through
// wrap.
func ReadLoop(wrap func(error) error) func(*websocket.Conn, *http.Request) error {
	return func(conn *websocket.Conn, _ *http.Request) error {
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return wrap(err)
			}
		}
	}
}

// Returned is for ReadLoop: it returns err unchanged.
func Returned(err error) error { return err }

// Wrapped is for ReadLoop: it returns an error that wraps err.
func Wrapped(err error) error { return fmt.Errorf("reading a command: %w", err) }

// ErrDatabase is an error of an application.
var ErrDatabase = errors.New("database is away")

// OnStream returns a controller that calls use with a Stream of binary messages over each
// connection, in the request's context.
func OnStream(use func(stream net.Conn) error) websocket.ControllerFunc {
	return func(conn *websocket.Conn, r *http.Request) error {
		return use(websocket.Stream(r.Context(), conn, websocket.BinaryMessage))
	}
}
