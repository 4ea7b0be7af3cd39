package wire

import "unicode/utf8"

// A UTF8Validator checks text that arrives in pieces, which may be cut anywhere. It fails at
// the first byte that cannot continue valid text.
type UTF8Validator struct {
	partial [utf8.UTFMax]byte // an incomplete character
	n       int               // length of partial, in bytes
}

// Valid adds the next piece and reports whether the text is still valid.
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

// incompleteTail returns the number of bytes at the end of p that begin a character without
// ending it.
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
