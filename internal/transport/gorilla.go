package transport

import (
	"errors"
	"io"
	"net"
	"time"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// A GorillaView is the net.Conn that gorilla gets, for its opening handshake and for code
// that was written for its connection. Gorilla reads whole, plain frames from it, whatever
// was agreed on, and its frames are taken apart again. It may be used as gorilla's
// connection may: by one goroutine that reads, and one that writes.
type GorillaView Conn

// gorillaState is what is known of what gorilla reads and writes.
type gorillaState struct {
	read  viewedMessage
	write viewedFrame
}

// ensureGorilla is that of the connection, most of which do without.
func (t *Conn) ensureGorilla() *gorillaState {
	if t.gorilla.Load() == nil {
		t.gorilla.CompareAndSwap(nil, new(gorillaState))
	}
	return t.gorilla.Load()
}

// A viewedMessage is a message on its way to gorilla, in frames. It is the reading
// goroutine's.
type viewedMessage struct {
	messageReader
	began bool          // and is not at its end
	piece bufpool.Chunk // memory for the payload of a frame

	header  [wire.MaxHeaderSize]byte
	rest    []byte // of the header that is to be read
	payload []byte // that is, behind it
}

// Read reads on in a frame, and begins another one where that has ended. The header comes
// by itself, so that the payload goes past gorilla's buffer.
func (v *GorillaView) Read(p []byte) (int, error) {
	t := (*Conn)(v)
	m := &t.ensureGorilla().read
	if len(m.rest)+len(m.payload) == 0 {
		if err := t.viewFrame(m); err != nil {
			return 0, err
		}
	}
	if len(m.rest) > 0 {
		n := copy(p, m.rest)
		m.rest = m.rest[n:]
		return n, nil
	}
	n := copy(p, m.payload)
	m.payload = m.payload[n:]
	return n, nil
}

// viewFrame makes a frame of what comes next of a message. One that nobody reads any more,
// because the engine was asked for the next one, ends at once.
func (t *Conn) viewFrame(m *viewedMessage) error {
	if err := t.ReadFailure(); err != nil {
		return err
	}
	opcode, n, last := byte(wire.OpContinuation), 0, true
	if !m.began {
		if err := t.nextMessage(&m.messageReader); err != nil {
			return err
		}
		m.began, opcode = true, byte(m.messageType) //nolint:gosec // as it was read
	}
	if t.current == &m.messageReader {
		p, err := m.next(&m.piece)
		if err != nil && err != io.EOF { //nolint:errorlint // a wrapped one is no end
			return err
		}
		m.payload, n, last = p, len(p), err != nil
	}
	if last {
		m.began = false
		m.piece.Release()
	}
	m.rest = wire.AppendHeader(m.header[:0], opcode, n)
	if !last {
		m.rest[0] &^= wire.BitFin
	}
	if !t.client {
		m.rest[1] |= wire.BitMask
		m.rest = append(m.rest, 0, 0, 0, 0) // the zero key leaves the payload as it is
	}
	return nil
}

// Close is what gorilla's Close and its failed handshakes come to: the
// application ends the connection without a closing handshake.
func (v *GorillaView) Close() error {
	t := (*Conn)(v)
	t.FindPeerClose(CloseGrace)
	return t.closeLocal()
}

// LocalAddr is never nil.
func (v *GorillaView) LocalAddr() net.Addr { return (*Conn)(v).localAddr() }

// RemoteAddr is never nil, either.
func (v *GorillaView) RemoteAddr() net.Addr { return (*Conn)(v).remoteAddr() }

// SetDeadline sets both deadlines.
func (v *GorillaView) SetDeadline(d time.Time) error {
	return errors.Join(v.SetReadDeadline(d), v.SetWriteDeadline(d))
}

// SetReadDeadline sets the caller's deadline for reads.
func (v *GorillaView) SetReadDeadline(d time.Time) error {
	t := (*Conn)(v)
	if !t.open {
		return t.nc.SetReadDeadline(d)
	}
	return t.SetReadDeadline(d)
}
