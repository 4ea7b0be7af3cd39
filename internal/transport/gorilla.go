package transport

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"

	"github.com/goyave-contrib/websocket/internal/bufpool"
	"github.com/goyave-contrib/websocket/internal/wire"
)

// A GorillaView is the net.Conn that gorilla's connection is made of, for code that was written
// for that connection. Gorilla reads uncompressed frames from it, even if compression was agreed
// on. The frames that it writes are parsed, and written by the engine. One goroutine at a time may
// read, and one may write.
//
// Before Open, what gorilla writes is dropped, and its deadlines have no effect: to make its
// connection, gorilla must perform an opening handshake, but the engine does the real one.
type GorillaView Conn

// GorillaReadBuffer is the size in bytes of the read buffer that gorilla's connection needs on top of
// a view: the smallest that bufio makes. gorilla reads only the headers of data frames through it
// and everything else past it.
const GorillaReadBuffer = 16

// gorillaState is the state of what gorilla reads and writes.
type gorillaState struct {
	read  viewedMessage
	write viewedFrame
}

// ensureGorilla returns the state, which is made when it is first needed: most connections need
// none.
func (t *Conn) ensureGorilla() *gorillaState {
	return t.gorilla.Get(func() *gorillaState { return new(gorillaState) })
}

// A viewedMessage is a message that gorilla reads, as frames. Only the reading goroutine uses it.
type viewedMessage struct {
	messageReader
	began bool          // its first frame was made, and not its last
	piece bufpool.Chunk // memory for the payload of a frame

	header  [wire.MaxHeaderSize]byte
	rest    []byte // of header: not read yet
	payload []byte // not read yet
}

// Read reads from the frame under way, or from a new one if that has ended. The first Read of a
// frame returns its header alone, so that gorilla reads the payload without its own buffer.
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

// viewFrame makes a frame of the next part of a message. If the application has asked the engine
// for another message in the meantime, the message ends at once.
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
		m.rest = append(m.rest, 0, 0, 0, 0) // a mask of zeros leaves the payload as it is
	}
	return nil
}

// keepViewed copies what gorilla has not read yet of the frame under way, if the inflater of the
// message m has it: the inflater is about to be released, and gorilla knows the length of the frame.
func (t *Conn) keepViewed(m *messageReader) {
	if g := t.gorilla.Made(); g != nil && m == &g.read.messageReader && m.inflater != nil {
		g.read.payload = bytes.Clone(g.read.payload)
	}
}

// Close closes the connection without a closing handshake. Gorilla calls it when the application
// calls its Close.
func (v *GorillaView) Close() error {
	t := (*Conn)(v)
	t.FindPeerClose(CloseGrace)
	return t.closeLocal()
}

// LocalAddr returns the local address, which is never nil.
func (v *GorillaView) LocalAddr() net.Addr { return (*Conn)(v).localAddr() }

// RemoteAddr returns the peer's address, which is never nil.
func (v *GorillaView) RemoteAddr() net.Addr { return (*Conn)(v).remoteAddr() }

// SetDeadline is SetReadDeadline and SetWriteDeadline.
func (v *GorillaView) SetDeadline(d time.Time) error {
	return errors.Join(v.SetReadDeadline(d), v.SetWriteDeadline(d))
}

// SetReadDeadline sets the caller's deadline for reads, as Conn.SetReadDeadline does.
func (v *GorillaView) SetReadDeadline(d time.Time) error {
	t := (*Conn)(v)
	if !t.open {
		return nil
	}
	return t.SetReadDeadline(d)
}
