package testws

import (
	"net/http"
	"runtime/debug"

	"github.com/goyave-contrib/websocket"
)

// A MessageController is a websocket.MessageController made of functions. ErrorFunc may be nil.
type MessageController struct {
	OpenFunc  func(conn *websocket.Conn, r *http.Request) (websocket.MessageHandler, error)
	ErrorFunc func(r *http.Request, err error)
	Told      ErrorList // the arguments of OnError
}

// Open calls OpenFunc.
func (ctrl *MessageController) Open(conn *websocket.Conn, r *http.Request) (websocket.MessageHandler, error) {
	return ctrl.OpenFunc(conn, r)
}

// OnError adds the error to Told and calls ErrorFunc.
func (ctrl *MessageController) OnError(r *http.Request, err error) {
	ctrl.Told.Add(err)
	if ctrl.ErrorFunc != nil {
		ctrl.ErrorFunc(r, err)
	}
}

// A MessageHandler is a websocket.MessageHandler and CloseHandler made of functions. CloseFunc may be nil.
type MessageHandler struct {
	MessageFunc func(messageType int, message []byte) error
	CloseFunc   func(err error)
}

// OnMessage calls MessageFunc.
func (h *MessageHandler) OnMessage(messageType int, message []byte) error {
	return h.MessageFunc(messageType, message)
}

// OnClose calls CloseFunc.
func (h *MessageHandler) OnClose(err error) {
	if h.CloseFunc != nil {
		h.CloseFunc(err)
	}
}

// EchoMessages opens a connection whose messages are sent back.
func EchoMessages(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
	return websocket.MessageHandlerFunc(conn.WriteMessage), nil
}

// AsServe returns a Serve that treats a connection as MessageController documents it.
func AsServe(open websocket.MessageControllerFunc) func(*websocket.Conn, *http.Request) error {
	return func(conn *websocket.Conn, r *http.Request) (err error) {
		handler, err := open(conn, r)
		if err != nil {
			return err
		}
		returned := false
		defer func() {
			closer, ok := handler.(websocket.CloseHandler)
			switch {
			case !ok:
			case returned:
				closer.OnClose(err)
			default:
				value := recover()
				closer.OnClose(&websocket.PanicError{Value: value, Stack: debug.Stack()})
				if value != nil {
					panic(value)
				}
			}
		}()
		for err == nil {
			var messageType int
			var message []byte
			if messageType, message, err = conn.ReadSlice(); err == nil {
				err = handler.OnMessage(messageType, message)
			}
		}
		returned = true
		return err
	}
}
