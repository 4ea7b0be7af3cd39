package interop_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// digits is what the servers stream: ten frames of 1,000 digits.
var digits = func() (all string) {
	for i := range 10 {
		all += strings.Repeat(fmt.Sprint(i), 1000)
	}
	return all
}()

// What only ws can do, or can tell.
func TestFrames(t *testing.T) {
	rows := []struct {
		name     string
		behavior string // "": echo
		steps    []step
		messages []message
		pings    []string
		pongs    []string
		closed   int // the code; 0: the client closes with 1000 in the end
		told     string
	}{
		{
			name:     "text in parts",
			steps:    []step{sendPart("one ", false), sendPart("two ", false), sendPart("three", true), receive(1)},
			messages: []message{text("one two three")},
		},
		{
			name:     "text in parts, some of them empty",
			steps:    []step{sendPart("", false), sendPart("word", false), sendPart("", true), receive(1)},
			messages: []message{text("word")},
		},
		{
			name:     "a character in two parts",
			steps:    []step{sendAsText("caf\xc3", false), sendAsText("\xa9", true), receive(1)},
			messages: []message{text("café")},
		},
		{
			name:  "a ping",
			steps: []step{ping("are you there?")}, pongs: []string{"are you there?"},
		},
		{
			name:  "an empty ping",
			steps: []step{ping("")}, pongs: []string{""},
		},
		{
			name:  "the longest ping",
			steps: []step{ping(strings.Repeat("p", 125))}, pongs: []string{strings.Repeat("p", 125)},
		},
		{
			name:     "a ping between the parts of a message",
			steps:    []step{sendPart("one ", false), ping("and?"), sendPart("two", true), receive(1)},
			messages: []message{text("one two")}, pongs: []string{"and?"},
		},
		{
			name: "the server pings", behavior: "ping",
			steps: []step{receive(1)}, messages: []message{text("pong")}, pings: []string{"\x00\x00\x00\x00\x00\x00\x00\x01"},
		},
		{
			name: "the server sends parts, and a ping between them", behavior: "stream",
			steps: []step{receive(1)}, messages: []message{text(digits)}, pings: []string{"in between"},
		},
		{
			name:   "text that is not UTF-8",
			steps:  []step{sendAsText("caf\xe9", true)},
			closed: 1007, told: "websocket: protocol error: text is not UTF-8",
		},
		{
			name:   "text that is not UTF-8 from its second part on",
			steps:  []step{sendAsText("caf", false), sendAsText("\xe9", false), sendAsText("", true)},
			closed: 1007, told: "websocket: protocol error: text is not UTF-8",
		},
		{
			name:   "text that ends within a character",
			steps:  []step{sendAsText("caf\xc3", true)},
			closed: 1007, told: "websocket: protocol error: text is not UTF-8",
		},
		{
			name:   "half of a surrogate pair",
			steps:  []step{sendAsText("\xed\xa0\x80", true)},
			closed: 1007, told: "websocket: protocol error: text is not UTF-8",
		},
		{
			name:   "a message over the limit in parts",
			steps:  []step{sendPart(strings.Repeat("x", 1<<20), false), sendPart("x", true)},
			closed: 1009, told: "websocket: read limit exceeded: message too big",
		},
		{
			name:   "closed while long messages are under way",
			steps:  []step{sendTimes("x", 1000), sendTimes("y", 1_000_000), closeWith(3001, "enough")},
			closed: 3001,
		},
		{
			// A browser would say that this was not clean: not all that the page sent
			// has left.
			name: "the server closes while much is under way to it", behavior: "enough",
			steps:  slices.Repeat([]step{sendBinaryTimes(noise, 8)}, 6),
			closed: 4004,
		},
		{
			name:   "the peer says no more after its close frame",
			steps:  []step{closeWith(3002, ""), sendText("too late")},
			closed: 3002,
		},
	}
	for _, deflate := range []bool{false, true} {
		t.Run(map[bool]string{false: "as it is", true: "with compression"}[deflate], func(t *testing.T) {
			play, server := packageWS(t), startServer(t)
			exchanges := make([]exchange, len(rows))
			for i, row := range rows {
				steps := row.steps
				if row.closed == 0 {
					steps = append(slices.Clip(steps), closeWith(1000, ""))
				}
				behavior := "echo"
				if row.behavior != "" {
					behavior = row.behavior
				}
				options := map[string]any{"perMessageDeflate": false}
				if deflate {
					options["perMessageDeflate"] = map[string]any{"threshold": 0}
				}
				exchanges[i] = exchange{URL: server.at(behavior, row.name), Options: options, Steps: steps}
			}
			all := play(t, exchanges, func() {})
			for i, row := range rows {
				t.Run(row.name, func(t *testing.T) {
					s := all[i]
					require.Empty(t, s.Failed)
					require.True(t, s.Opened)
					if row.closed == 0 || row.messages != nil {
						s.requireMessages(t, row.messages)
					}
					assert.ElementsMatch(t, row.pings, s.Pings)
					assert.ElementsMatch(t, row.pongs, s.Pongs)
					want := row.closed
					if want == 0 {
						want = 1000
					}
					ended := server.await(t, row.name, "ended")
					assert.Equal(t, want, ended.Code)
					assert.Equal(t, want, s.Closed.Code)
					assert.Equal(t, row.told, server.told(row.name))
				})
			}
		})
	}
}

// Ws says why, and does not wait for the answer.
func TestServerSendsWhatIsNotUTF8(t *testing.T) {
	play, server := packageWS(t), startServer(t)
	s := play(t, []exchange{{URL: server.at("invalid", "invalid")}}, func() {})[0]
	require.Empty(t, s.Failed)
	assert.Contains(t, s.Error, "invalid UTF-8 sequence")
	assert.Equal(t, 1007, server.await(t, "invalid", "ended").Code)
	assert.Empty(t, server.told("invalid"), "the peer has closed the connection")
}

// everyCode has the codes that may be sent, the first and last ones of each range.
var everyCode = []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999}

func TestEveryCode(t *testing.T) {
	play, server := packageWS(t), startServer(t)
	var exchanges []exchange
	for _, code := range everyCode {
		exchanges = append(exchanges,
			exchange{URL: server.at("echo", fmt.Sprint("client ", code)), Steps: []step{closeWith(code, "because")}},
			exchange{URL: server.at("close", fmt.Sprint("server ", code), "code", fmt.Sprint(code), "reason", "because")},
		)
	}
	all := play(t, exchanges, func() {})
	for i, code := range everyCode {
		for who, want := range map[string]ending{
			"client": {Code: code, WasClean: true}, // the answer has no reason
			"server": {Code: code, Reason: "because", WasClean: true},
		} {
			id := fmt.Sprint(who, " ", code)
			t.Run(fmt.Sprint(code, " from the ", who), func(t *testing.T) {
				s := all[2*i]
				if who == "server" {
					s = all[2*i+1]
				}
				s.requirePlayed(t)
				assert.Equal(t, want, s.Closed)
				assert.Equal(t, note{ID: id, Event: "ended", Code: code, Reason: "because"}, server.await(t, id, "ended"))
				assert.Empty(t, server.told(id))
			})
		}
	}
}
