// Package conformance_test checks an endpoint against RFC 6455 and RFC 7692, with raw bytes on
// real sockets. The cases are rows of tables, in groups, and each row runs on every variant of
// the endpoint. docs/conformance-results.md lists the rows.
package conformance_test

import (
	"cmp"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// atOnce bounds the time for something that should arrive at once, on a busy machine.
	atOnce = 700 * time.Millisecond
	// lingering is how long the server may go on reading after a protocol violation, so that no
	// reset of the connection discards its close frame on the way.
	lingering = time.Second
	// patience bounds every wait. It is much longer than atOnce, and far below closeTimeout.
	patience = 10 * time.Second
)

// A group is a table of rows.
type group struct {
	name string
	rfc  int // number of the RFC of the sections in rows
	rows []row
}

// groups returns the cases, grouped as the Autobahn test suite groups its own.
var groups = sync.OnceValue(func() []group {
	return []group{
		{name: "Opening handshake", rfc: 6455, rows: openings()},
		{name: "Framing and lengths", rfc: 6455, rows: framing()},
		{name: "Pings and pongs", rfc: 6455, rows: pings()},
		{name: "Reserved bits and opcodes", rfc: 6455, rows: reserved()},
		{name: "Fragmentation", rfc: 6455, rows: fragmentation()},
		{name: "UTF-8", rfc: 6455, rows: texts()},
		{name: "Closing", rfc: 6455, rows: closings()},
		{name: "Limits", rfc: 6455, rows: limits()},
		{name: "Negotiation of permessage-deflate", rfc: 7692, rows: offers()},
		{name: "permessage-deflate", rfc: 7692, rows: deflate()},
		{name: "Context takeover", rfc: 7692, rows: takeovers()},
	}
})

// A row is one case: what the client sends, and what it must receive.
type row struct {
	name string
	rfc  string // section
	send sent
	want want

	chop    int                 // bytes to send at a time; 0 for all
	hangsUp bool                // the client then closes its direction of the socket
	goodbye bool                // the server closes the connection, and send answers its frame
	offer   string              // of extensions, instead of the variant's
	answer  string              // to offer
	refused int                 // the status of a refused handshake; 0 for an upgrade
	request func(string) string // changes the request of the handshake; may be nil
	in      func(*variant) bool // whether the row runs on a variant; nil: on all
	why     string              // the reason for the behavior, where the RFC leaves a choice
}

// on reports whether the row runs on a variant.
func (r *row) on(v *variant) bool { return r.in == nil || r.in(v) }

// A want is what the client must receive.
type want struct {
	back []frame // whole messages and control frames
	end  end
	code int // of the close frame
}

// An end is how the connection must end.
type end int

const (
	staysOpen end = iota
	closes        // the server answers the close frame and closes the socket at once
	fails         // the server sends a close frame at once, soon ends its data, then closes the socket
	drops         // the server closes the socket at once
)

// back wants the given frames, and that the connection stays open.
func back(frames ...frame) want { return want{back: frames} }

func (w want) thenClose(code int) want { w.end, w.code = closes, code; return w }
func (w want) thenFail(code int) want  { w.end, w.code = fails, code; return w }

func closed(code int) want { return back().thenClose(code) }
func failed(code int) want { return back().thenFail(code) }

// TestConformance runs each row on each variant. Only a few run at a time, so that they do not
// slow each other down; a row that only waits for the end of the socket does not count. If
// something is late all the same, the row runs again, alone.
func TestConformance(t *testing.T) {
	var servers []*server
	for _, v := range variants() {
		servers = append(servers, newServer(t, v))
	}
	busy := make(chan struct{}, 2*runtime.GOMAXPROCS(0))
	var running sync.WaitGroup
	results := newResults()
	for _, g := range groups() {
		for i := range g.rows {
			row := &g.rows[i]
			wire := row.send.wire()
			for _, s := range servers {
				if !row.on(s.variant) {
					continue
				}
				name := g.name + "/" + row.name + "/" + s.variant.name
				again := func() bool {
					return t.Run(name+"/again", func(t *testing.T) { results.pass(g.name, row.name, row.runAlone(t, s, wire)) })
				}
				running.Go(func() {
					busy <- struct{}{}
					results.alone.RLock()
					free := sync.OnceFunc(func() { results.alone.RUnlock(); <-busy })
					defer results.repeat(muchLate)
					defer free()
					if results.hopeless.Load() {
						return
					}
					t.Run(name, func(t *testing.T) {
						if waited := row.run(t, s, wire, free); waited < atOnce {
							results.pass(g.name, row.name, waited)
						} else {
							results.late(again)
						}
					})
				})
			}
		}
	}
	running.Wait()
	results.repeat(1)
	require.False(t, results.hopeless.Load(), "a row was late again and again")
	t.Logf("everything that should arrive at once took at most %v, with a second run of %d cases", results.slowest, results.repeated)
	if *write {
		results.write(t)
	}
}

