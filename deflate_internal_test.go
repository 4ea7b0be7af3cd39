package websocket

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// honored is the grammar of the offers that can be accepted (RFC 6455, 9.1; RFC
// 7692, 7.1), but for parameters that come twice.
var honored = regexp.MustCompile(`^[ \t]*permessage-deflate(?:[ \t]*;[ \t]*(?:` +
	`server_no_context_takeover|client_no_context_takeover|client_max_window_bits(?:[ \t]*=[ \t]*(?:[89]|1[0-5]|"(?:[89]|1[0-5])"))?` +
	`))*[ \t]*$`)

// quoted are strings in quotes, of which the last may have no end.
var quoted = regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*(?:"|\\?$)`)

func FuzzOffer(f *testing.F) {
	for _, offer := range []string{
		"permessage-deflate",
		"permessage-deflate; server_no_context_takeover;client_no_context_takeover ; client_max_window_bits\t=\t8",
		`permessage-deflate; client_max_window_bits="10"`,
		`permessage-deflate; client_max_window_bits="1\0"`,
		"permessage-deflate; client_max_window_bits; client_max_window_bits=9",
		`x; a="\",permessage-deflate"`,
		`x; a="b, permessage-deflate`,
	} {
		f.Add(offer)
	}
	f.Fuzz(func(t *testing.T, offer string) {
		want := honored.MatchString(offer)
		for _, parameter := range []string{"server_no_context_takeover", "client_no_context_takeover", "client_max_window_bits"} {
			want = want && strings.Count(offer, parameter) <= 1
		}
		assert.Equal(t, want, canHonor(offer), "%q", offer)

		parts := splitUnquoted(offer, ',')
		assert.Equal(t, offer, strings.Join(parts, ","), "nothing is lost")
		assert.Len(t, parts, strings.Count(quoted.ReplaceAllString(offer, ""), ",")+1, "%q", offer)
	})
}
