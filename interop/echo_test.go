package interop_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// everyByte has each value of a byte once.
var everyByte = func() []byte {
	p := make([]byte, 256)
	for i := range p {
		p[i] = byte(i)
	}
	return p
}()

func TestMessagesComeBack(t *testing.T) {
	rows := []struct {
		name string
		send []step
		want []message
	}{
		{name: "a word", send: []step{sendText("hello")}, want: []message{text("hello")}},
		{name: "an empty text", send: []step{sendText("")}, want: []message{text("")}},
		{name: "no bytes", send: []step{sendBinary([]byte{})}, want: []message{binary(nil)}},
		{name: "characters of one to four bytes", send: []step{sendText("a\x00é世😀")}, want: []message{text("a\x00é世😀")}},
		{name: "every byte", send: []step{sendBinary(everyByte)}, want: []message{binary(everyByte)}},
		{
			name: "the longest text with a short length",
			send: []step{sendTimes("x", 125)}, want: []message{text(strings.Repeat("x", 125))},
		},
		{
			name: "the shortest text with a length of two bytes",
			send: []step{sendTimes("x", 126)}, want: []message{text(strings.Repeat("x", 126))},
		},
		{
			name: "the longest text with a length of two bytes",
			send: []step{sendTimes("x", 65535)}, want: []message{text(strings.Repeat("x", 65535))},
		},
		{
			name: "the shortest text with a length of eight bytes",
			send: []step{sendTimes("x", 65536)}, want: []message{text(strings.Repeat("x", 65536))},
		},
		{
			name: "1 MiB, which is the limit",
			send: []step{sendBinaryTimes(everyByte, 4096)}, want: []message{binary([]byte(strings.Repeat(string(everyByte), 4096)))},
		},
		manyAtOnce(),
	}
	servers := map[string][]string{"as it is": nil, "with compression": {"-compress"}}
	withEveryClient(t, func(t *testing.T, play player) {
		for name, arguments := range servers {
			t.Run(name, func(t *testing.T) {
				server := startEcho(t, arguments...)
				exchanges := make([]exchange, len(rows))
				for i, row := range rows {
					steps := append(slices.Clip(row.send), receive(len(row.want)), closeWith(1000, "that was all"))
					exchanges[i] = exchange{URL: server.address() + "/echo", page: server.url, Steps: steps}
				}
				all := play(t, exchanges, func() {})
				for i, row := range rows {
					t.Run(row.name, func(t *testing.T) {
						all[i].requirePlayed(t)
						all[i].requireMessages(t, row.want)
						assert.Equal(t, ending{Code: 1000, WasClean: true}, all[i].Closed)
						assert.Equal(t, len(arguments) > 0, strings.HasPrefix(all[i].Extensions, "permessage-deflate"), all[i].Extensions)
					})
				}
			})
		}
	})
}

func manyAtOnce() (row struct {
	name string
	send []step
	want []message
},
) {
	row.name = "a thousand at once, in their order"
	for i := range 1000 {
		m := strings.Repeat(fmt.Sprint(i, " "), i%100)
		row.send = append(row.send, sendText(m))
		row.want = append(row.want, text(m))
	}
	return row
}

func TestHundredConnections(t *testing.T) {
	withEveryClient(t, func(t *testing.T, play player) {
		server := startEcho(t, "-compress")
		exchanges := make([]exchange, 100)
		for i := range exchanges {
			exchanges[i] = exchange{URL: server.address() + "/echo", page: server.url, Steps: []step{
				meet(), sendText(fmt.Sprint("I am ", i)), receive(1), meet(), closeWith(1000, ""),
			}}
		}
		for i, s := range play(t, exchanges, func() {}) {
			s.requirePlayed(t)
			s.requireMessages(t, []message{text(fmt.Sprint("I am ", i))})
			assert.Equal(t, ending{Code: 1000, WasClean: true}, s.Closed)
		}
	})
}
