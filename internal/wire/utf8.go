package wire

import (
	"unicode/utf8"
)

// A UTF8Validator checks text that comes in pieces, cut anywhere, and fails with
// the first byte that no valid text can go on with.
type UTF8Validator struct {
	partial [utf8.UTFMax]byte // a character that is cut
	n       int               // bytes of it
}

// Valid takes in the next piece.
func (v *UTF8Validator) Valid(p []byte) bool {
	for v.n > 0 && len(p) > 0 {
		v.partial[v.n] = p[0]
		v.n++
		p = p[1:]
		if !utf8.FullRune(v.partial[:v.n]) {
			continue
		}
		if !utf8.Valid(v.partial[:v.n]) {
			return false
		}
		v.n = 0
	}
	whole := len(p) - incompleteTail(p)
	v.n += copy(v.partial[v.n:], p[whole:])
	return utf8.Valid(p[:whole])
}

// Complete reports whether the text may end here.
func (v *UTF8Validator) Complete() bool { return v.n == 0 }

// incompleteTail is the number of bytes at the end of p that begin a character.
func incompleteTail(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if tail := p[len(p)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}
