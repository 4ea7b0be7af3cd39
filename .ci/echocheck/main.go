// Command echocheck checks a running examples/echo: its page, an echo, and close code 1001 when
// it is interrupted.
//
//	go run ./.ci/echocheck -pid PID http://HOST:PORT
//
// PID is the process that is interrupted while a client is connected. Without it, that part is
// left out. The caller checks the exit status of the process.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	ws "github.com/gorilla/websocket"
)

const timeout = 10 * time.Second // for each of the three parts

func main() {
	pid := flag.Int("pid", 0, "`process` to interrupt while a client is connected")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: echocheck [-pid PID] http://HOST:PORT")
		os.Exit(2)
	}
	if err := check(strings.TrimSuffix(flag.Arg(0), "/"), *pid); err != nil {
		fmt.Fprintln(os.Stderr, "echocheck:", err)
		os.Exit(1)
	}
}

func check(url string, pid int) error {
	if err := checkPage(url); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	conn, err := connect(url)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := checkEcho(conn); err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	if pid == 0 {
		return nil
	}
	if err := checkInterrupt(conn, pid); err != nil {
		return fmt.Errorf("interrupt: %w", err)
	}
	return nil
}

func checkPage(url string) error {
	client := http.Client{Timeout: timeout}
	response, err := client.Get(url + "/")
	if err != nil {
		return err
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	if !strings.Contains(string(body), "new WebSocket(") {
		return errors.New("it does not open a WebSocket")
	}
	return nil
}

// connect dials with the Origin header that a browser sends from the page.
func connect(url string) (*ws.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	conn, response, err := ws.DefaultDialer.DialContext(ctx, "ws"+strings.TrimPrefix(url, "http")+"/echo", http.Header{"Origin": {url}})
	if err != nil {
		return nil, err
	}
	return conn, response.Body.Close()
}

func checkEcho(conn *ws.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	for _, messageType := range []int{ws.TextMessage, ws.BinaryMessage} {
		for _, sent := range []string{"", "hello, 世界", strings.Repeat("long ", 20_000)} {
			if err := conn.WriteMessage(messageType, []byte(sent)); err != nil {
				return err
			}
			gotType, got, err := conn.ReadMessage()
			if err != nil {
				return err
			}
			if gotType != messageType || string(got) != sent {
				return fmt.Errorf("sent %d bytes of type %d, got %d bytes of type %d", len(sent), messageType, len(got), gotType)
			}
		}
	}
	return nil
}

func checkInterrupt(conn *ws.Conn, pid int) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := process.Signal(os.Interrupt); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	_, _, err = conn.ReadMessage() // answers the close frame, too
	if !ws.IsCloseError(err, ws.CloseGoingAway) {
		return fmt.Errorf("want a close frame with code %d, got: %w", ws.CloseGoingAway, err)
	}
	return nil
}
