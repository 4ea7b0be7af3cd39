package websocket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/goyave-contrib/websocket"
)

func ExampleDial() {
	server := httptest.NewServer(websocket.New(&Echo{}))
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second) // for the handshake
	defer cancel()
	conn, _, err := websocket.Dial(ctx, server.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.CloseNow() }() // where Close is not reached

	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		fmt.Println(err)
		return
	}
	_, message, err := conn.ReadMessage()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s\n", message)
	fmt.Println(conn.Close(websocket.CloseNormalClosure, "bye"))
	// Output:
	// hello
	// <nil>
}

func ExampleDial_refused() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}))
	defer server.Close()

	conn, response, err := websocket.Dial(context.Background(), server.URL, nil)
	switch {
	case errors.Is(err, websocket.ErrBadHandshake): // there is an answer
		reason, _ := io.ReadAll(response.Body) // from memory
		fmt.Printf("%s: %s", response.Status, reason)
	case err != nil: // no connection, or none in time
		fmt.Println(err)
	default:
		_ = conn.CloseNow()
	}
	// Output:
	// 401 Unauthorized: who are you?
}

func ExampleDialOptions() {
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		greeting := r.Header.Get("Authorization") + " speaks " + conn.Subprotocol()
		return conn.WriteMessage(websocket.TextMessage, []byte(greeting))
	}))
	upgrader.Settings.Subprotocols = []string{"chat.v2", "chat.v1"}
	server := httptest.NewServer(upgrader)
	defer server.Close()

	conn, _, err := websocket.Dial(context.Background(), server.URL, &websocket.DialOptions{
		MaxMessageSize: 64 << 10,
		PingInterval:   20 * time.Second,
		Header:         http.Header{"Authorization": {"Bearer ada"}},
		Subprotocols:   []string{"chat.v1"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = conn.CloseNow() }()

	_, message, err := conn.ReadMessage()
	fmt.Println(string(message), err)
	_, _, err = conn.ReadMessage()
	fmt.Println(err)
	// Output:
	// Bearer ada speaks chat.v1 <nil>
	// websocket: close 1000 (normal): Server closed connection
}
