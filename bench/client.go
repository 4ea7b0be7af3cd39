package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Frame headers, RFC 6455, 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA

	finalBit      = 0x80
	compressedBit = 0x40 // RFC 7692, 6
	maskBit       = 0x80
)

// A message is encoded once and sent many times. It knows its expected reply.
type message struct {
	wire    []byte // one frame, masked
	op      byte
	payload []byte
	window  []byte // what the server has sent before the reply and may refer to
}

// newMessage encodes a frame of a client; compressed may be nil.
func newMessage(op byte, payload, compressed []byte, key [4]byte) message {
	first, content := finalBit|op, payload
	if compressed != nil {
		first, content = first|compressedBit, compressed
	}
	return message{wire: appendFrame(nil, first, content, key), op: op, payload: payload}
}

// appendFrame appends a frame, masked with key (RFC 6455, 5.3).
func appendFrame(b []byte, first byte, payload []byte, key [4]byte) []byte {
	b = append(b, first)
	switch n := len(payload); {
	case n <= 125:
		b = append(b, maskBit|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, maskBit|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, maskBit|127), uint64(n))
	}
	b = append(b, key[:]...)
	start := len(b)
	b = append(b, payload...)
	for i := range payload {
		b[start+i] ^= key[i%4]
	}
	return b
}

// A client is one connection of the load. It implements RFC 6455 itself, so that no
// implementation is measured against its own client. One goroutine may read, and one write.
type client struct {
	nc       net.Conn
	r        *bufio.Reader
	deflate  bool
	window   []byte // what the server may refer to in the next message
	payload  []byte // of the last message
	inflated []byte
	wireSize int // of the last message's frames
}

// dial connects and, unless the server is raw TCP, performs the opening handshake. frame is the
// length of each frame that will be sent, which a raw TCP server must know.
func dial(ctx context.Context, addr string, raw bool, m mode, frame int) (*client, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "tcp4", addr)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = nc.SetDeadline(deadline) // if it fails, so does the next read
	}
	c := &client{nc: nc, r: bufio.NewReader(nc)}
	if raw {
		err = c.announce(frame)
	} else {
		err = c.upgrade(addr, m)
	}
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	return c, nil
}

// announce sends the length of later frames to a raw TCP server and waits for its answer.
func (c *client) announce(frame int) error {
	length := binary.BigEndian.AppendUint32(nil, uint32(frame))
	if _, err := c.nc.Write(length); err != nil {
		return err
	}
	answer := make([]byte, len(length))
	if _, err := io.ReadFull(c.r, answer); err != nil {
		return err
	}
	if !bytes.Equal(answer, length) {
		return errors.New("raw TCP does not confirm the length")
	}
	return nil
}

func (c *client) upgrade(addr string, m mode) error {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	request := "GET / HTTP/1.1\r\nHost: " + addr + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n"
	if m.Compresses() {
		request += "Sec-WebSocket-Extensions: " + offer(m) + "\r\n"
	}
	if _, err := io.WriteString(c.nc, request+"\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return fmt.Errorf("read the response: %w", err)
	}
	_ = response.Body.Close() // a 101 has no body; after any other status the connection is not used
	accept := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	switch {
	case response.StatusCode != http.StatusSwitchingProtocols:
		return fmt.Errorf("upgrade: status %s", response.Status)
	case response.Header.Get("Sec-WebSocket-Accept") != base64.StdEncoding.EncodeToString(accept[:]):
		return errors.New("upgrade: wrong Sec-WebSocket-Accept")
	}
	c.deflate = m.Compresses()
	return checkExtensions(m, response.Header.Get("Sec-WebSocket-Extensions"))
}

// read returns the next message; the payload is valid until the next call. It
// answers pings. A close frame is an error.
func (c *client) read() (op byte, payload []byte, err error) {
	c.payload, c.wireSize = c.payload[:0], 0
	compressed := false
	for {
		first, err := c.readFrame()
		if err != nil {
			return 0, nil, err
		}
		switch frameOp := first & 0xF; {
		case frameOp == opContinuation && op != 0 && first&compressedBit == 0:
		case (frameOp == opText || frameOp == opBinary) && op == 0:
			op, compressed = frameOp, first&compressedBit != 0
		default:
			return 0, nil, fmt.Errorf("frame %#x is not expected here", first)
		}
		if first&finalBit != 0 {
			break
		}
	}
	if compressed != c.deflate {
		return 0, nil, fmt.Errorf("compressed: %t, agreed on: %t", compressed, c.deflate)
	}
	if !compressed {
		return op, c.payload, nil
	}
	c.inflated, err = inflate(c.inflated[:0], c.payload, c.window)
	return op, c.inflated, err
}

