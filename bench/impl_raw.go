package main

import (
	"encoding/binary"
	"io"
	"net"
)

const rawName = "raw TCP"

var _ = register(implementation{
	name: rawName,
	config: "no WebSocket at all: it is told the length of a frame once, reads so many bytes, moves the header over " +
		"the masking key (which is zero here) and writes the rest back, one write for all whole frames of a read",
	raw:   true,
	lacks: lackedByRaw(),
	serve: serveRaw,
})

func lackedByRaw() map[mode]string {
	const why = "it does not look at the bytes"
	lacked := withoutContext(why)
	lacked[deflate] = why
	return lacked
}

func serveRaw(l net.Listener, m mode) error {
	var conns set[net.Conn]
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		conns.add(nc)
		go func() { // ends with its socket, at the latest with the process
			defer func() { _ = nc.Close() }()
			defer conns.remove(nc)
			self := []net.Conn{nc}
			targets := func() []net.Conn { return self }
			if m == broadcast {
				targets = conns.all
			}
			_ = rawLoop(nc, targets) // the peer is gone
		}()
	}
}

const maskingKeySize = 4

// rawLoop reads the length of all frames, then answers frames until the peer is gone.
func rawLoop(nc net.Conn, targets func() []net.Conn) error {
	var length [4]byte
	if _, err := io.ReadFull(nc, length[:]); err != nil {
		return err
	}
	if _, err := nc.Write(length[:]); err != nil {
		return err
	}
	frame := int(binary.BigEndian.Uint32(length[:]))
	header := headerSize(frame)
	buf := make([]byte, max(frame, 16<<10)) // room for a burst of small ones
	held := 0
	for {
		n, err := io.ReadAtLeast(nc, buf[held:], max(frame-held, 1))
		if err != nil {
			return err
		}
		held += n
		whole := held / frame
		if whole == 0 {
			continue
		}
		rest := buf[whole*frame : held]
		answer := rawAnswer(buf[:whole*frame], frame, header)
		for _, to := range targets() {
			if _, err := to.Write(answer); err != nil && to == nc {
				return err
			}
		}
		held = copy(buf, rest)
	}
}

// headerSize returns the size of the header of a client's frame of the given size, without the
// masking key.
func headerSize(frame int) int {
	switch {
	case frame <= 2+maskingKeySize+125:
		return 2
	case frame <= 4+maskingKeySize+0xffff:
		return 4
	default:
		return 10
	}
}

// rawAnswer turns frames of a client, with a masking key of zero, into frames of a server. It
// removes the keys in place and does not move the last payload, so that a single large one is
// not copied.
func rawAnswer(frames []byte, frame, header int) []byte {
	end := len(frames)
	to := end
	for at := end - frame; at >= 0; at -= frame {
		payload := frame - header - maskingKeySize
		to -= payload
		if to != at+header+maskingKeySize {
			copy(frames[to:], frames[at+header+maskingKeySize:at+frame])
		}
		to -= header
		copy(frames[to:], frames[at:at+header])
		frames[to+1] &^= 0x80 // no longer masked
	}
	return frames[to:]
}
