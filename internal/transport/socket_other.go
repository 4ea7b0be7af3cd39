//go:build !unix

package transport

import (
	"net"
	"syscall"
)

// rawConn returns nil: on this system, a read that waits holds a buffer.
func rawConn(net.Conn) syscall.RawConn { return nil }

type socketRead struct{}

func (*Conn) putSocketRead() {}

func (*Conn) fillRaw(int) (int, error) { panic("websocket: there is no raw connection") }

func (*Conn) arriveRaw(*arrival) (int, error) { panic("websocket: there is no raw connection") }

func (*arrival) read(uintptr) bool { panic("websocket: there is no raw connection") }

func (*Conn) writeNow([]byte) int { panic("websocket: there is no raw connection") }

func (*Conn) tryWrite([]byte) int { panic("websocket: there is no raw connection") }
