package main

import (
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChatHasMessagesOfOneLength(t *testing.T) {
	for _, size := range []int{200, broadcastSize - idSize, 1 << 10} {
		c, seen, last := newChat(0), make(map[string]bool), time.Time{}
		for range 1000 {
			payload := c.next(size)
			require.Len(t, payload, size)
			require.True(t, utf8.Valid(payload))
			var m struct {
				ID, Room, Text string
				From           struct{ ID, Name string }
				At             time.Time
			}
			require.NoError(t, json.Unmarshal(payload, &m), "%s", payload)
			assert.NotEmpty(t, m.Room)
			assert.NotEmpty(t, m.From.Name)
			assert.Greater(t, len(m.Text), size/8, "%s", payload)
			assert.True(t, m.At.After(last), "the clock goes on")
			assert.False(t, seen[m.ID], "an ID twice")
			seen[m.ID], last = true, m.At
		}
	}
}

func TestChatIsTheSameEachTime(t *testing.T) {
	one, same, other := newChat(3), newChat(3), newChat(4)
	for range 10 {
		payload := one.next(200)
		assert.Equal(t, payload, same.next(200))
		assert.NotEqual(t, payload, other.next(200))
	}
}

// Random bytes would compress less than these bounds allow, and equal messages more.
func TestChatCompressesAsChatsDo(t *testing.T) {
	for _, test := range []struct {
		size        int
		mode        mode
		least, most float64
	}{
		{size: 200, mode: deflate, least: 0.6, most: 0.9},
		{size: 200, mode: context9, least: 0.4, most: 0.65},
		{size: 200, mode: context15, least: 0.2, most: 0.5},
		{size: 1 << 10, mode: deflate, least: 0.4, most: 0.65},
		{size: 1 << 10, mode: context15, least: 0.2, most: 0.45},
	} {
		all, err := conversations(test.size, test.mode, false)
		require.NoError(t, err)
		compressed := 0
		for _, m := range all[0].again {
			compressed += len(m.wire)
		}
		ratio := float64(compressed) / float64(test.size*len(all[0].again))
		assert.Greater(t, ratio, test.least, "%d bytes, %s", test.size, test.mode)
		assert.Less(t, ratio, test.most, "%d bytes, %s", test.size, test.mode)
	}
}

// unframed returns the payload of a frame of a client.
func unframed(t *testing.T, wire []byte) []byte {
	t.Helper()
	header := 2
	if wire[1]&^maskBit == 126 {
		header = 4
	}
	key := wire[header : header+maskingKeySize]
	payload := append([]byte(nil), wire[header+maskingKeySize:]...)
	for i := range payload {
		payload[i] ^= key[i%4]
	}
	return payload
}

func TestConversationGoesOnAndOn(t *testing.T) {
	for _, m := range []mode{echo, deflate, context15, context9} {
		all, err := conversations(200, m, false)
		require.NoError(t, err)
		for i := range all[:2] {
			var sent []byte
			for turn := range 3 * len(all[i].first) {
				message := all[i].message(turn)
				payload := unframed(t, message.wire)
				if m.Compresses() {
					window := sent[max(len(sent)-1<<m.WindowBits(), 0):]
					if m.WindowBits() == 0 {
						window = nil
					}
					assert.Equal(t, string(window), string(message.window))
					payload, err = inflate(nil, payload, window)
					require.NoError(t, err, "turn %d", turn)
				}
				require.Equal(t, string(message.payload), string(payload), "turn %d", turn)
				sent = append(sent, payload...)
			}
		}
	}
}

func TestAnswersToTheOffer(t *testing.T) {
	for _, test := range []struct {
		name, answer string
		mode         mode
		want         string // of the error
	}{
		{name: "none", mode: echo},
		{name: "not offered", answer: "permessage-deflate", mode: echo, want: "was not offered"},
		{name: "none though it was offered", mode: deflate, want: "no permessage-deflate"},
		{name: "another one", answer: "x; server_no_context_takeover", mode: deflate, want: "no permessage-deflate"},
		{name: "no context", answer: "permessage-deflate; server_no_context_takeover", mode: deflate},
		{name: "a context", answer: "permessage-deflate", mode: deflate, want: "keeps its context"},
		{name: "a context that was asked for", answer: "permessage-deflate", mode: context15},
		{name: "none on the server", answer: "permessage-deflate;server_no_context_takeover", mode: context15, want: "no context takeover"},
		{name: "none on the client", answer: "permessage-deflate; client_no_context_takeover", mode: context15, want: "no context takeover"},
		{
			name: "small windows", mode: context9,
			answer: "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9",
		},
		{name: "any window of the client's", answer: "permessage-deflate; server_max_window_bits=9", mode: context9},
		{name: "a large window", answer: "permessage-deflate", mode: context9, want: "server's window"},
		{name: "a smaller one", answer: "permessage-deflate; server_max_window_bits=8", mode: context9, want: "server's window"},
		{name: "a window that is no number", answer: "permessage-deflate; server_max_window_bits=x", mode: context9, want: "server's window"},
		{name: "smaller than the client's", answer: "permessage-deflate; client_max_window_bits=9", mode: context15, want: "client's window"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := checkExtensions(test.mode, test.answer)
			if test.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, test.want)
			}
		})
	}
	assert.Equal(t, "permessage-deflate; client_max_window_bits=9; server_max_window_bits=9", offer(context9))
	assert.Equal(t, offer(deflate), offer(context15))
}
