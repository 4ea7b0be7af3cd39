package handshake

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestListElements(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		want  []string
	}{
		{name: "no header"},
		{name: "an empty one", lines: []string{""}},
		{name: "nothing but commas and white space", lines: []string{", ,\t,"}},
		{name: "one", lines: []string{"websocket"}, want: []string{"websocket"}},
		{name: "some, with white space", lines: []string{" a ,b\t, c"}, want: []string{"a", "b", "c"}},
		{name: "empty ones between", lines: []string{",a,, b,"}, want: []string{"a", "b"}},
		{name: "on several lines", lines: []string{"a, b", "", "c"}, want: []string{"a", "b", "c"}},
		{name: "with versions", lines: []string{"HTTP/2.0, SHTTP/1.3, IRC/6.9"}, want: []string{"HTTP/2.0", "SHTTP/1.3", "IRC/6.9"}},
		{name: "what is no token", lines: []string{"a b, c"}, want: []string{"a b", "c"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, slices.Collect(listElements(tt.lines)))
		})
	}
}

func TestListHas(t *testing.T) {
	for _, tt := range []struct {
		name      string
		lines     []string
		has, only bool
	}{
		{name: "no header"},
		{name: "it alone", lines: []string{"websocket"}, has: true, only: true},
		{name: "in another case", lines: []string{"WebSocket"}, has: true, only: true},
		{name: "twice", lines: []string{"websocket, WEBSOCKET"}, has: true, only: true},
		{name: "behind an empty one", lines: []string{",websocket"}, has: true, only: true},
		{name: "behind a protocol with a version", lines: []string{"TLS/1.0, websocket"}, has: true},
		{name: "behind two of them", lines: []string{"HTTP/2.0, SHTTP/1.3, websocket"}, has: true},
		{name: "before another", lines: []string{"websocket , h2c"}, has: true},
		{name: "behind what is malformed", lines: []string{"a b, websocket"}, has: true},
		{name: "on the second line", lines: []string{"h2c", "websocket"}, has: true},
		{name: "with a version", lines: []string{"websocket/13"}},
		{name: "in a longer one", lines: []string{"websockets, xwebsocket"}},
		{name: "with another word", lines: []string{"websocket now"}},
		{name: "in quotes", lines: []string{`"websocket"`}},
		{name: "with a letter that only folds to it", lines: []string{"websoc\u212aet"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.has, listHas(tt.lines, "websocket"))
			assert.Equal(t, tt.only, listHasOnly(tt.lines, "websocket"))
		})
	}
}
