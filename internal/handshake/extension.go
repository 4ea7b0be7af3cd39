package handshake

import (
	"errors"
	"fmt"
	"strings"
)

// An Extension is an element of Sec-WebSocket-Extensions (RFC 6455, 9.1).
type Extension struct {
	name       string
	parameters []extensionParameter
}

type extensionParameter struct {
	name, value string
	valued      bool // reports whether there is a value
}

// errMalformedExtensions is wrapped by the error of parseExtensions.
var errMalformedExtensions = errors.New("malformed 'Sec-WebSocket-Extensions' header")

// parseExtensions parses the lines of Sec-WebSocket-Extensions. A malformed header fails the
// handshake (RFC 6455, 9.1). A header without elements counts as none.
func parseExtensions(lines []string) (list []Extension, err error) {
	for _, line := range lines {
		s := headerScanner{rest: line}
		for {
			for s.accept(',') { // before a comma there is an empty element
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

// A headerScanner parses a line from its beginning. Its methods skip the white space behind
// what they parse, and leave rest alone where they find nothing.
type headerScanner struct{ rest string }

func (s *headerScanner) skipSpace() { s.rest = strings.TrimLeft(s.rest, " \t") }

// accept skips c if it comes next, and reports whether it did.
func (s *headerScanner) accept(c byte) bool {
	s.skipSpace()
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	s.skipSpace()
	return true
}

// token parses a token. It returns "" where there is none.
func (s *headerScanner) token() string {
	n := tokenLength(s.rest)
	token := s.rest[:n]
	s.rest = s.rest[n:]
	s.skipSpace()
	return token
}

// extension parses an element of Sec-WebSocket-Extensions.
func (s *headerScanner) extension() (e Extension, ok bool) {
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

// tokenOrQuoted parses a token, or a quoted string (RFC 9110, 5.6.4) whose content is a token
// (RFC 6455, 9.1). It returns "" where there is neither.
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
