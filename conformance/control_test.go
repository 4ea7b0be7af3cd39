package conformance_test

import "fmt"

func pings() []row {
	var ten all
	var answers []frame
	for i := range 10 {
		ten = append(ten, ping(fmt.Sprint("number ", i)))
		answers = append(answers, pong(fmt.Sprint("number ", i)))
	}
	return []row{
		{name: "a ping without a payload", rfc: "5.5.2", send: ping(""), want: back(pong(""))},
		{name: "a ping with text", rfc: "5.5.3", send: ping("hello"), want: back(pong("hello"))},
		{name: "a ping whose bytes are no text", rfc: "5.5.3", send: ping("\x00\xff\xfe\x80"), want: back(pong("\x00\xff\xfe\x80"))},
		{name: "a ping of 125 bytes", rfc: "5.5", send: ping(filler(125)), want: back(pong(filler(125)))},
		{name: "a ping of 125 bytes, byte by byte", rfc: "5.5", send: ping(filler(125)), want: back(pong(filler(125))), chop: 1},
		{name: "a ping of 126 bytes", rfc: "5.5", send: ping(filler(126)), want: failed(1002)},
		{name: "a ping of 65536 bytes of which only the header is sent", rfc: "5.5", send: ping("").announcing(65_536), want: failed(1002)},
		{name: "ten pings in a row", rfc: "5.5.3", send: ten, want: back(answers...)},
		{name: "ten pings in a row, byte by byte", rfc: "5.5.3", send: ten, want: back(answers...), chop: 1},
		{name: "a ping behind a message", rfc: "5.5.2", send: all{text("hello"), ping("?")}, want: back(text("hello"), pong("?"))},
		{name: "a ping before a message", rfc: "5.5.2", send: all{ping("?"), text("hello")}, want: back(pong("?"), text("hello"))},
		{name: "a fragmented ping", rfc: "5.5", send: all{ping("hel").notLast(), last("lo")}, want: failed(1002)},
		{name: "a ping of which only a part is sent, then nothing", rfc: "5.5", send: ping("hello").cut(2), want: want{end: drops}, hangsUp: true},

		{name: "an unsolicited pong", rfc: "5.5.3", send: pong(""), want: back()},
		{name: "an unsolicited pong, with text", rfc: "5.5.3", send: pong("hello"), want: back()},
		{name: "an unsolicited pong, then a ping", rfc: "5.5.3", send: all{pong("hello"), ping("?")}, want: back(pong("?"))},
		{name: "a hundred unsolicited pongs", rfc: "5.5.3", send: times(100, pong("hello")), want: back()},
		{name: "a pong of 125 bytes", rfc: "5.5", send: pong(filler(125)), want: back()},
		{name: "a pong of 126 bytes", rfc: "5.5", send: pong(filler(126)), want: failed(1002)},
		{name: "a fragmented pong", rfc: "5.5", send: all{pong("hel").notLast(), last("lo")}, want: failed(1002)},
	}
}

func reserved() (rows []row) {
	for rsv, is := range []string{"", "RSV3", "RSV2", "RSV2 and RSV3", "RSV1", "RSV1 and RSV3", "RSV1 and RSV2", "all RSV bits"} {
		rsv := byte(rsv)
		if rsv == 0 {
			continue
		}
		withData := func(*variant) bool { return true }
		if rsv == rsv1 {
			withData = notAgreed // otherwise the bit means compression
		}
		rows = append(rows,
			row{name: is + " on text", rfc: "5.2", send: text("hello").bits(rsv), want: failed(1002), in: withData},
			row{name: is + " on empty binary, byte by byte", rfc: "5.2", send: bin("").bits(rsv), want: failed(1002), in: withData, chop: 1},
			row{name: is + " on a first fragment", rfc: "5.2", send: openText("hel").bits(rsv), want: failed(1002), in: withData},
			row{name: is + " on text behind a good one, and a ping", rfc: "5.2", send: all{text("good"), text("bad").bits(rsv), ping("?")}, want: back(text("good")).thenFail(1002), in: withData},
			row{name: is + " on a continuation", rfc: "5.2", send: all{openText("hel"), last("lo").bits(rsv)}, want: failed(1002)},
			row{name: is + " on a ping", rfc: "5.2", send: ping("hello").bits(rsv), want: failed(1002)},
			row{name: is + " on a pong", rfc: "5.2", send: pong("hello").bits(rsv), want: failed(1002)},
			row{name: is + " on a close frame", rfc: "5.2", send: closing(1000, "").bits(rsv), want: failed(1002)},
		)
	}
	for _, opcode := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		is := fmt.Sprintf("opcode %#x", opcode)
		odd := frame{opcode: opcode}
		full := frame{opcode: opcode, payload: "hello"}
		rows = append(rows,
			row{name: is + ", empty", rfc: "5.2", send: odd, want: failed(1002)},
			row{name: is + ", byte by byte", rfc: "5.2", send: full, want: failed(1002), chop: 1},
			row{name: is + " behind a message, and a ping", rfc: "5.2", send: all{text("good"), full, ping("?")}, want: back(text("good")).thenFail(1002)},
			row{name: is + " within a fragmented message", rfc: "5.2", send: all{openText("hel"), full, last("lo")}, want: failed(1002)},
			row{name: is + ", and not the last fragment", rfc: "5.2", send: full.notLast(), want: failed(1002)},
		)
	}
	return rows
}

