package conformance_test

import (
	"compress/flate"
	"math/rand/v2"
	"strings"
)

// offers are requests with offers of extensions, and their answers.
func offers() []row {
	const name, largest = deflateOffer, "; server_max_window_bits=15"
	rows := []row{
		{name: "the bare extension", rfc: "7", offer: name, answer: agreedOn},
		{name: "what browsers offer", rfc: "7.1.2.2", offer: name + "; client_max_window_bits", answer: agreedOn},
		{name: "the smallest window of the client's", rfc: "7.1.2.2", offer: name + "; client_max_window_bits=8", answer: agreedOn},
		{name: "the largest window of the client's", rfc: "7.1.2.2", offer: name + "; client_max_window_bits=15", answer: agreedOn},
		{name: "a window in quotes", rfc: "5", offer: name + `; client_max_window_bits="10"`, answer: agreedOn},
		{name: "no context takeover by the server", rfc: "7.1.1.1", offer: name + "; server_no_context_takeover", answer: agreedOn},
		{name: "no context takeover by the client", rfc: "7.1.1.2", offer: name + "; client_no_context_takeover", answer: agreedOn},
		{name: "no context takeover either way, and a window", rfc: "7.1", offer: agreedOn + "; client_max_window_bits=12", answer: agreedOn},
		{name: "a window of the server's, else nothing special", rfc: "7.1.3", offer: name + "; server_max_window_bits=10, " + name, answer: agreedOn + "; server_max_window_bits=10"},
		{name: "a bad window of the server's, else nothing special", rfc: "7.1.3", offer: name + "; server_max_window_bits=16, " + name, answer: agreedOn},
		{name: "the second of two on a line", rfc: "5", offer: "x-other, " + name, answer: agreedOn},
		{name: "the largest window of the server's", rfc: "7.1.2.1", offer: name + "; server_max_window_bits=15", answer: agreedOn + largest},
		{name: "the largest window of the server's, in quotes, behind one that is too small", rfc: "7.1.2.1", offer: name + "; server_max_window_bits=7, " + name + `; server_max_window_bits="15"; client_max_window_bits`, answer: agreedOn + largest},
		{name: "empty elements", rfc: "5", offer: ", ,\n" + name + ",", answer: agreedOn},
		{name: "on the second line", rfc: "5", offer: "x-other; a=1\n" + name, answer: agreedOn},
		{name: "a good one behind a bad one", rfc: "7.1", offer: name + "; level=9, " + name, answer: agreedOn},
		{name: "spaces and tabs", rfc: "5", offer: "\t" + name + " \t;  client_max_window_bits = 10 ", answer: agreedOn},
		{name: "no spaces", rfc: "5", offer: name + ";server_no_context_takeover;client_max_window_bits", answer: agreedOn},

		{name: "another extension", rfc: "5", offer: "x-webkit-deflate-frame"},
		{name: "an unknown parameter", rfc: "7", offer: name + "; level=9"},
		{name: "a flag twice", rfc: "7", offer: name + "; client_no_context_takeover; client_no_context_takeover"},
		{name: "a window twice", rfc: "7", offer: name + "; client_max_window_bits=9; client_max_window_bits=10"},
		{name: "a flag with a value", rfc: "7.1.1.1", offer: name + "; server_no_context_takeover=1"},
		{name: "a window that is too small", rfc: "7.1.2.2", offer: name + "; client_max_window_bits=7"},
		{name: "a window that is too large", rfc: "7.1.2.2", offer: name + "; client_max_window_bits=16"},
		{name: "a window with a leading zero", rfc: "7.1.2.2", offer: name + "; client_max_window_bits=08"},
		{name: "a window that is no number", rfc: "7.1.2.2", offer: name + "; client_max_window_bits=large"},
		{name: "a window of the server's without a value", rfc: "7.1.2.1", offer: name + "; server_max_window_bits"},
		{name: "an empty header", rfc: "5", offer: " ", why: "it offers nothing"},
		{name: "a name that is no token", rfc: "5", offer: "x/other, " + name, refused: 400},
		{name: "a parameter without a name", rfc: "5", offer: name + "; =9", refused: 400},
		{name: "nothing behind a semicolon", rfc: "5", offer: name + ";", refused: 400},
		{name: "nothing behind an equals sign", rfc: "5", offer: name + "; client_max_window_bits=", refused: 400},
		{name: "a value of two words", rfc: "5", offer: name + "; client_max_window_bits=1 0", refused: 400},
		{name: "quotes without an end", rfc: "5", offer: name + `; client_max_window_bits="10`, refused: 400},
		{name: "in the quotes of another extension, where only a token may be", rfc: "5", offer: `x-other; a="x, ` + name + `, y"`, refused: 400},
		{name: "a good one before a malformed one", rfc: "5", offer: name + "\nx other", refused: 400},
	}
	for i := range rows {
		r := &rows[i]
		r.in = func(v *variant) bool { return v.enabled && v.offer == "" }
		r.send, r.want = text("hello"), back(text("hello"))
		if r.answer != "" {
			r.send = text("hello").deflated(6)
		}
	}
	return rows
}

