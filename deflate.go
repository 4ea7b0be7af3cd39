package websocket

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	ws "github.com/gorilla/websocket"
)

// offersDeflate tells whether the client offers permessage-deflate in a way that
// gorilla's one answer, without context takeover and without window sizes, fits
// (RFC 7692, 7). The header may have several lines (RFC 6455, 9.1).
func offersDeflate(header http.Header) bool {
	for _, line := range header["Sec-Websocket-Extensions"] {
		if slices.ContainsFunc(splitUnquoted(line, ','), canHonor) {
			return true
		}
	}
	return false
}

// canHonor tells whether an offer can be accepted. One with a parameter that is
// unknown, repeated or of a bad value must be declined (RFC 7692, 7), and so must
// one that asks for a size of our window, which the answer would have to confirm
// (7.1.2.1). Names are compared as they are: RFC 6455 says nothing of case, and
// what is declined harms nobody.
func canHonor(offer string) bool {
	fields := splitUnquoted(offer, ';')
	if strings.Trim(fields[0], " \t") != "permessage-deflate" {
		return false
	}
	seen := make(map[string]bool)
	for _, parameter := range fields[1:] {
		name, value, valued := strings.Cut(parameter, "=")
		name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
		var valid bool
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			valid = !valued
		case "client_max_window_bits":
			valid = !valued || isWindowBits(value)
		}
		if !valid || seen[name] {
			return false
		}
		seen[name] = true
	}
	return true
}

// isWindowBits tells whether a parameter's value, which may be in quotes, is 8 to
// 15 without leading zeros (RFC 7692, 7.1.2).
func isWindowBits(value string) bool {
	if quoted, ok := strings.CutPrefix(value, `"`); ok {
		if value, ok = strings.CutSuffix(quoted, `"`); !ok {
			return false
		}
	}
	return slices.Contains([]string{"8", "9", "10", "11", "12", "13", "14", "15"}, value)
}

// splitUnquoted splits s where the separator is outside of quoted strings
// (RFC 9110, 5.6.4).
func splitUnquoted(s string, separator byte) []string {
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case quoted && s[i] == '\\':
			i++ // what is escaped ends no string
		case !quoted && s[i] == separator:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}

// setCompression gives a new connection the level of the options; gorilla's too,
// for code that has only that.
func (c *Conn) setCompression(gorilla *ws.Conn, options *Options) {
	level := options.compressionLevel()
	c.uncompressed.Store(level == 0)
	level = cmp.Or(level, defaultCompressionLevel) // for who switches it on
	c.level.Store(int32(level))
	gorilla.EnableWriteCompression(!c.uncompressed.Load())
	_ = gorilla.SetCompressionLevel(level) // it was validated
}

// compresses tells whether a whole message of this size is to be compressed.
func (c *Conn) compresses(size int) bool {
	return c.t.deflate && !c.uncompressed.Load() && size >= c.t.options.compressionThreshold()
}
