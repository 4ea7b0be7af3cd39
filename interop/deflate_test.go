package interop_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// noise is binary that can't be compressed, longer than a window.
var noise = func() []byte {
	p := make([]byte, 100_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(p)
	return p
}()

// sayings is text that compresses well.
const sayings = "all work and no play, "

func TestDeflateOffers(t *testing.T) {
	const agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	rows := []struct {
		name  string
		offer any // what ws calls perMessageDeflate
		want  string
	}{
		{name: "none", offer: false},
		{name: "what ws offers by itself", offer: map[string]any{}, want: agreed},
		{name: "nothing about windows", offer: map[string]any{"clientMaxWindowBits": false}, want: agreed},
		{name: "the server forgets each message", offer: map[string]any{"serverNoContextTakeover": true}, want: agreed},
		{name: "the client forgets each message", offer: map[string]any{"clientNoContextTakeover": true}, want: agreed},
		{
			name:  "both forget each message",
			offer: map[string]any{"serverNoContextTakeover": true, "clientNoContextTakeover": true}, want: agreed,
		},
		{name: "a small window of the client's", offer: map[string]any{"clientMaxWindowBits": 9}, want: agreed},
		{
			name:  "a small window of the server's",
			offer: map[string]any{"serverMaxWindowBits": 9}, want: agreed + "; server_max_window_bits=9",
		},
		{
			name:  "the largest window of the server's",
			offer: map[string]any{"serverMaxWindowBits": 15}, want: agreed + "; server_max_window_bits=15",
		},
		{name: "the best compression", offer: map[string]any{"zlibDeflateOptions": map[string]any{"level": 9, "memLevel": 9}}, want: agreed},
		{name: "no compression in the format", offer: map[string]any{"zlibDeflateOptions": map[string]any{"level": 0}}, want: agreed},
	}
	play, server := packageWS(t), startEcho(t, "-compress")
	exchanges := make([]exchange, len(rows))
	long := strings.Repeat(sayings, 5000)
	for i, row := range rows {
		exchanges[i] = exchange{
			URL: server.address() + "/echo", Options: map[string]any{"perMessageDeflate": row.offer},
			Steps: []step{
				sendTimes(sayings, 5000), receive(1),
				sendText("short"), sendText(""), receive(2),
				sendTimes(sayings, 5000), sendTimes(sayings, 5000), receive(2), // nothing of the first is left
				sendBinary(noise), receive(1),
				sendPart(long, false), sendPart("", false), sendPart(long, true), receive(1),
				closeWith(1000, ""),
			},
		}
	}
	want := []message{text(long), text("short"), text(""), text(long), text(long), binary(noise), text(long + long)}
	for i, s := range play(t, exchanges, func() {}) {
		t.Run(rows[i].name, func(t *testing.T) {
			s.requirePlayed(t)
			s.requireMessages(t, want)
			assert.Equal(t, rows[i].want, s.Agreed)
			assert.Equal(t, ending{Code: 1000, WasClean: true}, s.Closed)
			plain, compressed := 5*len(long)+len(noise), len(noise)+20_000
			if rows[i].want == "" {
				assert.Greater(t, s.Received, plain)
				return
			}
			assert.Less(t, s.Received, compressed, "the server compresses")
		})
	}
}
