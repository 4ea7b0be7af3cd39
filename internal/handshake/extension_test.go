package handshake

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseExtensions(t *testing.T) {
	flag := func(name string) extensionParameter { return extensionParameter{name: name} }
	value := func(name, value string) extensionParameter {
		return extensionParameter{name: name, value: value, valued: true}
	}
	for _, tt := range []struct {
		name      string
		lines     []string
		want      []Extension
		malformed bool
	}{
		{name: "no header"},
		{name: "an empty one", lines: []string{"", " , "}},
		{name: "one", lines: []string{"a"}, want: []Extension{{name: "a"}}},
		{
			name: "parameters", lines: []string{"a;b ; c=d; e = \"f\""},
			want: []Extension{{name: "a", parameters: []extensionParameter{flag("b"), value("c", "d"), value("e", "f")}}},
		},
		{
			name: "some, on several lines", lines: []string{" ,a;b,, c", "d"},
			want: []Extension{{name: "a", parameters: []extensionParameter{flag("b")}}, {name: "c"}, {name: "d"}},
		},
		{
			name: "a backslash in a quoted string", lines: []string{`a; b="1\0"`},
			want: []Extension{{name: "a", parameters: []extensionParameter{value("b", "10")}}},
		},
		{name: "a parameter twice", lines: []string{"a; b; b"}, want: []Extension{{name: "a", parameters: []extensionParameter{flag("b"), flag("b")}}}},
		{name: "a name that is no token", lines: []string{"a/1"}, malformed: true},
		{name: "two names", lines: []string{"a b"}, malformed: true},
		{name: "no name", lines: []string{"; a"}, malformed: true},
		{name: "no name, later", lines: []string{"a, =b"}, malformed: true},
		{name: "no parameter", lines: []string{"a;"}, malformed: true},
		{name: "no parameter between", lines: []string{"a; ; b"}, malformed: true},
		{name: "no parameter before a comma", lines: []string{"a;, b"}, malformed: true},
		{name: "no value", lines: []string{"a; b="}, malformed: true},
		{name: "no value before another parameter", lines: []string{"a; b=; c"}, malformed: true},
		{name: "two values", lines: []string{"a; b=c d"}, malformed: true},
		{name: "a value of a value", lines: []string{"a; b=c=d"}, malformed: true},
		{name: "a value of the extension", lines: []string{"a=b"}, malformed: true},
		{name: "an empty quoted string", lines: []string{`a; b=""`}, malformed: true},
		{name: "a quoted string that is no token", lines: []string{`a; b="c, d"`}, malformed: true},
		{name: "a quoted string that is no token without its backslash", lines: []string{`a; b="\""`}, malformed: true},
		{name: "a quoted string without an end", lines: []string{`a; b="c`}, malformed: true},
		{name: "a quoted string that ends in a backslash", lines: []string{`a; b="c\`}, malformed: true},
		{name: "a quoted string on two lines", lines: []string{`a; b="c`, `d"`}, malformed: true},
		{name: "something behind a quoted string", lines: []string{`a; b="c"d`}, malformed: true},
		{name: "a quoted name", lines: []string{`"a"`}, malformed: true},
		{name: "what is not ASCII", lines: []string{"ä"}, malformed: true},
		{name: "a good one before it", lines: []string{"a", "b;"}, malformed: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseExtensions(tt.lines)
			if tt.malformed {
				require.ErrorIs(t, err, errMalformedExtensions)
				assert.Empty(t, got)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, tt.want, got)
		})
	}
}

// What RFC 9110 says of lists, tokens, protocols and quoted strings, and RFC 6455, 9.1 of
// extensions, as regular expressions.
const (
	tokenGrammar     = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	quotedGrammar    = `"(?:\\?` + tokenGrammar + `)+"`
	parameterGrammar = tokenGrammar + `(?:[ \t]*=[ \t]*(?:` + tokenGrammar + `|` + quotedGrammar + `))?`
	extensionGrammar = tokenGrammar + `(?:[ \t]*;[ \t]*` + parameterGrammar + `)*`
)

var (
	wellFormed = regexp.MustCompile(`^(?:[ \t]*(?:` + extensionGrammar + `)?[ \t]*(?:,|$))*$`)
	aToken     = regexp.MustCompile(`^` + tokenGrammar + `$`)
)

// FuzzHeaderList compares the reader of lists with the grammars.
func FuzzHeaderList(f *testing.F) {
	for _, line := range []string{
		"", "websocket", "TLS/1.0, websocket", "HTTP/2.0,SHTTP/1.3 , WebSocket", "keep-alive, , Upgrade", ",websocket",
		"permessage-deflate; client_max_window_bits", `a;b="c\d", e;f = g`, `a; b="c, d"`, "a;", "a b", `a; b="`, "\u212a", "a;b=\"`\"",
	} {
		f.Add(line, "")
		f.Add("x", line)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		lines := []string{first, second}
		var split []string
		for element := range strings.SplitSeq(first+","+second, ",") {
			if element = strings.Trim(element, " \t"); element != "" {
				split = append(split, element)
			}
		}
		assert.Equal(t, split, slices.Collect(listElements(lines)))
		for _, element := range split {
			assert.True(t, listHas(lines, element))
			assert.Equal(t, aToken.MatchString(element), IsToken(element), "%q", element)
		}
		assert.False(t, listHas(lines, ""))
		assert.False(t, listHas(lines, first+second+"x"))

		extensions, err := parseExtensions(lines)
		assert.Equal(t, wellFormed.MatchString(first) && wellFormed.MatchString(second), err == nil, "%q", lines)
		for _, e := range extensions {
			assert.True(t, IsToken(e.name))
			for _, p := range e.parameters {
				assert.True(t, IsToken(p.name))
				assert.Equal(t, p.valued, IsToken(p.value))
			}
		}
		if !strings.ContainsAny(first+second, `"=;`) && err == nil {
			for i, e := range extensions {
				assert.Equal(t, split[i], e.name)
			}
			assert.Len(t, extensions, len(split))
		}
	})
}
