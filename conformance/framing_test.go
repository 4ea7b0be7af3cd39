package conformance_test

import (
	"fmt"
	"math"
	"strings"
)

// filler returns text of n bytes, in characters of one byte.
func filler(n int) string {
	return strings.Repeat("All work and no play makes a dull protocol. ", n/44+1)[:n]
}

// message returns a text or binary message.
type message struct {
	name string
	make func(string) frame
}

var messages = []message{{name: "text", make: text}, {name: "binary", make: bin}}

// size describes n bytes.
func size(n int) string {
	switch n {
	case 1:
		return "1 byte"
	case 1 << 20:
		return "1 MiB"
	default:
		return fmt.Sprint(n, " bytes")
	}
}

func framing() (rows []row) {
	for _, m := range messages {
		for _, n := range []int{0, 1, 125, 126, 127, 128, 65_535, 65_536, 1 << 20} {
			f, is := m.make(filler(n)), fmt.Sprintf("%s of %s", m.name, size(n))
			rows = append(rows, row{name: is, rfc: "5.2", send: f, want: back(f)})
			chop, chopped := 1, "byte by byte"
			if n > 128 {
				chop, chopped = 997, "997 bytes at a time"
			}
			rows = append(rows, row{name: is + ", " + chopped, rfc: "5.2", send: f, want: back(f), chop: chop})
		}
	}
	const lenient = "only a sender is bound to the shortest form; a control frame can't be longer than 125 bytes, whatever the form says"
	return append(rows, []row{
		{name: "binary of all bytes that there are", rfc: "5.6", send: bin(everyByte), want: back(bin(everyByte))},
		{name: "a hundred messages in one write", rfc: "5.2", send: times(100, text("one of many")), want: back(repeated(100, text("one of many"))...)},
		{name: "a hundred messages, 7 bytes at a time", rfc: "5.2", send: times(100, text("one of many")), want: back(repeated(100, text("one of many"))...), chop: 7},
		{name: "a message behind a large one, in one write", rfc: "5.2", send: all{bin(filler(100_000)), text("small")}, want: back(bin(filler(100_000)), text("small"))},

		{name: "5 bytes, their length in 16 bits", rfc: "5.2", send: text("hello").long(126), want: back(text("hello")), why: lenient},
		{name: "5 bytes, their length in 64 bits", rfc: "5.2", send: text("hello").long(127), want: back(text("hello")), why: lenient},
		{name: "65535 bytes, their length in 64 bits", rfc: "5.2", send: bin(filler(65_535)).long(127), want: back(bin(filler(65_535))), why: lenient},
		{name: "a ping of 5 bytes, their length in 16 bits", rfc: "5.5", send: ping("hello").long(126), want: failed(1002)},
		{name: "a ping of 5 bytes, their length in 16 bits, byte by byte", rfc: "5.5", send: ping("hello").long(126), want: failed(1002), chop: 1},
		{name: "a close frame, its length in 64 bits", rfc: "5.5", send: closing(1000, "").long(127), want: failed(1002)},
		{name: "a length with the top bit set", rfc: "5.2", send: bin("").announcing(1 << 63), want: failed(1009), why: "that is above all limits, too"},
		{name: "a length of all bits", rfc: "5.2", send: text("").announcing(math.MaxUint64), want: failed(1009), why: "that is above all limits, too"},

		{name: "text that is not masked", rfc: "5.1", send: text("hello").bare(), want: failed(1002)},
		{name: "empty binary that is not masked", rfc: "5.1", send: bin("").bare(), want: failed(1002)},
		{name: "a last fragment that is not masked", rfc: "5.1", send: all{openText("hel"), last("lo").bare()}, want: failed(1002)},
		{name: "a ping that is not masked", rfc: "5.1", send: ping("hello").bare(), want: failed(1002)},
		{name: "a close frame that is not masked", rfc: "5.1", send: closing(1000, "").bare(), want: failed(1002)},
		{name: "text that is not masked, behind a good one", rfc: "5.1", send: all{text("good"), text("bad").bare()}, want: back(text("good")).thenFail(1002)},
		{name: "an HTTP request", rfc: "5.1", send: raw("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"), want: failed(1002)},
	}...)
}

// repeated returns a frame n times.
func repeated(n int, f ...frame) (frames []frame) {
	for range n {
		frames = append(frames, f...)
	}
	return frames
}

var everyByte = func() string {
	var b [256]byte
	for i := range b {
		b[i] = byte(i)
	}
	return string(b[:])
}()
