package wstest

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	ws "github.com/gorilla/websocket"
)

// The numbers of unread messages and bytes at which a client stops reading.
const (
	inboxMessages = 1024
	inboxBytes    = 1 << 20
)

// A Message is a received message.
type Message struct {
	Type int // ws.TextMessage or ws.BinaryMessage, 1 or 2
	Data []byte
}

// String describes the message for a test's log. It truncates long messages.
func (m Message) String() string {
	const maxShown = 64
	kind, p, rest := "text", m.Data, ""
	if m.Type == ws.BinaryMessage {
		kind = "binary"
	}
	if len(p) > maxShown {
		p, rest = p[:maxShown], fmt.Sprintf("... (%d bytes)", len(m.Data))
	}
	return fmt.Sprintf("%s %q%s", kind, p, rest)
}

// An inbox contains the messages that the test has not read yet. A call that must wait releases the
// mutex and checks its condition again after each change.
type inbox struct {
	mu       sync.Mutex
	waiting  []Message
	bytes    int           // of waiting
	onDemand bool          // Options.ReadOnDemand
	readers  int           // the number of calls of next
	end      error         // why no more messages will arrive
	stopped  bool          // the test has ended
	deadline time.Time     // of SetReadDeadline
	limit    int64         // of SetReadLimit
	changed  chan struct{} // closed at the next change; nil while no call waits
}

// put waits for room, adds a message, and reports whether to go on reading.
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

// demanded waits until the client should read a message. It returns false when the test has ended.
func (i *inbox) demanded() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	for !i.stopped && i.onDemand && i.readers <= len(i.waiting) {
		i.wait(time.Time{})
	}
	return !i.stopped
}

// next removes and returns the first message, or returns why there is none. It waits until the
// deadline that until returns; it calls until again after each change.
func (i *inbox) next(until func() time.Time) (Message, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.readers++
	defer func() { i.readers-- }()
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

// all removes and returns all messages.
func (i *inbox) all() []Message {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := i.waiting
	i.waiting, i.bytes = nil, 0
	i.signal()
	return all
}

// change calls f with the mutex held and wakes all waiting calls.
func (i *inbox) change(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
	i.signal()
}

// wait releases the mutex, waits for a change or the deadline, and acquires the mutex again. The
// caller holds the mutex.
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

// signal wakes all waiting calls. The caller holds the mutex.
func (i *inbox) signal() {
	if i.changed != nil {
		close(i.changed)
		i.changed = nil
	}
}

// timeout returns the error that package net returns for a read after its deadline.
func timeout(conn *ws.Conn) error {
	local := conn.LocalAddr()
	return &net.OpError{Op: "read", Net: local.Network(), Source: local, Addr: conn.RemoteAddr(), Err: os.ErrDeadlineExceeded}
}
