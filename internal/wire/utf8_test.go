package wire

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

// completable tells, by trying, whether valid text can begin with p.
func completable(p string) bool {
	if utf8.ValidString(p) {
		return true
	}
	for n := 1; n < utf8.UTFMax; n++ {
		for _, b := range []string{"\x80", "\x90", "\xa0"} { // where the second byte is bounded, one of them fits
			if utf8.ValidString(p + b + strings.Repeat("\x80", n-1)) {
				return true
			}
		}
	}
	return false
}

func TestUTF8Validator(t *testing.T) {
	texts := []string{
		"", "plain", "κόσμε", "日本語", "🙂🙂", "a\u00a0b\u0800c\U00010000d\U0010ffff", "\ufffe\uffff", "\x00",
		"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", // overlong
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe", "\xff", // surrogates, too large
		"κόσ\xce", "日\xe6\x97", "🙂\xf0\x9f\x99", // cut off
		"κ\xcex", "日\xe6\x97x", "🙂\xf0\x9f\x99x", "\xc3\xc3\xa9", "\xf0\x9f\x99\x82\x82",
	}
	for _, text := range texts {
		good := len(text) // bytes until the first that nothing can go on from
		for good > 0 && !completable(text[:good]) {
			good--
		}
		for first := range len(text) + 1 { // two pieces, then byte by byte
			var v UTF8Validator
			ok := v.Valid([]byte(text[:first]))
			assert.Equal(t, first <= good, ok, "%q cut at %d", text, first)
			for i := first; ok && i < len(text); i++ {
				ok = v.Valid([]byte{text[i]})
				assert.Equal(t, i < good, ok, "%q cut at %d, byte %d", text, first, i)
			}
			assert.Equal(t, utf8.ValidString(text), ok && v.Complete(), "%q cut at %d", text, first)
		}
	}
}

func FuzzUTF8Validator(f *testing.F) {
	f.Add([]byte("κόσμε\xf4\x90"), uint8(3), uint8(1))
	f.Fuzz(func(t *testing.T, text []byte, first, step uint8) {
		var v UTF8Validator
		ok := true
		for rest, n := text, int(first); len(rest) > 0 && ok; n = int(step) + 1 {
			n = min(max(n, 1), len(rest))
			ok = v.Valid(rest[:n])
			rest = rest[n:]
		}
		assert.Equal(t, utf8.Valid(text), ok && v.Complete())
	})
}
