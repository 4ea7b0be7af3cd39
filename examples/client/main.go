// Command client connects to a WebSocket server and stays connected. It prints each message and
// sends each line that is typed. If it loses the connection, it connects again, and waits longer
// after each failure.
//
//	go run ./examples/chat
//	go run ./examples/client 'ws://127.0.0.1:8080/chat?name=Ada&room=lobby'
//
// Stop the server and start it again to see the client come back. After an interrupt (or
// SIGTERM), it closes the connection with code 1000 and exits with status 0.
//
// The file client.go is the part to copy.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	hello := flag.String("hello", "", "`text` to send first on each connection, such as a token or a subscription")
	origin := flag.String("origin", "", "`origin` to name, as browsers do")
	flag.Usage = func() {
		_, _ = fmt.Fprintln(flag.CommandLine.Output(), "usage: client [-hello TEXT] [-origin ORIGIN] ws://HOST:PORT/PATH")
		flag.PrintDefaults()
	}
	flag.Parse()
	address, err := url.Parse(flag.Arg(0))
	if flag.NArg() != 1 || err != nil || address.Scheme != "ws" && address.Scheme != "wss" {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // after the first signal, a second one kills the process

	lines := make(chan string)
	go read(lines)
	c := &client{
		url:     flag.Arg(0),
		hello:   *hello,
		send:    lines,
		receive: receive,
		report:  log.Printf,
	}
	if *origin != "" {
		c.options.Header = http.Header{"Origin": {*origin}}
	}
	if err := c.run(ctx); err != nil {
		log.Fatal(err)
	}
}

// read sends each line of standard input to the channel. It may run until the process ends,
// because such a read can't be interrupted.
func read(lines chan<- string) {
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		lines <- input.Text()
	}
	if err := input.Err(); err != nil {
		log.Printf("nothing more is sent: %v", err)
	}
}

// receive prints a message. Empty ones are heartbeats and not printed.
func receive(message string) {
	if message != "" {
		fmt.Println(message)
	}
}