func notAgreed(v *variant) bool { return !v.agreed() }

func fragmentation() (rows []row) {
	hello, both := text("hello"), []frame{text("hello"), text("world")}
	rows = []row{
		{name: "text in two fragments", rfc: "5.4", send: all{openText("hel"), last("lo")}, want: back(hello)},
		{name: "text in two fragments, byte by byte", rfc: "5.4", send: all{openText("hel"), last("lo")}, want: back(hello), chop: 1},
		{name: "binary in two fragments", rfc: "5.4", send: all{openBin("\xff"), last("\xfe")}, want: back(bin("\xff\xfe"))},
		{name: "a byte a fragment", rfc: "5.4", send: fragments(text(filler(200)), 1), want: back(text(filler(200)))},
		{name: "an empty first fragment", rfc: "5.4", send: all{openText(""), last("hello")}, want: back(hello)},
		{name: "empty fragments in the middle", rfc: "5.4", send: all{openText("hel"), more(""), more(""), last("lo")}, want: back(hello)},
		{name: "an empty last fragment", rfc: "5.4", send: all{openText("hello"), last("")}, want: back(hello)},
		{name: "nothing but empty fragments", rfc: "5.4", send: all{openText(""), more(""), last("")}, want: back(text(""))},
		{name: "a thousand empty fragments", rfc: "5.4", send: all{openBin("x"), times(1000, more("")), last("y")}, want: back(bin("xy"))},
		{name: "two fragmented messages", rfc: "5.4", send: all{openText("hel"), last("lo"), openText("wor"), last("ld")}, want: back(both...)},
		{name: "a fragmented message, then a whole one", rfc: "5.4", send: all{openText("hel"), last("lo"), text("world")}, want: back(both...)},

		{name: "a ping between fragments", rfc: "5.4", send: all{openText("hel"), ping("?"), last("lo")}, want: back(pong("?"), hello)},
		{name: "a ping between fragments, byte by byte", rfc: "5.4", send: all{openText("hel"), ping("?"), last("lo")}, want: back(pong("?"), hello), chop: 1},
		{name: "pings between all of five fragments", rfc: "5.4", send: fragments(hello, 1, ping("?"), ping("!")), want: back(append(repeated(4, pong("?"), pong("!")), hello)...)},
		{name: "a pong between fragments", rfc: "5.4", send: all{openText("hel"), pong("?"), last("lo")}, want: back(hello)},
		{name: "a ping of 126 bytes between fragments", rfc: "5.5", send: all{openText("hel"), ping(filler(126)), last("lo")}, want: failed(1002)},
		{name: "a fragmented ping between fragments", rfc: "5.4", send: all{openText("hel"), ping("?").notLast(), last("lo")}, want: failed(1002)},
		{name: "a close frame between fragments", rfc: "5.5.1", send: all{openText("hel"), closing(1000, ""), last("lo")}, want: closed(1000)},

		{name: "a last continuation of nothing", rfc: "5.4", send: last("hello"), want: failed(1002)},
		{name: "a continuation of nothing", rfc: "5.4", send: all{more("hel"), last("lo")}, want: failed(1002)},
		{name: "an empty continuation of nothing", rfc: "5.4", send: last(""), want: failed(1002)},
		{name: "a continuation of nothing, byte by byte", rfc: "5.4", send: last("hello"), want: failed(1002), chop: 1},
		{name: "a continuation behind a whole message", rfc: "5.4", send: all{text("hello"), last("world")}, want: back(hello).thenFail(1002)},
		{name: "a continuation behind a fragmented message", rfc: "5.4", send: all{openText("hel"), last("lo"), last("world")}, want: back(hello).thenFail(1002)},
		{name: "a continuation behind a ping", rfc: "5.4", send: all{ping("?"), last("hello")}, want: back(pong("?")).thenFail(1002)},
		{name: "text within a fragmented message", rfc: "5.4", send: all{openText("hel"), text("world"), last("lo")}, want: failed(1002)},
		{name: "binary within a fragmented message", rfc: "5.4", send: all{openText("hel"), bin("world"), last("lo")}, want: failed(1002)},
		{name: "a fragmented message within one", rfc: "5.4", send: all{openText("hel"), openText("wor"), last("ld")}, want: failed(1002)},
		{name: "text in place of the last fragment, byte by byte", rfc: "5.4", send: all{openText("hel"), text("lo")}, want: failed(1002), chop: 1},
		{name: "a fragment, then nothing", rfc: "7.1.4", send: openText("hel"), want: want{end: drops}, hangsUp: true},
	}
	large := bin(filler(1 << 20))
	for _, size := range []int{4096, 65_536, 300_000} {
		rows = append(rows, row{name: fmt.Sprintf("binary of 1 MiB, in fragments of %d bytes", size), rfc: "5.4", send: fragments(large, size), want: back(large)})
	}
	return append(rows, row{name: "binary of 1 MiB, in fragments of 4096 bytes, 997 bytes at a time", rfc: "5.4", send: fragments(large, 4096), want: back(large), chop: 997})
}
