package conformance_test

import "math"

// limit is the size of the longest accepted message, the library's default.
const limit = 1 << 20

func limits() []row {
	full, half := bin(filler(limit)), filler(limit/2)
	none := bin("")
	return []row{
		{name: "a message of the limit", rfc: "10.4", send: full, want: back(full)},
		{name: "one byte more, of which only the header is sent", rfc: "10.4", send: none.announcing(limit + 1), want: failed(1009)},
		{name: "one byte more", rfc: "10.4", send: bin(filler(limit + 1)), want: failed(1009)},
		{name: "text of one byte more", rfc: "10.4", send: text(filler(limit + 1)), want: failed(1009)},
		{name: "ten times the limit", rfc: "10.4", send: none.announcing(10 * limit), want: failed(1009)},
		{name: "more than a machine has", rfc: "10.4", send: none.announcing(math.MaxInt64), want: failed(1009)},
		{name: "two fragments of the limit together", rfc: "10.4", send: all{openBin(half), last(half)}, want: back(full.with(func(f *frame) { f.payload = half + half }))},
		{name: "two fragments of one byte more together", rfc: "10.4", send: all{openBin(half), last("").announcing(limit/2 + 1)}, want: failed(1009)},
		{name: "two fragments whose lengths wrap around together", rfc: "10.4", send: all{openBin("x"), last("").announcing(math.MaxUint64)}, want: failed(1009)},
		{name: "fragments of the limit, pings and empty fragments between", rfc: "10.4", send: all{openBin(half), ping(filler(125)), more(""), pong("?"), last(half)}, want: back(pong(filler(125)), bin(half+half))},
		{name: "fragments of 4096 bytes without an end", rfc: "10.4", send: append(all{openBin("")}, times(300, more(filler(4096)))...), want: failed(1009)},
		{name: "a good message, then too long a one", rfc: "10.4", send: all{text("good"), none.announcing(limit + 1)}, want: back(text("good")).thenFail(1009)},
		{name: "a message of the limit twice", rfc: "10.4", send: all{full, full}, want: back(full, full)},
		{name: "part of an announced payload, then nothing", rfc: "7.1.5", send: bin("some").announcing(limit), want: want{end: drops}, hangsUp: true},
	}
}
