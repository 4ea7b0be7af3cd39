package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"

	ws "github.com/gorilla/websocket"
)

// A message is a line, then a body. The line has the message's stream, its number in the stream and
// a checksum of all. A stream has the messages of one writer.
func message(stream string, number uint64, body []byte) []byte {
	return fmt.Appendf(nil, "%s %d %08x\n%s", stream, number, checksum(stream, number, body), body)
}

func checksum(stream string, number uint64, body []byte) uint32 {
	head := binary.BigEndian.AppendUint64([]byte(stream), number)
	return crc32.Update(crc32.ChecksumIEEE(head), crc32.IEEETable, body)
}

// goodbye is the last message of a client.
const goodbye = "goodbye"

// A direction records the messages of one connection in one direction.
type direction struct {
	mu       sync.Mutex
	sent     map[string]uint64 // by stream
	received map[string]uint64

	announcement uint64 // number of the next broadcast message
}

// next returns the number of the next message of a stream. Only its writer may call it.
func (d *direction) next(stream string) uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sent[stream]
}

// wrote counts a message that was written.
func (d *direction) wrote(stream string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.sent == nil {
		d.sent = make(map[string]uint64)
	}
	d.sent[stream]++
}

// arrived checks that a message is complete and the next one of its stream.
func (d *direction) arrived(p []byte) error {
	head, body, ok := strings.Cut(string(p), "\n")
	var stream string
	var number uint64
	var sum uint32
	if _, err := fmt.Sscanf(head, "%s %d %x", &stream, &number, &sum); !ok || err != nil {
		return fmt.Errorf("no message of ours: %.60q", p)
	}
	if sum != checksum(stream, number, []byte(body)) {
		return fmt.Errorf("message %s/%d of %d bytes: wrong checksum", stream, number, len(p))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.received == nil {
		d.received = make(map[string]uint64)
	}
	if want := d.received[stream]; number != want {
		return fmt.Errorf("message %s/%d arrived, want %s/%d", stream, number, stream, want)
	}
	d.received[stream]++
	return nil
}

// announced checks that a broadcast message follows the one before. The first may
// have any number.
func (d *direction) announced(p []byte) error {
	var number uint64
	if _, err := fmt.Sscanf(string(p), "broadcast %d", &number); err != nil {
		return fmt.Errorf("no message of ours: %.60q", p)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.received == nil {
		d.received = make(map[string]uint64)
	}
	if d.received["broadcast"] == 0 {
		d.announcement = number
	}
	d.received["broadcast"]++
	if number != d.announcement {
		return fmt.Errorf("broadcast %d arrived, want %d", number, d.announcement)
	}
	d.announcement++
	return nil
}

// check compares both ends of a connection that has ended. If the receiver had stopped reading, the
// last messages may be missing.
func (d *direction) check(mayMiss bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for stream, sent := range d.sent {
		if received := d.received[stream]; received > sent || received < sent && !mayMiss {
			return fmt.Errorf("stream %s: %d messages were sent, %d arrived", stream, sent, received)
		}
	}
	for stream, received := range d.received {
		if received > d.sent[stream] {
			return errors.New("messages that were never sent: stream " + stream)
		}
	}
	return nil
}

func (d *direction) total() (sent, received uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range d.sent {
		sent += n
	}
	for _, n := range d.received {
		received += n
	}
	return sent, received
}

// alphabet has characters of all lengths in UTF-8.
var alphabet = []string{"a", "e", " ", "é", "ß", "日", "本", "😀"}

// body returns the body of a message, mostly a small one, sometimes a large one.
func body(random *rand.Rand, messageType int) []byte {
	most := []int{10, 120, 200, 1000, 5000}[random.IntN(5)]
	switch random.IntN(60) {
	case 0:
		most = 300_000
	case 1, 2, 3:
		most = 70_000
	}
	size := random.IntN(most)
	p := make([]byte, 0, size+8)
	for len(p) < size {
		if messageType == ws.TextMessage {
			p = append(p, alphabet[random.IntN(len(alphabet))]...)
		} else {
			p = binary.BigEndian.AppendUint64(p, random.Uint64())
		}
	}
	return p
}

func messageType(random *rand.Rand) int { return ws.TextMessage + random.IntN(2) }

// A tally counts by name. Any number of goroutines may use it.
type tally struct {
	mu     sync.Mutex
	counts map[string]uint64
}

func (t *tally) add(name string, n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = make(map[string]uint64)
	}
	t.counts[name] += n
}

// problems collects what is wrong. It counts all problems and keeps some.
type problems struct {
	n     atomic.Int64
	mu    sync.Mutex
	first []string
}

func (p *problems) add(format string, args ...any) {
	p.n.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.first) < 20 {
		p.first = append(p.first, fmt.Sprintf(format, args...))
	}
}

func (p *problems) count() int64 { return p.n.Load() }

func (p *problems) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("%d problems:\n\t%s", p.n.Load(), strings.Join(p.first, "\n\t"))
}
