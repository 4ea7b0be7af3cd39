package handshake

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
)

// What both ends read of the headers of a handshake: lists, which may be on several
// lines, with empty elements and white space around each (RFC 9110, 5.3 and 5.6.1.2).

// listElements yields the elements of a list whose elements have no commas in them,
// without the empty ones.
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

// listHas reports whether a list has an element, compared without case as protocols
// and connection options are (RFC 9110, 7.6.1 and 7.8). The others may be anything:
// "TLS/1.0" is a protocol, and no token.
func listHas(lines []string, wanted string) bool {
	for element := range listElements(lines) {
		if equalFoldASCII(element, wanted) {
			return true
		}
	}
	return false
}

// listHasOnly reports whether a list has an element, and no other beside it.
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

// equalFoldASCII is strings.EqualFold without the letters of Unicode that fold to
// those of ASCII: the Kelvin sign is no k.
func equalFoldASCII(s, t string) bool { return len(s) == len(t) && strings.EqualFold(s, t) }

// IsToken reports whether s is a token (RFC 9110, 5.6.2).
func IsToken(s string) bool { return s != "" && tokenLength(s) == len(s) }

// tokenLength is how much of the beginning of s may be a token, in bytes.
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

// An extension is an element of Sec-WebSocket-Extensions (RFC 6455, 9.1).
type extension struct {
	name       string
	parameters []extensionParameter
}

type extensionParameter struct {
	name, value string
	valued      bool // it has a value
}

// errMalformedExtensions is wrapped by the error of parseExtensions.
var errMalformedExtensions = errors.New("malformed 'Sec-WebSocket-Extensions' header")

// parseExtensions reads the lines of Sec-WebSocket-Extensions. What is malformed fails
// the handshake (RFC 6455, 9.1). A header without any element is none.
func parseExtensions(lines []string) (list []extension, err error) {
	for _, line := range lines {
		s := headerScanner{rest: line}
		for {
			for s.accept(',') { // what is before it, or behind the last one, is an empty element
			}
			if s.rest == "" {
				break
			}
			e, ok := s.extension()
			if !ok || s.rest != "" && s.rest[0] != ',' {
				return nil, fmt.Errorf("%w: %q", errMalformedExtensions, line)
			}
			list = append(list, e)
		}
	}
	return list, nil
}

// A headerScanner reads a line from its beginning. What it does not find it leaves
// where it is. White space between two parts is skipped.
type headerScanner struct{ rest string }

func (s *headerScanner) skipSpace() { s.rest = strings.TrimLeft(s.rest, " \t") }

// accept skips a byte, if it is the next.
func (s *headerScanner) accept(c byte) bool {
	s.skipSpace()
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	s.skipSpace()
	return true
}

// token reads a token, which is empty where there is none.
func (s *headerScanner) token() string {
	n := tokenLength(s.rest)
	token := s.rest[:n]
	s.rest = s.rest[n:]
	s.skipSpace()
	return token
}

// extension reads an element of Sec-WebSocket-Extensions.
func (s *headerScanner) extension() (e extension, ok bool) {
	if e.name = s.token(); e.name == "" {
		return e, false
	}
	for s.accept(';') {
		p := extensionParameter{name: s.token()}
		if p.name == "" {
			return e, false
		}
		if p.valued = s.accept('='); p.valued {
			if p.value = s.tokenOrQuoted(); p.value == "" {
				return e, false
			}
		}
		e.parameters = append(e.parameters, p)
	}
	return e, true
}

// tokenOrQuoted reads a token, or a quoted string (RFC 9110, 5.6.4) that is one
// without its quotes and backslashes (RFC 6455, 9.1). It is empty where there is none.
func (s *headerScanner) tokenOrQuoted() string {
	if !strings.HasPrefix(s.rest, `"`) {
		return s.token()
	}
	var value []byte
	for i := 1; i < len(s.rest); i++ {
		switch s.rest[i] {
		case '"':
			s.rest = s.rest[i+1:]
			s.skipSpace()
			if !IsToken(string(value)) {
				return ""
			}
			return string(value)
		case '\\':
			i++
			if i == len(s.rest) {
				return ""
			}
		}
		value = append(value, s.rest[i])
	}
	return ""
}

// CanonicalHeader spells the names of headers as gorilla looks for them:
// "Sec-WebSocket-Protocol" in a map literal is another key.
func CanonicalHeader(h http.Header) http.Header {
	if h == nil {
		return nil
	}
	c := make(http.Header, len(h))
	for name, values := range h {
		name = http.CanonicalHeaderKey(name)
		c[name] = append(c[name], values...)
	}
	return c
}
