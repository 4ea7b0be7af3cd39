package main

import (
	"bufio"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// reading returns a client that reads what a server sent before it hung up.
func reading(t *testing.T, sent string) *client {
	t.Helper()
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = ours.Close() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = theirs.Write([]byte(sent)) // the client may stop reading
		_ = theirs.Close()
	}()
	t.Cleanup(func() {
		_ = ours.Close()
		<-done
	})
	require.NoError(t, ours.SetDeadline(time.Now().Add(10*time.Second)))
	return &client{nc: ours, r: bufio.NewReader(ours)}
}

func TestOnlyTheRightReplyIsAccepted(t *testing.T) {
	hello := message{op: opText, payload: []byte("hello")}
	tests := []struct {
		name, sent string
		deflate    bool
		window     string
		want       string // of the error
	}{
		{name: "the reply", sent: "\x81\x05hello"},
		{name: "the reply in fragments", sent: "\x01\x02he\x80\x03llo"},
		{name: "a pong before it", sent: "\x8a\x00\x81\x05hello"},
		{name: "compressed", sent: "\xc1\x07\xcaH\xcd\xc9\xc9\x07\x00", deflate: true},
		{name: "compressed with what was sent before", sent: "\xc1\x05\xca\x00\x11\x00\x00", deflate: true, window: "hello"},
		{
			name: "compressed with what was not sent before", sent: "\xc1\x05\xca\x00\x11\x00\x00", deflate: true,
			window: "llo", want: "flate: corrupt input",
		},
		{name: "nothing", sent: "", want: "EOF"},
		{name: "half a reply", sent: "\x81\x05hel", want: "unexpected EOF"},
		{name: "other bytes", sent: "\x81\x05hullo", want: "wrong reply"},
		{name: "too short", sent: "\x81\x04hell", want: "wrong reply"},
		{name: "another type", sent: "\x82\x05hello", want: "type 2"},
		{name: "a close frame", sent: "\x88\x02\x03\xf0", want: "closed by the server"},
		{name: "masked", sent: "\x81\x85\x00\x00\x00\x00hello", want: "masked"},
		{name: "reserved bit", sent: "\xa1\x05hello", want: "reserved"},
		{name: "a continuation of nothing", sent: "\x80\x05hello", want: "not expected"},
		{name: "a message within another", sent: "\x01\x02he\x81\x03llo", want: "not expected"},
		{name: "compressed though not agreed on", sent: "\xc1\x07\xcaH\xcd\xc9\xc9\x07\x00", want: "compressed: true"},
		{name: "plain though compression was agreed on", sent: "\x81\x05hello", deflate: true, want: "compressed: false"},
		{name: "broken compression", sent: "\xc1\x02\xff\xff", deflate: true, want: "flate"},
		{name: "an endless frame", sent: "\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", want: "a frame of"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := reading(t, test.sent)
			c.deflate = test.deflate
			m := hello
			m.window = []byte(test.window)
			err := c.expect(&m)
			if test.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.want)
			}
		})
	}
}

func TestVariantsDiffer(t *testing.T) {
	for _, op := range []byte{opText, opBinary} {
		seen := make(map[string]bool)
		for _, m := range messages(op, 64, false) {
			assert.Len(t, m.payload, 64)
			seen[string(m.payload)] = true
		}
		assert.Len(t, seen, variants)
	}
}

func TestBroadcastsThatAreWrongAreErrors(t *testing.T) {
	sent := func(sender, turn byte, rest string) string {
		return "\x82\x7e\x02\x00" + string([]byte{sender, 0, 0, 0, 0, 0, 0, 0, turn}) + rest
	}
	right := strings.Repeat("x", broadcastSize-idSize)
	tests := []struct {
		name, sent, want string
	}{
		{name: "one is left out", sent: sent(0, 0, right) + sent(0, 2, right), want: "message 2 of sender 0 came out of order"},
		{name: "one comes twice", sent: sent(0, 0, right) + sent(0, 0, right), want: "message 0 of sender 0 came out of order"},
		{name: "from an unknown sender", sent: sent(7, 0, right), want: "sender 7"},
		{name: "other bytes", sent: sent(0, 0, strings.Repeat("y", len(right))), want: "wrong message"},
		{name: "the connection ends", sent: sent(0, 0, right) + sent(0, 1, right), want: "EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := &broadcasts{
				load:      &load{clients: make([]*client, 2)}, // one member alone completes no message
				rests:     [][]byte{[]byte(right)},
				delivered: make([]atomic.Int64, 1),
				complete:  []chan struct{}{make(chan struct{}, 1)},
				turns:     make([]uint64, 1),
			}
			require.ErrorContains(t, b.receive(reading(t, test.sent)), test.want)
		})
	}
}
