package hub_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPositions(t *testing.T) {
	for _, p := range []hub.Position{
		{},
		{Epoch: "", Offset: 7},
		{Epoch: "e", Offset: 0},
		{Epoch: "lobby", Offset: 42},
		{Epoch: "\x00\xff/?&#\"'<>\r\n 日本-", Offset: 1<<64 - 1},
		{Epoch: strings.Repeat("e", 128), Offset: 1},
	} {
		text := p.String()
		assert.Equal(t, text, url.QueryEscape(text))
		got, err := hub.ParsePosition(text)
		require.NoError(t, err)
		assert.Equal(t, p, got)

		var document struct{ At hub.Position }
		document.At = p
		encoded, err := json.Marshal(document)
		require.NoError(t, err)
		assert.Equal(t, `{"At":"`+text+`"}`, string(encoded))
		document.At = hub.Position{}
		require.NoError(t, json.Unmarshal(encoded, &document))
		assert.Equal(t, p, document.At)
	}
}

func TestMalformedPositions(t *testing.T) {
	for name, text := range map[string]string{
		"no epoch":               "12",
		"no offset":              "-bG9iYnk",
		"a sign":                 "+1-bG9iYnk",
		"a negative offset":      "-1-bG9iYnk",
		"a leading zero":         "01-bG9iYnk",
		"an offset too large":    "18446744073709551616-bG9iYnk",
		"a space":                " 1-bG9iYnk",
		"the epoch not base64":   "1-*",
		"the epoch padded":       "1-YQ==",
		"a line end":             "1-bG9i\nYnk",
		"bits that mean nothing": "1-YR",
		"the zero position":      "0-",
		"an epoch too long":      "1-" + strings.Repeat("YWFh", 100),
		"not text":               "\xff\x00",
	} {
		t.Run(name, func(t *testing.T) {
			p, err := hub.ParsePosition(text)
			require.ErrorContains(t, err, "malformed position")
			assert.Zero(t, p)
			kept := hub.Position{Epoch: "e", Offset: 1}
			require.Error(t, kept.UnmarshalText([]byte(text)))
			assert.Equal(t, hub.Position{Epoch: "e", Offset: 1}, kept)
		})
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add("42-bG9iYnk")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := hub.ParsePosition(text); err == nil {
			assert.Equal(t, text, p.String())
		}
	})
}
