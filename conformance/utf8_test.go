package conformance_test

import (
	"strings"
	"unicode/utf8"
)

type sequence struct{ name, s string }

// validTexts are valid UTF-8.
var validTexts = []sequence{
	{"Greek, in two bytes each", "κόσμε"},
	{"Japanese, in three bytes each", "日本語"},
	{"emoji, in four bytes each", "🙂🚀"},
	{"characters of all lengths", "a\u00e9\u20ac\U0001f642"},
	{"a NUL", "a\x00b"},
	{"the last character of one byte", "\x7f"},
	{"the first of two bytes", "\u0080"},
	{"the last of two bytes", "\u07ff"},
	{"the first of three bytes", "\u0800"},
	{"the last before the surrogates", "\ud7ff"},
	{"the first behind the surrogates", "\ue000"},
	{"the replacement character", "\ufffd"},
	{"the last of three bytes", "\uffff"},
	{"the first of four bytes", "\U00010000"},
	{"the last there is", "\U0010ffff"},
	{"a byte order mark", "\ufeffhello"},
	{"a combining character", "e\u0301"},
	{"a non-character, U+FDD0", "\ufdd0"},
	{"a non-character, U+FDEF", "\ufdef"},
	{"a non-character, U+FFFE", "\ufffe"},
	{"a non-character, U+1FFFF", "\U0001ffff"},
	{"a non-character, U+2FFFE", "\U0002fffe"},
	{"a non-character, U+FFFFE", "\U000ffffe"},
	{"a non-character, U+10FFFE", "\U0010fffe"},
}

// invalidTexts are not valid UTF-8.
var invalidTexts = []sequence{
	{"a byte FF", "κόσμε\xff"},
	{"a byte FE", "\xfe"},
	{"a byte order mark of UTF-16", "\xff\xfea\x00"},
	{"a continuation byte alone, 80", "a\x80"},
	{"a continuation byte alone, BF", "\xbfa"},
	{"seven continuation bytes", "\x80\xbf\x80\xbf\x80\xbf\x80"},
	{"a start of two bytes before a space", "\xc3 "},
	{"a start of three bytes before a space", "\xe2 "},
	{"a start of four bytes before a space", "\xf0 "},
	{"three bytes of which the last is missing, before more", "\xe2\x82a"},
	{"four bytes of which the last is missing, before more", "\xf0\x9f\x99a"},
	{"a start of two bytes at the end", "κόσμε\xc3"},
	{"two bytes of three at the end", "κόσμε\xe2\x82"},
	{"three bytes of four at the end", "κόσμε\xf0\x9f\x99"},
	{"unfinished characters of all lengths", "\xc3\xe2\x82\xf0\x9f\x99"},
	{"a slash in two bytes", "\xc0\xaf"},
	{"a slash in three bytes", "\xe0\x80\xaf"},
	{"a slash in four bytes", "\xf0\x80\x80\xaf"},
	{"a slash in five bytes", "\xf8\x80\x80\x80\xaf"},
	{"a slash in six bytes", "\xfc\x80\x80\x80\x80\xaf"},
	{"a NUL in two bytes", "\xc0\x80"},
	{"a NUL in three bytes", "\xe0\x80\x80"},
	{"a NUL in four bytes", "\xf0\x80\x80\x80"},
	{"the last of one byte in two", "\xc1\xbf"},
	{"the last of two bytes in three", "\xe0\x9f\xbf"},
	{"the last of three bytes in four", "\xf0\x8f\xbf\xbf"},
	{"the first surrogate", "\xed\xa0\x80"},
	{"the last surrogate", "\xed\xbf\xbf"},
	{"a pair of surrogates", "\xed\xa0\xbd\xed\xb9\x82"},
	{"one behind the last there is", "\xf4\x90\x80\x80"},
	{"a start of more than there is", "\xf5\x80\x80\x80"},
	{"five bytes", "\xf8\x88\x80\x80\x80"},
	{"six bytes", "\xfc\x84\x80\x80\x80\x80"},
	{"a bad byte behind a long text", filler(100_000) + "\xff"},
	{"a bad byte in the middle of a long text", filler(50_000) + "\xff" + filler(50_000)},
}

