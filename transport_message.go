package websocket

// A frame's length alone claims no more than trusted bytes of memory. For more,
// a part of the payload must have come, and this many times it is given.
const (
	trusted     = 64 << 10
	trustFactor = 16
)

// readWhole reads the next message without gorilla where that is one frame,
// neither fragmented nor compressed. Otherwise it returns none, and the frame is
// gorilla's to read. Text is validated where that is asked for.
func (t *transport) readWhole(validate bool) (messageType int, p []byte, err error) {
	messageType, p, err = t.readWholeLocked(validate)
	if err != nil {
		return noMessage, nil, t.readEnded(err)
	}
	return messageType, p, nil
}

func (t *transport) readWholeLocked(validate bool) (messageType int, p []byte, err error) {
	if !t.lockRead() {
		return noMessage, nil, nil
	}
	defer t.unlockRead()
	if t.gate != 0 || t.reading.err != nil || t.isClosed() {
		return noMessage, nil, nil
	}
	inMessage := t.fragmented
	h, err := t.nextFrame()
	switch {
	case err != nil:
		return noMessage, nil, err
	case inMessage, !h.fin, h.control(), h.rsv != 0:
		t.gate = uint64(h.size) + h.length
		return noMessage, nil, nil
	}
	t.buffer.r += h.size
	p, err = t.payload(h, validate && h.opcode == opText)
	t.cork.more.Store(err == nil && t.buffer.hasFrame())
	return int(h.opcode), p, err
}

// payload reads what follows a header, to its end.
func (t *transport) payload(h frameHeader, validate bool) ([]byte, error) {
	length := int(h.length) // a limit, or at least memory, bounds it
	var text utf8Validator
	p := make([]byte, min(length, trusted))
	for n := 0; n < length; {
		if n == len(p) {
			grown := make([]byte, min(length, n*trustFactor))
			copy(grown, p)
			p = grown
		}
		m, err := t.receive(p[n:])
		if err != nil {
			t.gate = uint64(length - n) // the closing handshake goes on behind it
			return nil, err
		}
		mask(p[n:n+m], rotated(h.key, n))
		if validate && !text.valid(p[n:n+m]) {
			return nil, t.refuse(errInvalidText)
		}
		n += m
	}
	if validate && !text.complete() {
		return nil, t.refuse(errInvalidText)
	}
	return p, nil
}

// receive reads some bytes to where they are wanted: what is in the buffer and,
// when that is empty, what the socket has.
func (t *transport) receive(p []byte) (int, error) {
	n := copy(p, t.buffer.bytes())
	t.buffer.r += n
	if n == 0 && len(p) > 0 {
		t.uncorkBeforeWaiting()
		var err error
		if n, err = t.readSocket(p); n == 0 {
			return 0, t.readFailed(err)
		}
	}
	return n, nil
}