// runAlone runs the row until nothing is late, five times at most: other processes may make it late,
// but not again and again. It returns what run does.
func (r *row) runAlone(t *testing.T, s *server, wire []byte) (waited time.Duration) {
	for range 5 {
		if waited = r.run(t, s, wire, func() {}); waited < atOnce {
			break
		}
	}
	require.Less(t, waited, atOnce)
	return waited
}

// run runs the row on a server; wire is what it sends. It calls waits when it only waits from
// then on. It returns the longest time of something that should arrive at once.
func (r *row) run(t *testing.T, s *server, wire []byte, waits func()) time.Duration {
	c := dial(t, s, r)
	if r.refused != 0 {
		return c.waited
	}
	if r.goodbye {
		c.send(text("hello"))
		c.expect(text("hello"))
		c.expectClose(1000)
	}
	sending := c.sendChopped(wire, cmp.Or(r.chop, 64<<20), r.hangsUp)
	for _, f := range r.want.back {
		c.expect(f)
	}
	end, code := r.want.end, r.want.code
	switch {
	case end == staysOpen:
		sending.Wait()
		c.send(text("still here?"))
		c.expect(text("still here?"))
		c.send(closing(1000, "bye"))
		end, code = closes, 1000
		c.expectAnswer(code)
	case r.goodbye:
	case end == closes:
		c.expectAnswer(code)
	case end == fails:
		c.expectClose(code)
		waits()
		sending.Wait()
		// The server waits for this frame. It can't see it behind an incomplete one; then the
		// time for which it goes on reading ends the wait.
		if !r.hangsUp {
			c.send(closing(code, ""))
		}
	}
	c.expectEnd(end)
	waits()

	// The client has not closed its socket. From now on it neither sends nor reads.
	allowed := time.Duration(0)
	if end == fails {
		allowed = lingering
	}
	select {
	case ending := <-c.ended:
		if code != 0 {
			assert.Equal(t, code, ending.Code)
		}
	case <-time.After(patience):
		require.Fail(t, "Serve has not returned")
	}
	c.measureWait(allowed)
	sending.Wait()
	require.Eventually(t, func() bool {
		_, err := c.socket.Write([]byte{0})
		return err != nil
	}, patience, time.Millisecond, "the socket is still open")
	c.measureWait(0)
	return c.waited
}

// expect reads a message or control frame.
func (c *client) expect(want frame) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	got, err := c.next()
	require.NoError(c.t, err, "want %s", want)
	if got.opcode != want.opcode || got.payload != want.payload {
		require.Fail(c.t, "another frame", "got %s, want %s", got, want)
	}
	c.progress()
}

// expectClose reads a close frame, which must arrive at once.
func (c *client) expectClose(code int) (reason string) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	got, err := c.next()
	require.NoError(c.t, err, "want close %d", code)
	require.Equal(c.t, byte(opClose), got.opcode, "got %s, want close %d", got, code)
	require.Equal(c.t, code, got.code(), "%s", got)
	c.measureWait(0)
	return strings.TrimPrefix(got.payload, closing(code, "").payload)
}

// expectAnswer reads a close frame without a reason, which answers another.
func (c *client) expectAnswer(code int) {
	c.t.Helper()
	require.Empty(c.t, c.expectClose(code))
}

// expectEnd reads the end of the server's data. It must arrive at once or, after a protocol
// violation, within half of the time for which the server goes on reading.
func (c *client) expectEnd(end end) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	got, err := c.next()
	if end == closes && isReset(err) {
		err = io.EOF // the server does not read what the client sends after a close frame
	}
	require.Equal(c.t, io.EOF, err, "%s", got)
	if end == fails {
		c.measureWait(lingering / 2)
	} else {
		c.measureWait(0)
	}
}
