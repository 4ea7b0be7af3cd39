package integration_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
)

// A raw client sends a message over TCP, in one frame or in several, and waits for an empty
// one.
func BenchmarkRead(b *testing.B) {
	ways := map[string]func(conn *websocket.Conn) error{
		"ReadMessage": func(conn *websocket.Conn) error { _, _, err := conn.ReadMessage(); return err },
		"ReadSlice":   func(conn *websocket.Conn) error { _, _, err := conn.ReadSlice(); return err },
		"NextReader": func(conn *websocket.Conn) error {
			_, r, err := conn.NextReader()
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			return err
		},
	}
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		for _, kind := range []string{"one", "fragments", "deflated", "deflated fragments"} {
			for _, way := range []string{"ReadMessage", "ReadSlice", "NextReader"} {
				b.Run(fmt.Sprintf("%s/%dB/%s", kind, size, way), func(b *testing.B) {
					u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
						for {
							if err := ways[way](conn); err != nil {
								return err
							}
							if err := conn.WriteMessage(websocket.BinaryMessage, nil); err != nil {
								return err
							}
						}
					}))
					u.Settings.EnableCompression = true
					u.MaxMessageSize = -1
					sent := benchMessage(size, kind)
					conn := benchDial(b, u)
					b.SetBytes(int64(size))
					b.ReportAllocs()
					for b.Loop() {
						if _, err := conn.Write(sent); err != nil {
							b.Fatal(err)
						}
						if _, err := io.ReadFull(conn, make([]byte, 2)); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// benchMessage returns a message of a kind, in frames of 4 KiB if there are several.
func benchMessage(size int, kind string) []byte {
	text := bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog, "), size/45+1)[:size]
	for i := range text {
		if i%37 == 0 {
			text[i] = byte('a' + i*i%26)
		}
	}
	frame := wstest.Frame{Fin: true, Opcode: wstest.OpText, Masked: true, Payload: text}
	if kind == "deflated" || kind == "deflated fragments" {
		frame = testws.Deflated(string(text))
	}
	if kind == "one" || kind == "deflated" {
		return frame.Bytes()
	}
	var stream []byte
	rest := frame.Payload
	for frame.Fin = false; !frame.Fin; frame.RSV, frame.Opcode = 0, wstest.OpContinuation {
		n := min(len(rest), 4<<10)
		frame.Payload, rest = rest[:n], rest[n:]
		frame.Fin = len(rest) == 0
		stream = frame.AppendTo(stream)
	}
	return stream
}

// benchDial connects to a server of its own, with compression.
func benchDial(b *testing.B, handler http.Handler) net.Conn {
	b.Helper()
	s := httptest.NewServer(handler)
	b.Cleanup(s.Close)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	request := benchRequest[:len(benchRequest)-2] + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		b.Fatal(err)
	}
	for head := ""; len(head) < 4 || head[len(head)-4:] != "\r\n\r\n"; {
		var c [1]byte
		if _, err := io.ReadFull(conn, c[:]); err != nil {
			b.Fatal(err)
		}
		head += string(c[:])
	}
	return conn
}

// A server streams messages to a raw client over TCP.
func BenchmarkNextWriter(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20} {
		for _, pieces := range []int{1 << 10, 32 << 10} {
			for _, deflate := range []bool{false, true} {
				for _, way := range []string{"Write", "io.Copy"} {
					b.Run(fmt.Sprintf("%dB/by %d/deflate=%v/%s", size, min(size, pieces), deflate, way), func(b *testing.B) {
						piece := benchMessage(min(size, pieces), "one")
						piece = piece[len(piece)-min(size, pieces):]
						message := bytes.Repeat(piece, size/len(piece))
						run := make(chan int)
						ended := make(chan error)
						u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
							conn.EnableWriteCompression(deflate)
							for range run {
								ended <- func() error {
									w, err := conn.NextWriter(websocket.TextMessage)
									if err != nil {
										return err
									}
									if way == "io.Copy" {
										if _, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(message)}); err != nil {
											return err
										}
										return w.Close()
									}
									for n := 0; n < size; n += len(piece) {
										if _, err := w.Write(piece); err != nil {
											return err
										}
									}
									return w.Close()
								}()
							}
							return nil
						}))
						u.Settings.EnableCompression = true
						conn := benchDial(b, u)
						go func() { _, _ = io.Copy(io.Discard, conn) }()
						b.SetBytes(int64(size))
						b.ReportAllocs()
						for b.Loop() {
							run <- 1
							if err := <-ended; err != nil {
								b.Fatal(err)
							}
						}
						close(run)
					})
				}
			}
		}
	}
}
