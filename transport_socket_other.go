//go:build !unix

package websocket

import (
	"net"
	"syscall"
)

// rawConn returns nil: here, a socket is read from with memory to read into.
func rawConn(net.Conn) syscall.RawConn { return nil }

func (*transport) fillRaw(int) (int, error) { panic("websocket: there is no raw connection") }

func (*transport) arriveRaw(*arrival) (int, error) { panic("websocket: there is no raw connection") }

func (*arrival) read(uintptr) bool { panic("websocket: there is no raw connection") }

func (*transport) writeNow([]byte) int { panic("websocket: there is no raw connection") }
