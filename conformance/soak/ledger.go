package main

import (
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/goyave-contrib/websocket"
)

// patience bounds every wait for something that must happen.
const patience = 40 * time.Second

// A ledger records what both ends know of a connection, or of a failed attempt. The server finds it
// by its number in the request.
type ledger struct {
	id   uint64
	kind string // of client

	up, down direction // of messages: to the server, to the client

	left  chan struct{} // closed when the client has finished
	ended chan struct{} // closed when the server's end of the connection has ended

	mu       sync.Mutex
	client   weak.Pointer[websocket.Conn] // if the client is one of ours
	status   int                          // of the response to the handshake; 0 if none was read
	code     int                          // of the close frame that the client read
	writeErr error                        // of a write on either end that failed
	told     []error                      // errors passed to OnError

	pings, pongs atomic.Uint64 // of the client
}

func newLedger(id uint64, kind string) *ledger {
	return &ledger{id: id, kind: kind, left: make(chan struct{}), ended: make(chan struct{})}
}

// healthy reports whether neither end makes a mistake, so that nothing may fail.
func (l *ledger) healthy() bool {
	return l.kind == kindHealthy || l.kind == kindSlow || l.kind == kindStream
}

func (l *ledger) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func (l *ledger) answered(status int) { l.set(func() { l.status = status }) }
func (l *ledger) closed(code int)     { l.set(func() { l.code = code }) }
func (l *ledger) tell(err error)      { l.set(func() { l.told = append(l.told, err) }) }

// writeFailed keeps the first error of a write.
func (l *ledger) writeFailed(err error) {
	l.set(func() {
		if l.writeErr == nil {
			l.writeErr = err
		}
	})
}

// judge reports the problems of a connection that has ended.
func (l *ledger) judge(report func(format string, args ...any)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	wrong := func(format string, args ...any) {
		report("%s %d (status %d, close code %d): "+format, append([]any{l.kind, l.id, l.status, l.code}, args...)...)
	}
	if !l.healthy() || l.status != 101 {
		return
	}
	for _, err := range l.told {
		wrong("the controller was told: %v", err)
	}
	down := l.code == websocket.CloseGoingAway
	if l.writeErr != nil && !down {
		wrong("a write failed: %v", l.writeErr)
	}
	if err := l.up.check(down); err != nil {
		wrong("to the server: %v", err)
	}
	if err := l.down.check(false); err != nil {
		wrong("to the client: %v", err)
	}
	if pings, pongs := l.pings.Load(), l.pongs.Load(); pongs > pings || pongs < pings && !down {
		wrong("%d pings, %d pongs", pings, pongs)
	}
}
