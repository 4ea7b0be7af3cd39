package conformance_test

import "fmt"

func closings() (rows []row) {
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999} {
		rows = append(rows,
			row{name: fmt.Sprintf("code %d", code), rfc: "7.4", send: closing(code, ""), want: closed(code)},
			row{name: fmt.Sprintf("code %d with a reason, byte by byte", code), rfc: "7.4", send: closing(code, "bye"), want: closed(code), chop: 1},
		)
	}
	for _, code := range []int{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535} {
		f := frame{opcode: opClose, payload: string([]byte{byte(code >> 8), byte(code)})}
		rows = append(rows,
			row{name: fmt.Sprintf("code %d, which must not be sent", code), rfc: "7.4", send: f, want: failed(1002)},
			row{name: fmt.Sprintf("code %d with a reason, which must not be sent", code), rfc: "7.4", send: f.with(func(f *frame) { f.payload += "bye" }), want: failed(1002)},
		)
	}
	hello := text("hello")
	reason := func(s string) frame { return closing(1000, s) }
	return append(rows, []row{
		{name: "no code", rfc: "5.5.1", send: closing(noCode, ""), want: closed(noCode)},
		{name: "half a code", rfc: "5.5.1", send: frame{opcode: opClose, payload: "\x03"}, want: failed(1002)},
		{name: "a payload of 125 bytes", rfc: "5.5", send: reason(filler(123)), want: closed(1000)},
		{name: "a payload of 126 bytes", rfc: "5.5", send: reason(filler(124)), want: failed(1002)},
		{name: "a payload of 65536 bytes of which only the header is sent", rfc: "5.5", send: frame{opcode: opClose, length: 65_536}, want: failed(1002)},
		{name: "a fragmented close frame", rfc: "5.5", send: all{reason("by").notLast(), last("e")}, want: failed(1002)},

		{name: "a reason of characters of all lengths", rfc: "5.5.1", send: reason("a\u00e9\u20ac\U0001f642"), want: closed(1000)},
		{name: "a reason that is not UTF-8", rfc: "5.5.1", send: reason("bye\xff"), want: failed(1007)},
		{name: "a reason that ends within a character", rfc: "5.5.1", send: reason("bye\xe2\x82"), want: failed(1007)},
		{name: "a reason with a surrogate", rfc: "5.5.1", send: reason("\xed\xa0\x80"), want: failed(1007)},
		{name: "a reason that is not UTF-8, and a code that must not be sent", rfc: "7.4", send: closing(1005+1, "\xff"), want: failed(1002)},

		{name: "behind a message", rfc: "5.5.1", send: all{hello, reason("")}, want: back(hello).thenClose(1000)},
		{name: "behind a ping", rfc: "5.5.1", send: all{ping("?"), reason("")}, want: back(pong("?")).thenClose(1000)},
		{name: "behind a large message, in one write", rfc: "5.5.1", send: all{bin(filler(300_000)), reason("")}, want: back(bin(filler(300_000))).thenClose(1000)},
		{name: "text behind it", rfc: "5.5.1", send: all{reason(""), hello}, want: closed(1000)},
		{name: "a ping behind it", rfc: "5.5.1", send: all{reason(""), ping("?")}, want: closed(1000)},
		{name: "another one behind it", rfc: "5.5.1", send: all{reason(""), closing(1001, "")}, want: closed(1000)},
		{name: "a bad frame behind it", rfc: "5.5.1", send: all{reason(""), text("\xff").bits(rsv2)}, want: closed(1000)},
		{name: "in the middle of a fragmented message", rfc: "5.5.1", send: all{openText("hel"), reason("")}, want: closed(1000)},
		{name: "in the middle of a fragmented message, half a character behind", rfc: "5.5.1", send: all{openText("a\xe2"), reason("")}, want: closed(1000)},
		{name: "in the middle of a fragmented message, which goes on", rfc: "5.5.1", send: all{openText("hel"), reason(""), last("lo")}, want: closed(1000)},
		{name: "and no more from the client", rfc: "7.1.1", send: reason(""), want: closed(1000), hangsUp: true},

		{name: "the client hangs up without one", rfc: "7.1.5", send: raw(""), want: want{end: drops}, hangsUp: true},
		{name: "the client hangs up behind a message", rfc: "7.1.5", send: hello, want: want{back: []frame{hello}, end: drops}, hangsUp: true},
		{name: "the client hangs up within a frame", rfc: "7.1.5", send: hello.cut(1), want: want{end: drops}, hangsUp: true},
		{name: "the client hangs up within a header", rfc: "7.1.5", send: raw("\x81"), want: want{end: drops}, hangsUp: true},

		{name: "the server's is answered", rfc: "7.1.1", send: reason(""), want: closed(1000), goodbye: true},
		{name: "the server's is answered without a code", rfc: "7.1.1", send: closing(noCode, ""), want: closed(1000), goodbye: true},
		{name: "the server's is answered with another code", rfc: "7.1.1", send: closing(4000, "bye"), want: closed(1000), goodbye: true},
		{name: "the server's is answered byte by byte", rfc: "7.1.1", send: reason("bye"), want: closed(1000), goodbye: true, chop: 1},
		{name: "the server's is answered behind messages and pings", rfc: "5.5.1", send: all{hello, ping("?"), bin(filler(300_000)), openText("hel"), reason("")}, want: closed(1000), goodbye: true},
		{name: "the server's is answered by hanging up", rfc: "7.1.1", send: raw(""), want: want{end: drops}, goodbye: true, hangsUp: true},
		{name: "the server's is answered by a bad frame", rfc: "7.1.7", send: hello.bits(rsv3), want: failed(1000), goodbye: true},
		{name: "the server's is answered by a code that must not be sent", rfc: "7.4", send: closing(1006, ""), want: failed(1000), goodbye: true},
	}...)
}
