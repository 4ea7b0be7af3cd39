package conformance_test

import (
	"fmt"
	"strings"
)

// takeovers returns the cases of messages with the context of earlier ones, and of what may be agreed on
// about contexts.
func takeovers() (rows []row) {
	const rfcHello, again = "\xf2\x48\xcd\xc9\xc9\x07\x00", "\xf2\x00\x11\x00\x00"
	hello := text("Hello")
	long, incompressible := text(filler(100_000)), bin(noise(40_000))
	rows = []row{
		{name: "the RFC's example", rfc: "7.2.3.2", send: all{holding(rfcHello), holding(again)}, want: back(hello, hello)},
		{name: "the RFC's example, a byte a fragment, with pings between", rfc: "6.1", send: all{holding(rfcHello), fragments(holding(again), 1, ping("?"))}, want: back(append(append([]frame{hello}, repeated(4, pong("?"))...), hello)...)},
		{name: "a message that is not compressed, between", rfc: "6", send: all{holding(rfcHello), text("World"), holding(again)}, want: back(hello, text("World"), hello)},
		{name: "an empty message between", rfc: "7.2.3.6", send: all{holding(rfcHello), holding("\x00"), holding(again)}, want: back(hello, text(""), hello)},
		{name: "a last block between", rfc: "7.2.3.4", send: all{holding("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), holding(again)}, want: back(hello, hello)},
		{name: "a stored block before", rfc: "7.2.3.3", send: all{holding("\x00\x05\x00\xfa\xffHello\x00"), holding(again)}, want: back(hello, hello)},
		{name: "a copy from farther back than anything was sent", rfc: "7.2.2", send: all{holding("\x4a\x04\x00"), holding(again)}, want: back(text("a")).thenFail(1007)},
		{name: "a long message, and the same again", rfc: "7.2", send: chained(1<<15, long, long, text("x"), long), want: back(long, long, text("x"), long)},
		{name: "what can't be compressed, and the same again", rfc: "7.2", send: chained(1<<15, incompressible, incompressible), want: back(incompressible, incompressible)},
		{name: "two hundred messages", rfc: "7.2", send: chained(1<<15, chat(200)...), want: back(chat(200)...)},
		{name: "two hundred messages, 7 bytes at a time", rfc: "7.2", send: chained(1<<15, chat(200)...), want: back(chat(200)...), chop: 7},
		{name: "text that is not UTF-8, by a copy", rfc: "5", send: chained(1<<15, bin("\xc3\x28 is no text"), text("\xc3\x28 is no text")), want: back(bin("\xc3\x28 is no text")).thenFail(1007)},
		{name: "a message over the limit, by copies", rfc: "8", send: chained(1<<15, bin(strings.Repeat("\x00", limit)), bin(strings.Repeat("\x00", limit+1))), want: back(bin(strings.Repeat("\x00", limit))).thenFail(1009)},
	}
	for i := range rows {
		rows[i].in = func(v *variant) bool { return v.takeover }
	}
	for _, o := range takeoverOffers() {
		o.send, o.want = chained(takenOver(o.answer, "client"), chat(100)...), back(chat(100)...)
		o.in = func(v *variant) bool { return v.takeover }
		rows = append(rows, o)
	}
	return rows
}

// takeoverOffers returns cases with offers and their answers, and without messages.
func takeoverOffers() (rows []row) {
	const name, noServer, noClient = deflateOffer, "; server_no_context_takeover", "; client_no_context_takeover"
	add := func(what, rfc, offer, answer string) {
		rows = append(rows, row{name: what, rfc: rfc, offer: offer, answer: answer})
	}
	for bits := 8; bits <= 15; bits++ {
		server, client := fmt.Sprintf("; server_max_window_bits=%d", bits), fmt.Sprintf("; client_max_window_bits=%d", bits)
		add(fmt.Sprintf("a window of the server's of %d bits", bits), "7.1.2.1", name+server, name+server)
		answer := name + client
		if bits == 15 {
			answer = name // which says the same
		}
		add(fmt.Sprintf("a window of the client's of %d bits", bits), "7.1.2.2", name+client, answer)
	}
	add("no context of the server's", "7.1.1.1", name+noServer, name+noServer)
	add("no context of the client's", "7.1.1.2", name+noClient, name+noClient)
	add("no context either way", "7.1.1", name+noClient+noServer, name+noServer+noClient)
	add("no context of the server's, and a window of it", "7.1", name+noServer+"; server_max_window_bits=9", name+noServer+"; server_max_window_bits=9")
	add("several offers", "7.1.3", name+"; server_max_window_bits=7, "+name+"; server_max_window_bits=10; client_max_window_bits, "+name, name+"; server_max_window_bits=10")
	return rows
}

// chat returns n messages that are alike.
func chat(n int) (messages []frame) {
	for i := range n {
		messages = append(messages, text(fmt.Sprintf(`{"type":"message","id":%d,"user":"user%d","text":"%s"}`, i, i%7, filler(i%90))))
	}
	return messages
}
