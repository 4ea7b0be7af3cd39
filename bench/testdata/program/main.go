// Command program is a server process that is built from a folder of its own. It
// knows one implementation, an echo of raw TCP, and needs no module.
package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
)

func main() {
	if !slices.Equal(os.Args[1:], []string{"serve", "of a folder", "echo"}) {
		fmt.Fprintf(os.Stderr, "unexpected arguments %q\n", os.Args[1:])
		os.Exit(1)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	fmt.Println(l.Addr())
	for questions := bufio.NewScanner(os.Stdin); questions.Scan(); {
		fmt.Println(`{"CPU": 42}`)
	}
}

// serve confirms the length of the frames to come and sends each back without its
// masking key, which is zero. Frames have up to 125 bytes.
func serve(conn net.Conn) {
	defer conn.Close()
	length := make([]byte, 4)
	if _, err := io.ReadFull(conn, length); err != nil {
		return
	}
	if _, err := conn.Write(length); err != nil {
		return
	}
	frame := make([]byte, binary.BigEndian.Uint32(length))
	for {
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		frame[1] &^= 0x80
		if _, err := conn.Write(slices.Concat(frame[:2], frame[6:])); err != nil {
			return
		}
	}
}
