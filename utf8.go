package websocket

import "unicode/utf8"

// A utf8Validator checks text that comes in pieces, cut anywhere, and fails with
// the first byte that no valid text can go on with.
type utf8Validator struct {
	begun [utf8.UTFMax]byte // a character that is cut
	n     int               // bytes of it
}

// valid takes in the next piece.
func (v *utf8Validator) valid(p []byte) bool {
	for v.n > 0 && len(p) > 0 {
		v.begun[v.n] = p[0]
		v.n++
		p = p[1:]
		if !utf8.FullRune(v.begun[:v.n]) {
			continue
		}
		if !utf8.Valid(v.begun[:v.n]) {
			return false
		}
		v.n = 0
	}
	whole := len(p) - cut(p)
	v.n += copy(v.begun[v.n:], p[whole:])
	return utf8.Valid(p[:whole])
}

// complete reports whether the text may end here.
func (v *utf8Validator) complete() bool { return v.n == 0 }

// cut is the number of bytes at the end of p that begin a character.
func cut(p []byte) int {
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