func deflate() []row {
	rows := append(inflations(), append(lastBlocks(), badCompression()...)...)
	for i := range rows {
		if rows[i].in == nil {
			rows[i].in = (*variant).agreed
		}
	}
	return rows
}

// noise returns data that can't be compressed.
func noise(n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return string(b)
}

func inflations() (rows []row) {
	const rfcHello = "\xf2\x48\xcd\xc9\xc9\x07\x00"
	hello := text("Hello")
	for _, m := range messages {
		for _, n := range []int{0, 1, 125, 126, 1000, 65_535, 65_536, limit} {
			f := m.make(filler(n))
			rows = append(rows, row{name: m.name + " of " + size(n), rfc: "7.2", send: f.deflated(6), want: back(f)})
		}
		f := m.make(filler(300_000))
		rows = append(rows,
			row{name: m.name + " of 300000 bytes, in fragments of 256 bytes", rfc: "6.1", send: fragments(f.deflated(6), 256), want: back(f)},
			row{name: m.name + " of 300000 bytes, 7 bytes at a time", rfc: "7.2", send: f.deflated(6), want: back(f), chop: 7},
		)
	}
	for _, l := range []struct {
		name  string
		level int
	}{{"the fastest level", 1}, {"the smallest level", 9}, {"Huffman codes alone", flate.HuffmanOnly}, {"stored blocks", flate.NoCompression}} {
		f := text(filler(100_000))
		rows = append(rows,
			row{name: "by " + l.name, rfc: "7.2.1", send: f.deflated(l.level), want: back(f)},
			row{name: "by " + l.name + ", in fragments of 997 bytes, with pings between", rfc: "6.1",
				send: fragments(f.deflated(l.level), 997, pong("?")), want: back(f)},
		)
	}
	incompressible, zeros := bin(noise(limit)), bin(strings.Repeat("\x00", limit))
	packed := incompressible.deflated(6)
	large := bin(noise(200_000))
	return append(rows, []row{
		{name: "the RFC's example", rfc: "7.2.3.1", send: holding(rfcHello), want: back(hello)},
		{name: "the RFC's example, byte by byte", rfc: "7.2.3.1", send: holding(rfcHello), want: back(hello), chop: 1},
		{name: "the RFC's example, in two fragments", rfc: "7.2.3.1", send: fragments(holding(rfcHello), 3), want: back(hello)},
		{name: "the RFC's example, a byte a fragment, pings between", rfc: "6.1", send: fragments(holding(rfcHello), 1, ping("?")), want: back(append(repeated(6, pong("?")), hello)...)},
		{name: "the RFC's example, empty fragments between", rfc: "6.1", send: fragments(holding(rfcHello), 1, more("")), want: back(hello)},
		{name: "the RFC's example, an empty fragment first and last", rfc: "6.1", send: all{openText("").bits(rsv1), more(rfcHello), last("")}, want: back(hello)},
		{name: "the RFC's stored block", rfc: "7.2.3.3", send: holding("\x00\x05\x00\xfa\xffHello\x00"), want: back(hello)},
		{name: "the RFC's two blocks", rfc: "7.2.3.5", send: holding("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), want: back(hello)},
		{name: "the RFC's last fragment without data", rfc: "7.2.3.6", send: all{openText(rfcHello).bits(rsv1), last("\x00")}, want: failed(1007), why: "the example before it has its end already: it needs no more, and can't have it"},
		{name: "an empty message, of a stored block", rfc: "7.2.3.6", send: holding("\x00"), want: back(text(""))},
		{name: "an empty message, of a coded block", rfc: "7.2.3.6", send: holding("\x02\x00"), want: back(text(""))},
		{name: "a message that is not compressed", rfc: "6", send: hello, want: back(hello)},
		{name: "compressed and others in turn", rfc: "6", send: all{hello.deflated(6), hello, fragments(hello, 2), hello.deflated(1), ping("?")}, want: back(hello, hello, hello, hello, pong("?"))},
		{name: "a hundred in one write", rfc: "7.2", send: times(100, hello.deflated(6)), want: back(repeated(100, hello)...)},
		{name: "incompressible 1 MiB, longer on the wire than its limit", rfc: "7.2", send: packed, want: back(incompressible)},
		{name: "incompressible 1 MiB, in fragments of 16384 bytes", rfc: "6.1", send: fragments(packed, 16_384), want: back(incompressible)},
		{name: "1 MiB of zeros, the limit, in 1 KiB", rfc: "7.2", send: zeros.deflated(9), want: back(zeros)},
		{name: "a ping between compressed fragments", rfc: "6.1", send: fragments(large.deflated(6), 100_000, ping("?")), want: back(pong("?"), pong("?"), large), in: (*variant).whole},
		{name: "a close frame between compressed fragments", rfc: "6.1", send: all{openText(rfcHello[:3]).bits(rsv1), closing(1000, ""), last(rfcHello[3:])}, want: closed(1000)},
		{name: "a character cut by two compressed fragments", rfc: "6.1", send: fragments(text("κόσμε").deflated(flate.NoCompression), 6), want: back(text("κόσμε"))},
	}...)
}

// lastBlocks are messages with final blocks (BFINAL).
func lastBlocks() (rows []row) {
	said, filled := compressed("said ", 9, forGood), filler(50_000)
	open := compressed("and done", 9, byFlush)
	ended := strings.TrimSuffix(open, tail)
	all := text("said and done")
	huge := compressed(filled, 9, forGood)
	repeatedFiller := text(filled + filled)
	for _, c := range []struct {
		name, rfc, payload string
		want               frame
	}{
		{"the RFC's last block", "7.2.3.4", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", text("Hello")},
		{"the RFC's last block, and nothing behind it", "7.2.3.4", "\xf3\x48\xcd\xc9\xc9\x07\x00", text("Hello")},
		{"a last block, then others", "7.2.1", said + ended, all},
		{"two last blocks", "7.2.1", said + compressed("and done", 9, forGood) + "\x00", all},
		{"a stored last block, then others", "7.2.1", compressed("said ", flate.NoCompression, forGood) + ended, all},
		{"an open block, a last one, an open one", "7.2.1", compressed("sa", 9, byFlush) + compressed("id ", 9, forGood) + ended, all},
		{"fifty last blocks", "7.2.1", strings.Repeat(said, 50) + "\x00", text(strings.Repeat("said ", 50))},
		{"a copy of what a last block has", "7.2.1", compressed("hello", 9, forGood) + "\x03\x00" + compressed("hello", 9, forGood) + "\x00", text("hellohello")},
		{"a copy across a last block", "7.2.1", "\xf3\x48\xcd\xc9\xc9\x07\x00" + "\x02\x13\x00\x00", text("HelloHello")},
		{"a large last block, then another", "7.2.1", huge + huge + "\x00", repeatedFiller},
	} {
		rows = append(rows,
			row{name: c.name, rfc: c.rfc, send: holding(c.payload), want: back(c.want)},
			row{name: c.name + ", a byte a fragment", rfc: c.rfc, send: byteByByte(holding(c.payload)), want: back(c.want)},
			row{name: c.name + ", in two fragments", rfc: c.rfc, send: fragments(holding(c.payload), len(c.payload)-1), want: back(c.want)},
		)
	}
	return append(rows,
		row{name: "garbage behind a last block", rfc: "7.2.2", send: holding(said + "\x07garbage"), want: failed(1007)},
		row{name: "garbage behind a last block, in fragments", rfc: "7.2.2", send: fragments(holding(said+"\x07garbage"), 3), want: failed(1007)},
		row{name: "a thousand last blocks", rfc: "7.2.1", send: holding(strings.Repeat("\x03\x00", 1000) + "\x00"), want: failed(1007), why: "each costs a window: more than 256 are taken for an attack"},
		row{name: "a thousand last blocks, in fragments", rfc: "7.2.1", send: fragments(holding(strings.Repeat("\x03\x00", 1000)+"\x00"), 100), want: failed(1007), why: "each costs a window: more than 256 are taken for an attack"},
	)
}

// badCompression are messages that the server must not accept, and some that look like it.
func badCompression() []row {
	const rfcHello = "\xf2\x48\xcd\xc9\xc9\x07\x00"
	bomb := bin(strings.Repeat("\x00", 10<<20)).deflated(9)
	tooMuch := bin(filler(limit + 1))
	oneBomb := compressed(strings.Repeat("\x00", limit), 9, forGood)
	bad := text(filler(1000) + "\xff")
	longBad := text(noiseText(200_000) + "\xff" + noiseText(200_000)).deflated(6)
	return []row{
		{name: "a window kept from the message before, the RFC's example", rfc: "7.2.3.2", send: all{holding(rfcHello), holding("\xf2\x00\x11\x00\x00")}, want: back(text("Hello")).thenFail(1007), in: func(v *variant) bool { return v.agreed() && !v.takeover }},
		{name: "RSV1 on a continuation", rfc: "6.1", send: all{openText(rfcHello[:3]).bits(rsv1), last(rfcHello[3:]).bits(rsv1)}, want: failed(1002)},
		{name: "RSV1 on a continuation of what is not compressed", rfc: "6.1", send: all{openText("hel"), last("lo").bits(rsv1)}, want: failed(1002)},
		{name: "RSV1 on a ping within a compressed message", rfc: "6.1", send: all{openText(rfcHello[:3]).bits(rsv1), ping("?").bits(rsv1)}, want: failed(1002)},
		{name: "RSV2 on a compressed message", rfc: "6", send: holding(rfcHello).bits(rsv2), want: failed(1002)},
		{name: "RSV3 on a compressed message", rfc: "6", send: holding(rfcHello).bits(rsv3), want: failed(1002)},
		{name: "RSV1 where nothing was agreed on", rfc: "6", send: holding(rfcHello), want: failed(1002), in: notAgreed},

		{name: "text in place of compressed data", rfc: "7.2.2", send: holding("hello, this is text"), want: failed(1007)},
		{name: "a kind of block that there is not", rfc: "7.2.2", send: holding("\x07"), want: failed(1007)},
		{name: "a kind of block that there is not, in fragments", rfc: "7.2.2", send: fragments(holding(rfcHello[:5]+"\xff\xff\xff"), 2), want: failed(1007)},
		{name: "a stored block whose lengths contradict", rfc: "7.2.2", send: holding("\x00\x05\x00\xff\xffHello\x00"), want: failed(1007)},
		{name: "a copy of what was never there", rfc: "7.2.2", send: holding("\xf2\x00\x11\x00\x00"), want: failed(1007)},
		{name: "compressed data cut short", rfc: "7.2.2", send: holding(bad.deflated(6).payload[:20]), want: failed(1007)},
		{name: "compressed data cut short, in fragments", rfc: "7.2.2", send: fragments(holding(bad.deflated(6).payload[:20]), 7), want: failed(1007)},
		{name: "no compressed data at all", rfc: "7.2.3.6", send: holding(""), want: failed(1007), why: "an empty message has a byte, 00"},
		{name: "good data, then corrupt data", rfc: "7.2.2", send: all{holding(rfcHello), holding("\x07")}, want: back(text("Hello")).thenFail(1007)},

		{name: "compressed text that is not UTF-8", rfc: "5", send: bad.deflated(6), want: failed(1007)},
		{name: "compressed text that is not UTF-8, in fragments", rfc: "5", send: fragments(bad.deflated(6), 10), want: failed(1007)},
		{name: "compressed text that ends within a character", rfc: "5", send: text("κόσμε\xe2\x82").deflated(6), want: failed(1007)},
		{name: "compressed text that is not UTF-8, in fragments without a last one", rfc: "5", send: unended(fragments(longBad, 50_000)), want: failed(1007)},
		{name: "compressed text that is not UTF-8, in a frame over 64 KiB that is not sent whole", rfc: "5", send: longBad.cut(1000), want: failed(1007), why: "a compressed frame up to 64 KiB is checked when it is complete"},
		{name: "compressed binary that is no text", rfc: "5", send: bin("\xff\xc0").deflated(6), want: back(bin("\xff\xc0"))},

		{name: "10 MiB of zeros in 10 KiB", rfc: "8", send: bomb, want: failed(1009)},
		{name: "10 MiB of zeros, in fragments of 100 bytes", rfc: "8", send: fragments(bomb, 100), want: failed(1009)},
		{name: "10 MiB of zeros of which half is sent", rfc: "8", send: unended(fragments(holding(bomb.payload[:len(bomb.payload)/2]), 1000)), want: failed(1009)},
		{name: "10 MiB of zeros behind last blocks", rfc: "8", send: holding(strings.Repeat(oneBomb, 10) + "\x00"), want: failed(1009)},
		{name: "10 MiB of zeros behind last blocks, in fragments", rfc: "8", send: fragments(holding(strings.Repeat(oneBomb, 10)+"\x00"), 1000), want: failed(1009)},
		{name: "one byte more than the limit", rfc: "8", send: tooMuch.deflated(6), want: failed(1009)},
		{name: "one byte more than the limit, in fragments of 4096 bytes", rfc: "8", send: fragments(tooMuch.deflated(6), 4096), want: failed(1009)},
		{name: "compressed data of 2 MiB, of which only the header is sent", rfc: "8", send: holding("").announcing(2 * limit), want: failed(1009)},
		{name: "empty blocks in fragments, together of 2 MiB, of which a part is sent", rfc: "8", send: all{openBin(strings.Repeat("\x00\x00\x00\xff\xff", 400)).bits(rsv1), last("").announcing(2 * limit)}, want: failed(1009)},
	}
}

// noiseText returns text that can hardly be compressed.
func noiseText(n int) string {
	b := []byte(noise(n))
	for i := range b {
		b[i] = ' ' + b[i]%64
	}
	return string(b)
}
