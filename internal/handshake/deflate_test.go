package handshake

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// honored is the grammar of the offers that can be accepted (RFC 6455, 9.1; RFC
// 7692, 7.1), but for parameters that come twice and backslashes in quoted strings.
var honored = regexp.MustCompile(`^[ \t,]*permessage-deflate(?:[ \t]*;[ \t]*(?:` +
	`server_no_context_takeover|client_no_context_takeover|server_max_window_bits[ \t]*=[ \t]*(?:[89]|1[0-5]|"(?:[89]|1[0-5])")|` +
	`client_max_window_bits(?:[ \t]*=[ \t]*(?:[89]|1[0-5]|"(?:[89]|1[0-5])"))?` +
	`))*[ \t,]*$`)

// FuzzOffer compares the offers that are accepted with their grammar, one at a time.
func FuzzOffer(f *testing.F) {
	for _, offer := range []string{
		"permessage-deflate",
		"permessage-deflate; server_no_context_takeover;client_no_context_takeover ; client_max_window_bits\t=\t8",
		`permessage-deflate; client_max_window_bits="10"`,
		`permessage-deflate; client_max_window_bits="1\0"`,
		"permessage-deflate; client_max_window_bits; client_max_window_bits=9",
		"permessage-deflate; server_max_window_bits=15",
		"permessage-deflate; server_max_window_bits",
		"permessage-deflate; server_max_window_bits=14",
		"permessage-deflate; client_max_window_bits=08",
		", permessage-deflate ,",
		`x; a="\",permessage-deflate"`,
		`x; a="b, permessage-deflate`,
	} {
		f.Add(offer)
	}
	f.Fuzz(func(t *testing.T, offer string) {
		extensions, err := parseExtensions([]string{offer})
		terms, answer := AcceptDeflate(extensions, DeflateLimits{WindowBits: 15})
		if len(extensions) > 1 || strings.Contains(offer, `\`) {
			return
		}
		want := honored.MatchString(offer)
		for _, parameter := range []string{"server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits", "client_max_window_bits"} {
			want = want && strings.Count(offer, parameter) <= 1
		}
		assert.Equal(t, want, terms != nil, "%q", offer)
		assert.Equal(t, want && strings.Contains(offer, "server_max_window_bits"), strings.Contains(answer, "server_max_window_bits="), "%q", offer)
		assert.False(t, want && err != nil, "%q", offer)
	})
}
