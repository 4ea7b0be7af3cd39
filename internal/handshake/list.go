package handshake

import (
	"iter"
	"strings"
)

// listElements yields the elements of a list in a header, without the empty ones. The list
// may be on several lines, with white space around each element (RFC 9110, 5.3 and
// 5.6.1.2). No element may contain a comma.
func listElements(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for element := range strings.SplitSeq(line, ",") {
				element = strings.Trim(element, " \t")
				if element != "" && !yield(element) {
					return
				}
			}
		}
	}
}

// listHas reports whether a list has an element. Elements are compared without case, as
// protocols and connection options are (RFC 9110, 7.6.1 and 7.8). Other elements need not
// be tokens: "TLS/1.0" is a protocol.
func listHas(lines []string, wanted string) bool {
	for element := range listElements(lines) {
		if equalFoldASCII(element, wanted) {
			return true
		}
	}
	return false
}

// listHasOnly reports whether a list has an element and no other one.
func listHasOnly(lines []string, wanted string) bool {
	found := false
	for element := range listElements(lines) {
		if !equalFoldASCII(element, wanted) {
			return false
		}
		found = true
	}
	return found
}

// equalFoldASCII is strings.EqualFold without the letters beyond ASCII that fold to ASCII
// ones: the Kelvin sign is not a k.
func equalFoldASCII(s, t string) bool { return len(s) == len(t) && strings.EqualFold(s, t) }

// IsToken reports whether s is a token (RFC 9110, 5.6.2).
func IsToken(s string) bool { return s != "" && tokenLength(s) == len(s) }

// tokenLength returns the length of the longest token that s begins with, in bytes.
func tokenLength(s string) int {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return i
		}
	}
	return len(s)
}
