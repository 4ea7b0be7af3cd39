// Package conformance_test checks an endpoint against RFC 6455 and RFC 7692, by raw
// bytes on real sockets. What is checked is in tables of rows, by groups, and each
// row is tried on every variant of the endpoint. docs/conformance.md lists the rows.
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
	// atOnce is how soon something comes that nobody has to wait for, on a busy
	// machine.
	atOnce = 700 * time.Millisecond
	// lingering is how long the server may go on reading after a breach, lest a reset
	// of the connection destroys its close frame on the way.
	lingering = time.Second
	// patience is for what is only late; it is far from closeTimeout.
	patience = 10 * time.Second
)

// A group is a table of rows.
type group struct {
	name string
	rfc  int // whose sections the rows name
	rows []row
}

// groups are those that the Autobahn test suite made customary.
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
	}
})

// A row is one case: what a client sends, and what must come back.
type row struct {
	name string
	rfc  string // section
	send sent
	want want

	chop    int                 // bytes to be sent at once; 0 for all
	hangsUp bool                // afterwards the client says that nothing more comes, beneath WebSocket
	goodbye bool                // the server closes the connection after a message, and that is what is answered
	offer   string              // of extensions, in place of the variant's
	answer  string              // to it
	refused int                 // the status of a handshake that is not upgraded
	request func(string) string // makes another one of the handshake; nil: none
	in      func(*variant) bool
	why     string // it is done so, where the RFC leaves a choice
}

// on reports whether a row makes sense for a variant.
func (r *row) on(v *variant) bool { return r.in == nil || r.in(v) }

// A want is what must come back.
type want struct {
	back []frame // whole messages and control frames
	end  end
	code int // of the close frame
}

// An end says what becomes of the connection.
type end int

const (
	staysOpen end = iota
	closes        // the server answers a close frame, and closes the socket at once
	fails         // the server sends a close frame, at once, and says soon that no more comes; the socket is closed soon
	drops         // the server closes the socket at once
)

// back wants these, and that the connection goes on.
func back(frames ...frame) want { return want{back: frames} }

func (w want) thenClose(code int) want { w.end, w.code = closes, code; return w }
func (w want) thenFail(code int) want  { w.end, w.code = fails, code; return w }

func closed(code int) want { return back().thenClose(code) }
func failed(code int) want { return back().thenFail(code) }

// TestConformance tries each row on each variant. Few are busy at a time, lest they
// slow each other down; those that only wait for the socket's end don't count. What
// comes late all the same is tried again, alone.
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
				again := func() {
					t.Run(name+"/again", func(t *testing.T) {
						waited := row.run(t, s, wire, func() {})
						require.Less(t, waited, atOnce)
						results.pass(g.name, row.name, waited)
					})
				}
				running.Go(func() {
					busy <- struct{}{}
					free := sync.OnceFunc(func() { <-busy })
					defer free()
					if results.hopeless() {
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
	require.False(t, results.hopeless(), "too much came late")
	for _, again := range results.again {
		again()
	}
	t.Logf("what had to come at once came within %v, %d cases at the second try", results.slowest, len(results.again))
	if *write {
		results.write(t)
	}
}

// run tries the row, which sends wire, on a server. It calls waits when all that is
// left is to wait, and returns how long something took to come that should at once.
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
		if !r.hangsUp { // the end comes behind the client's close frame, unless that is within another frame
			c.send(closing(code, ""))
		}
	}
	c.expectEnd(end)
	waits()

	// The client has not closed its end, and says and reads nothing more.
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
	c.came(allowed)
	sending.Wait()
	require.Eventually(t, func() bool {
		_, err := c.socket.Write([]byte{0})
		return err != nil
	}, patience, time.Millisecond, "the socket is still open")
	c.came(0)
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
	c.goesOn()
}

// expectClose reads a close frame, which must come at once.
func (c *client) expectClose(code int) (reason string) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	got, err := c.next()
	require.NoError(c.t, err, "want close %d", code)
	require.Equal(c.t, byte(opClose), got.opcode, "got %s, want close %d", got, code)
	require.Equal(c.t, code, got.code(), "%s", got)
	c.came(0)
	return strings.TrimPrefix(got.payload, closing(code, "").payload)
}

// expectAnswer reads a close frame that answers another.
func (c *client) expectAnswer(code int) {
	c.t.Helper()
	require.Empty(c.t, c.expectClose(code))
}

// expectEnd reads the end of what the server has to say, which must come at once, or after
// half of the time that the server listens to a client that broke the protocol.
func (c *client) expectEnd(end end) {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	got, err := c.next()
	if end == closes && isReset(err) {
		err = io.EOF // the client went on sending, and who sends that is not listened to
	}
	require.Equal(c.t, io.EOF, err, "%s", got)
	if end == fails {
		c.came(lingering / 2)
	} else {
		c.came(0)
	}
}
