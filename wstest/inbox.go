package wstest

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	ws "github.com/gorilla/websocket"
)

// What may wait for the test before a client reads no more.
const (
	inboxMessages = 1024
	inboxBytes    = 1 << 20
)

// A Message is one that a client has received.
type Message struct {
	Type int // ws.TextMessage or ws.BinaryMessage, 1 or 2
	Data []byte
}

// String describes the message, by its start if it is long.
func (m Message) String() string {
	const most = 64
	kind, p, rest := "text", m.Data, ""
	if m.Type == ws.BinaryMessage {
		kind = "binary"
	}
	if len(p) > most {
		p, rest = p[:most], fmt.Sprintf("... (%d bytes)", len(m.Data))
	}
	return fmt.Sprintf("%s %q%s", kind, p, rest)
}

// An inbox is what has come and was not read by the test yet. A call that must wait
// gives up the mutex and looks at everything again after each change.
type inbox struct {
	mu       sync.Mutex
	waiting  []Message
	bytes    int           // of waiting
	onDemand bool          // by ReadOnDemand
	asking   int           // how many calls wait for a message
	end      error         // why nothing more will come
	stopped  bool          // nobody will read any more
	deadline time.Time     // by SetReadDeadline
	limit    int64         // by SetReadLimit
	changed  chan struct{} // closed at the next change; nil while nobody waits
}

// put adds a message when there is room, and reports whether to go on.
func (i *inbox) put(m Message) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for !i.stopped && (len(i.waiting) >= inboxMessages || i.bytes >= inboxBytes) {
		i.wait(time.Time{})
	}
	i.waiting = append(i.waiting, m)
	i.bytes += len(m.Data)
	i.signal()
	return !i.stopped
}

// demanded waits until a message is to be read, and reports whether one is.
func (i *inbox) demanded() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for !i.stopped && i.onDemand && i.asking <= len(i.waiting) {
		i.wait(time.Time{})
	}
	return !i.stopped
}

// next takes the first message, or returns why there is none. It waits until the
// deadline that is returned by until, which is asked again after each change.
func (i *inbox) next(until func() time.Time) (Message, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asking++
	defer func() { i.asking-- }()
	i.signal()
	for {
		deadline := until()
		switch {
		case len(i.waiting) > 0:
			m := i.waiting[0]
			i.waiting = i.waiting[1:]
			i.bytes -= len(m.Data)
			i.signal()
			return m, nil
		case i.end != nil:
			return Message{}, i.end
		case !deadline.IsZero() && !time.Now().Before(deadline):
			return Message{}, os.ErrDeadlineExceeded
		}
		i.wait(deadline)
	}
}

// all takes all messages.
func (i *inbox) all() []Message {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := i.waiting
	i.waiting, i.bytes = nil, 0
	i.signal()
	return all
}

// change has something changed and looked at.
func (i *inbox) change(something func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	something()
	i.signal()
}

// wait gives up the mutex until something changes or the deadline passes. The caller
// holds the mutex, and holds it again after.
func (i *inbox) wait(deadline time.Time) {
	if i.changed == nil {
		i.changed = make(chan struct{})
	}
	changed := i.changed
	i.mu.Unlock()
	defer i.mu.Lock()
	var expired <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case <-changed:
	case <-expired:
	}
}

// signal wakes all that wait. The caller holds the mutex.
func (i *inbox) signal() {
	if i.changed != nil {
		close(i.changed)
		i.changed = nil
	}
}

// timeout is the error of a read whose deadline passed, as package net has it.
func timeout(conn *ws.Conn) error {
	local := conn.LocalAddr()
	return &net.OpError{Op: "read", Net: local.Network(), Source: local, Addr: conn.RemoteAddr(), Err: os.ErrDeadlineExceeded}
}
