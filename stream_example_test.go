package websocket_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
)

// What is written for a net.Conn runs on a WebSocket: here a protocol of lines.
func ExampleStream() {
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, request *http.Request) error {
		stream := websocket.Stream(request.Context(), conn, websocket.TextMessage)
		lines := bufio.NewScanner(stream)
		for lines.Scan() {
			if _, err := fmt.Fprintln(stream, strings.ToUpper(lines.Text())); err != nil {
				return err
			}
		}
		return lines.Err() // nil where the client said goodbye
	}))

	talk(upgrader, "/", nil, "hello\n", "world\n")
	// Output:
	// > hello
	//
	// < HELLO
	// > world
	//
	// < WORLD
	// closed: 1000
}

// A tunnel to a service that speaks TCP.
func ExampleStream_tunnel() {
	service := startEchoService()
	defer func() { _ = service.Close() }()

	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, request *http.Request) error {
		backend, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(request.Context(), "tcp", service.Addr().String())
		if err != nil {
			return websocket.NewCloseError(websocket.CloseBadGateway, "")
		}
		stream := websocket.Stream(request.Context(), conn, websocket.BinaryMessage)
		defer func() { _ = backend.Close() }()
		conn.Go(func(context.Context) error {
			switch _, err := io.Copy(stream, backend); {
			case err == nil: // the service hung up
				return websocket.NewCloseError(websocket.CloseNormalClosure, "")
			case errors.Is(err, net.ErrClosed): // Serve has returned
				return nil
			default:
				return err
			}
		})
		_, err = io.Copy(backend, stream)
		return err
	}))

	server := httptest.NewServer(upgrader)
	defer server.Close()
	client, _, err := ws.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), nil) //nolint:bodyclose // there is none
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	_ = client.WriteMessage(ws.BinaryMessage, []byte("through the tunnel and back")) // then reading fails, too
	listen(client)
	_ = client.WriteMessage(ws.CloseMessage, ws.FormatCloseMessage(ws.CloseNormalClosure, ""))
	listen(client)
	// Output:
	// < through the tunnel and back
	// closed: 1000
}

// startEchoService serves one TCP client.
func startEchoService() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it is there at once
	if err != nil {
		panic(err)
	}
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.Copy(conn, conn)
	}()
	return l
}
