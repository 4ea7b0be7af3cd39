//go:build !unix

package transport

import (
	"net"
	"syscall"
)

// rawConn returns nil: here, a socket is read from with memory to read into.
func rawConn(net.Conn) syscall.RawConn { return nil }

func (*Conn) fillRaw(int) (int, error) { panic("websocket: there is no raw connection") }

func (*Conn) arriveRaw(*arrival) (int, error) { panic("websocket: there is no raw connection") }

func (*arrival) read(uintptr) bool { panic("websocket: there is no raw connection") }

func (*Conn) writeNow([]byte) int { panic("websocket: there is no raw connection") }
