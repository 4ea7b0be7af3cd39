package handshake

import (
	"bufio"
	"bytes"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sampleKey and sampleAccept are the example of RFC 6455, 1.3.
const (
	sampleKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

func TestAppendResponse(t *testing.T) {
	basic := http.Header{"Upgrade": {"websocket"}, "Connection": {"Upgrade"}, "Sec-Websocket-Accept": {sampleAccept}}
	with := func(more http.Header) http.Header {
		all := basic.Clone()
		maps.Copy(all, more)
		return all
	}
	for _, tt := range []struct {
		name                    string
		subprotocol, extensions string
		header, want            http.Header
	}{
		{name: "nothing is agreed on", want: basic},
		{
			name: "a subprotocol and an extension", subprotocol: "chat", extensions: "permessage-deflate",
			want: with(http.Header{"Sec-Websocket-Protocol": {"chat"}, "Sec-Websocket-Extensions": {"permessage-deflate"}}),
		},
		{
			name:   "headers of the application",
			header: http.Header{"Set-Cookie": {"a=1", "b=2"}, "X-Empty": {""}, "X-None": nil},
			want:   with(http.Header{"Set-Cookie": {"a=1", "b=2"}, "X-Empty": {""}}),
		},
		{
			name: "the application's header selected the subprotocol", subprotocol: "chat",
			header: http.Header{"Sec-Websocket-Protocol": {"chat"}},
			want:   with(http.Header{"Sec-Websocket-Protocol": {"chat"}}),
		},
		{
			name:   "values and names that would split the response",
			header: http.Header{"X-Value": {"a\r\nX-Split: b"}, "X-Name: c\r\nX-Split": {"d"}},
			want:   with(http.Header{"X-Value": {"a  X-Split: b"}, "X-Name": {"c  X-Split: d"}}),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := AppendResponse([]byte("before"), sampleKey, tt.subprotocol, tt.extensions, tt.header)
			written, found := bytes.CutPrefix(p, []byte("before"))
			require.True(t, found)
			r := bufio.NewReader(bytes.NewReader(written))
			response, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, "HTTP/1.1 101 Switching Protocols", response.Proto+" "+response.Status)
			assert.Equal(t, tt.want, response.Header)
			assert.Zero(t, r.Buffered())
			assert.Equal(t, 1, strings.Count(string(written), "\r\n\r\n"))
		})
	}
}

func TestAppendResponseAllocatesNothing(t *testing.T) {
	p := make([]byte, 0, 512)
	header := http.Header{"Set-Cookie": {"a=1"}}
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_ = AppendResponse(p, sampleKey, "chat", "permessage-deflate", header)
	}))
}
