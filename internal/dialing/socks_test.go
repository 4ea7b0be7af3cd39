package dialing_test

import (
	"io"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A step of a SOCKS5 proxy: the bytes that it expects, and its answer to them.
type socksStep struct{ want, answer string }

func TestSOCKS5(t *testing.T) {
	const (
		hello, helloUser = "\x05\x01\x00", "\x05\x02\x00\x02"
		name             = "\x05\x01\x00\x03\x0bexample.com\x00\x50"
		granted          = "\x05\x00\x00\x01\x7f\x00\x00\x01\x04\x38"
	)
	ada := url.UserPassword("ada", "secret")
	for _, tt := range []struct {
		name  string
		url   string
		user  *url.Userinfo
		steps []socksStep
		fails string
	}{
		{name: "a name", url: "http://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, granted}}},
		{name: "a name and a port", url: "http://example.com:8080/", steps: []socksStep{{hello, "\x05\x00"}, {"\x05\x01\x00\x03\x0bexample.com\x1f\x90", granted}}},
		{name: "an IPv4 address", url: "http://192.0.2.1/", steps: []socksStep{{hello, "\x05\x00"}, {"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50", granted}}},
		{name: "an IPv6 address", url: "http://[2001:db8::1]/", steps: []socksStep{
			{hello, "\x05\x00"}, {"\x05\x01\x00\x04\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50", granted},
		}},
		{name: "a name that is not ASCII", url: "http://bücher.test/", steps: []socksStep{{hello, "\x05\x00"}, {"\x05\x01\x00\x03\x12xn--bcher-kva.test\x00\x50", granted}}},
		{name: "an answer with an IPv6 address", url: "http://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x00\x00\x04" + strings.Repeat("\x00", 18)}}},
		{name: "an answer with a name", url: "http://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x00\x00\x03\x05proxy\x00\x00"}}},
		{name: "a user", url: "http://example.com/", user: ada, steps: []socksStep{{helloUser, "\x05\x02"}, {"\x01\x03ada\x06secret", "\x01\x00"}, {name, granted}}},
		{name: "a user that is not needed", url: "http://example.com/", user: ada, steps: []socksStep{{helloUser, "\x05\x00"}, {name, granted}}},
		{name: "a user without a password", url: "http://example.com/", user: url.User("ada"), steps: []socksStep{{helloUser, "\x05\x02"}, {"\x01\x03ada\x00", "\x01\x00"}, {name, granted}}},

		{name: "a password that is wrong", url: "http://example.com/", user: ada, steps: []socksStep{{helloUser, "\x05\x02"}, {"\x01\x03ada\x06secret", "\x01\x01"}}, fails: "user and password"},
		{name: "a password that is missing", url: "http://example.com/", steps: []socksStep{{hello, "\x05\x02"}}, fails: "authentication"},
		{name: "no method that is known", url: "http://example.com/", user: ada, steps: []socksStep{{helloUser, "\x05\xff"}}, fails: "authentication"},
		{name: "SOCKS4", url: "http://example.com/", steps: []socksStep{{hello, "\x00\x5b"}}, fails: "speaks no SOCKS5"},
		{name: "no SOCKS", url: "http://example.com/", steps: []socksStep{{hello, "HTTP/1.1 400 Bad Request\r\n\r\n"}}, fails: "speaks no SOCKS5"},
		{name: "refused by the server", url: "http://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"}}, fails: "connection refused"},
		{name: "refused for a reason that nobody knows", url: "http://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x63\x00\x01\x00\x00\x00\x00\x00\x00"}}, fails: "refuses: 99"},
		{name: "another version later", url: "http://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x04\x00\x00\x01\x00\x00\x00\x00\x00\x00"}}, fails: "speaks no SOCKS5"},
		{name: "an answer with an address of no kind", url: "http://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x00\x00\x02\x00\x00\x00\x00\x00\x00"}}, fails: "kind 2"},
		{name: "half an answer", url: "http://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x00\x00\x01\x7f"}}, fails: io.ErrUnexpectedEOF.Error()},
		{name: "half an answer with a name", url: "http://example.com/", steps: []socksStep{{hello, "\x05\x00"}, {name, "\x05\x00\x00\x03"}}, fails: io.ErrUnexpectedEOF.Error()},
		{name: "no answer", url: "http://example.com/", steps: []socksStep{{hello, ""}}, fails: io.ErrUnexpectedEOF.Error()},
		{name: "a name that is too long", url: "http://" + strings.Repeat("x", 256) + "/", fails: "more than 255 bytes"},
		{name: "a user that is too long", url: "http://example.com/", user: url.User(strings.Repeat("x", 256)), fails: "length"},
		{name: "a user without a name", url: "http://example.com/", user: url.UserPassword("", "x"), fails: "length"},
		{name: "a port that is too large", url: "http://example.com:65536/", fails: `"65536"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proxy := &url.URL{Scheme: "socks5", Host: "proxy.test", User: tt.user}
			nc, err := connectTo(t, tt.url, proxy, func(proxy net.Conn) {
				for _, step := range tt.steps {
					b := make([]byte, len(step.want))
					_, err := io.ReadFull(proxy, b)
					assert.NoError(t, err)
					assert.Equal(t, step.want, string(b))
					_, _ = io.WriteString(proxy, step.answer)
				}
				if tt.fails == "" {
					_, _ = io.WriteString(proxy, "hello")
				}
				_ = proxy.Close()
			})
			if tt.fails != "" {
				require.ErrorContains(t, err, "proxy: ")
				require.ErrorContains(t, err, tt.fails)
				require.NotContains(t, err.Error(), "secret")
				return
			}
			require.NoError(t, err)
			read, err := io.ReadAll(nc)
			require.NoError(t, err)
			require.Equal(t, "hello", string(read), "not a byte is lost that comes behind the answer")
		})
	}
}