// readFrame appends the payload of the next data frame to c.payload and returns the first byte
// of the frame.
func (c *client) readFrame() (first byte, err error) {
	for {
		first, length, err := c.readHeader()
		if err != nil {
			return 0, err
		}
		if first&0xF < opClose {
			from := len(c.payload)
			c.payload = grow(c.payload, from+length)
			c.wireSize += headerLength(length) + length
			_, err = io.ReadFull(c.r, c.payload[from:])
			return first, err
		}
		control := make([]byte, length)
		if _, err := io.ReadFull(c.r, control); err != nil {
			return 0, err
		}
		switch first & 0xF {
		case opPing:
			if _, err := c.nc.Write(appendFrame(nil, finalBit|opPong, control, [4]byte{1, 2, 3, 4})); err != nil {
				return 0, err
			}
		case opClose:
			return 0, closedError(control)
		}
	}
}

func grow(b []byte, n int) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	grown := make([]byte, n)
	copy(grown, b)
	return grown
}

// A closedError is the payload of the close frame that ended a connection.
type closedError []byte

func (e closedError) Error() string { return fmt.Sprintf("closed by the server: %q", []byte(e)) }

func (c *client) readHeader() (first byte, length int, err error) {
	var b [8]byte
	if _, err := io.ReadFull(c.r, b[:2]); err != nil {
		return 0, 0, err
	}
	first = b[0]
	switch allowed := byte(finalBit | compressedBit | 0xF); {
	case first&^allowed != 0:
		return 0, 0, fmt.Errorf("reserved bits in frame %#x", first)
	case b[1]&maskBit != 0:
		return 0, 0, errors.New("the server's frame is masked")
	}
	switch n := int(b[1]); n {
	case 126:
		_, err = io.ReadFull(c.r, b[:2])
		length = int(binary.BigEndian.Uint16(b[:]))
	case 127:
		_, err = io.ReadFull(c.r, b[:])
		length = int(binary.BigEndian.Uint64(b[:]))
	default:
		length = n
	}
	if err == nil && (length < 0 || length > 2*maxMessageSize) {
		err = fmt.Errorf("a frame of %d bytes", length)
	}
	return first, length, err
}

// headerLength returns the length of the header of a server's frame with so long a payload.
func headerLength(payload int) int {
	switch {
	case payload <= 125:
		return 2
	case payload <= 0xffff:
		return 4
	default:
		return 10
	}
}

// expect reads one message and checks that it is the reply to m.
func (c *client) expect(m *message) error {
	c.window = m.window
	op, payload, err := c.read()
	switch {
	case err != nil:
		return fmt.Errorf("read a reply of %d bytes: %w", len(m.payload), err)
	case op != m.op:
		return fmt.Errorf("reply of type %d to a message of type %d", op, m.op)
	case !bytes.Equal(payload, m.payload):
		return fmt.Errorf("wrong reply: %d bytes to a message of %d", len(payload), len(m.payload))
	}
	return nil
}

// exchange sends a message and waits for the reply.
func (c *client) exchange(m *message) error {
	if _, err := c.nc.Write(m.wire); err != nil {
		return err
	}
	return c.expect(m)
}

// remember adds a message to what the server may refer to in the next one.
func (c *client) remember(payload []byte) {
	const size = 1 << maxWindowBits
	if len(c.window)+len(payload) > 2*size {
		c.window = c.window[:copy(c.window, c.window[len(c.window)-size:])]
	}
	c.window = append(c.window, payload...)
}

// ping sends a ping and waits for the pong. No other message may be in flight.
func (c *client) ping() error {
	data := []byte("still there")
	if _, err := c.nc.Write(appendFrame(nil, finalBit|opPing, data, [4]byte{9, 8, 7, 6})); err != nil {
		return err
	}
	first, length, err := c.readHeader()
	if err != nil {
		return err
	}
	answer := make([]byte, length)
	if _, err := io.ReadFull(c.r, answer); err != nil {
		return err
	}
	if first != finalBit|opPong || !bytes.Equal(answer, data) {
		return fmt.Errorf("no pong but frame %#x, %q", first, answer)
	}
	return nil
}

// hangUp closes the socket without a closing handshake.
func (c *client) hangUp() { _ = c.nc.Close() }

// closeProperly performs the closing handshake: the server must answer with code 1000 and close
// the socket.
func (c *client) closeProperly() error {
	defer c.hangUp()
	normal := []byte{1000 >> 8, 1000 & 0xff}
	if _, err := c.nc.Write(appendFrame(nil, finalBit|opClose, normal, [4]byte{5, 6, 7, 8})); err != nil {
		return err
	}
	_, _, err := c.read()
	var closed closedError
	switch {
	case !errors.As(err, &closed):
		return fmt.Errorf("no close frame in answer: %w", err)
	case len(closed) < 2 || !bytes.Equal(closed[:2], normal):
		return fmt.Errorf("another close code: %w", err)
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(10 * time.Second)) // if it fails, so does the read
	if _, err := c.r.ReadByte(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the closing handshake: %w", err)
	}
	return nil
}