// hopeless returns the shortest prefix of s with which no valid UTF-8 begins, "" if there is
// none.
func hopeless(s string) string {
	for at := 0; at < len(s); {
		r, size := utf8.DecodeRuneInString(s[at:])
		if r != utf8.RuneError || size > 1 {
			at += size
			continue
		}
		for end := at + 1; end <= len(s); end++ {
			if utf8.FullRuneInString(s[at:end]) {
				return s[:end]
			}
		}
		return ""
	}
	return ""
}

// byteByByte returns a message in fragments of one byte, or of more bytes if it is long.
func byteByByte(f frame) all { return fragments(f, 1+len(f.payload)/1000) }

// unended returns the message without the FIN bit on its last fragment.
func unended(message all) all {
	end := len(message) - 1
	message[end] = message[end].(frame).notLast() //nolint:errcheck // it is one
	return message
}

func texts() (rows []row) {
	for _, s := range validTexts {
		f := text(s.s)
		rows = append(rows,
			row{name: s.name, rfc: "8.1", send: f, want: back(f)},
			row{name: s.name + ", a byte a fragment", rfc: "8.1", send: byteByByte(f), want: back(f)},
			row{name: s.name + ", byte by byte", rfc: "8.1", send: f, want: back(f), chop: 1},
		)
	}
	for _, s := range invalidTexts {
		f := text(s.s)
		rows = append(rows,
			row{name: s.name, rfc: "8.1", send: f, want: failed(1007)},
			row{name: s.name + ", a byte a fragment", rfc: "8.1", send: byteByByte(f), want: failed(1007)},
			row{name: s.name + ", in pieces", rfc: "8.1", send: f, want: failed(1007), chop: 1 + len(s.s)/100},
		)
		if begun := hopeless(s.s); begun != "" {
			rows = append(rows,
				row{name: s.name + ", in a frame that is not sent whole", rfc: "8.1", send: text(begun + filler(1000)).cut(1000), want: failed(1007)},
				row{name: s.name + ", in fragments without a last one", rfc: "8.1", send: unended(byteByByte(text(begun))), want: failed(1007)},
			)
		}
	}
	split := "\xf0\x9f\x99\x82"
	return append(rows, []row{
		{name: "a character in two fragments, with a ping between", rfc: "8.1", send: all{openText("a\xe2"), ping("\xff"), last("\x82\xac")}, want: back(pong("\xff"), text("a€"))},
		{name: "a character in four fragments and empty ones", rfc: "8.1", send: fragments(text(split), 1, more("")), want: back(text(split))},
		{name: "half a character, then an empty last fragment", rfc: "8.1", send: all{openText("a\xe2\x82"), last("")}, want: failed(1007)},
		{name: "a character cut by the end of one message, its rest in the next", rfc: "8.1", send: all{text("a\xe2"), text("\x82\xac")}, want: failed(1007)},
		{name: "two fragments, each of which is valid by itself", rfc: "8.1", send: all{openText("κό"), last("σμε")}, want: back(text("κόσμε"))},
		{name: "a bad byte in the second fragment", rfc: "8.1", send: all{openText("κό"), last("σ\xff")}, want: failed(1007)},
		{name: "good text, then bad", rfc: "8.1", send: all{text("good"), text("\xff")}, want: back(text("good")).thenFail(1007)},
		{name: "a long text of characters of four bytes, in fragments of 1001 bytes", rfc: "8.1", send: fragments(text(strings.Repeat(split, 20_000)), 1001), want: back(text(strings.Repeat(split, 20_000)))},
		{name: "binary that is no text", rfc: "5.6", send: bin("\xff\xc0\x80"), want: back(bin("\xff\xc0\x80"))},
		{name: "binary that is no text, in fragments", rfc: "5.6", send: all{openBin("\xff"), last("\xc0")}, want: back(bin("\xff\xc0"))},
	}...)
}
