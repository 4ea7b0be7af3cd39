package interop_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An exchange is one connection for a client to play: see script/play.js.
type exchange struct {
	URL       string         `json:"url"`
	Protocols []string       `json:"protocols,omitempty"`
	Options   map[string]any `json:"options,omitempty"` // of ws
	Steps     []step         `json:"steps,omitempty"`

	page string // where a browser plays it
}

// A step is what a client does.
type step struct {
	Do     string         `json:"do"`
	Text   string         `json:"text"`
	Binary *[]byte        `json:"binary,omitempty"` // takes the place of Text
	Times  int            `json:"times,omitempty"`  // how often the content is sent in a row, as one message; 0 means once
	As     map[string]any `json:"as,omitempty"`     // the second argument of ws's send
	Count  int            `json:"count,omitempty"`
	Code   int            `json:"code,omitempty"`
	Reason string         `json:"reason,omitempty"`
}

func sendText(text string) step            { return step{Do: "send", Text: text} }
func sendTimes(text string, n int) step    { return step{Do: "send", Text: text, Times: n} }
func sendBinary(p []byte) step             { return step{Do: "send", Binary: &p} }
func sendBinaryTimes(p []byte, n int) step { return step{Do: "send", Binary: &p, Times: n} }
func receive(count int) step               { return step{Do: "receive", Count: count} }
func ping(text string) step                { return step{Do: "ping", Text: text} }
func closeWith(code int, reason string) step {
	return step{Do: "close", Code: code, Reason: reason}
}

// meet waits until all exchanges that are played together have come to this step.
func meet() step { return step{Do: "meet"} }

// sendPart sends a part of a message in a frame of its own. Only ws and Python's websockets can.
func sendPart(text string, last bool) step {
	return step{Do: "send", Text: text, As: map[string]any{"fin": last}}
}

// sendAsText sends a part of a text message, which need not be UTF-8. Only ws can.
func sendAsText(p string, last bool) step {
	b := []byte(p)
	return step{Do: "send", Binary: &b, As: map[string]any{"binary": false, "fin": last}}
}

// seen is what a client saw of an exchange.
type seen struct {
	Opened     bool
	Protocol   string
	Extensions string
	Messages   []message
	Closed     ending
	Error      string // what it says of a connection that failed
	Failed     string // what the script itself waited for in vain

	// Only ws and Python's websockets tell:
	Pongs  []string
	Agreed string // the response's header about extensions

	// Only ws tells:
	Pings    []string
	Received int // bytes, from the socket
}

// An ending is a close event.
type ending struct {
	Code     int
	Reason   string
	WasClean bool
}

// message is a text, or else binary.
type message struct {
	Text   *string
	Binary []byte
}

func text(s string) message   { return message{Text: &s} }
func binary(p []byte) message { return message{Binary: p} }

func (m message) equals(other message) bool {
	if m.Text == nil || other.Text == nil {
		return m.Text == nil && other.Text == nil && bytes.Equal(m.Binary, other.Binary)
	}
	return *m.Text == *other.Text
}

// String has the beginning of the message.
func (m message) String() string {
	if m.Text != nil {
		return fmt.Sprintf("text of %d bytes: %.60q", len(*m.Text), *m.Text)
	}
	return fmt.Sprintf("%d bytes: %.30x", len(m.Binary), m.Binary)
}

// requireMessages fails the test if the messages are others.
func (s *seen) requireMessages(t *testing.T, want []message) {
	t.Helper()
	require.Len(t, s.Messages, len(want))
	for i, m := range want {
		require.True(t, m.equals(s.Messages[i]), "message %d: want %s; got %s", i, m, s.Messages[i])
	}
}

// requirePlayed fails the test if the exchange did not come to its end.
func (s *seen) requirePlayed(t *testing.T) {
	t.Helper()
	require.Empty(t, s.Failed)
	assert.Empty(t, s.Error)
	require.True(t, s.Opened)
}
