package integration_test

import (
	"net/http"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// connect performs a handshake with the given origins, on the host example.com.
func connect(t *testing.T, handler http.Handler, origins ...string) testws.Reply {
	t.Helper()
	return testws.DialHTTP(t, wstest.Serve(t, handler)).Do(testws.UpgradeRequest(func(r *http.Request) {
		if len(origins) > 0 {
			r.Header["Origin"] = origins
		}
	}))
}

func TestAllowedOrigins(t *testing.T) {
	for _, tt := range []struct {
		name    string
		pattern string
		allowed []string
		refused []string
	}{
		{
			name:    "a host",
			pattern: "friend.test",
			allowed: []string{
				"https://friend.test", "http://friend.test", "https://friend.test:443", "http://friend.test:80", "HTTPS://Friend.Test",
				"app://friend.test", "wss://friend.test",
			},
			refused: []string{
				"https://friend.test:8443", "http://friend.test:443", "https://friend.test:80", "https://www.friend.test", "https://evilfriend.test",
				"https://friend.test.evil.test", "https://friend.test.", "https://friend.test@evil.test", "https://evil.test/friend.test",
				"https://evil.test?friend.test", "https://evil.test#friend.test", "app://friend.test:443",
			},
		},
		{
			name:    "a host, in capitals",
			pattern: "Friend.TEST",
			allowed: []string{"https://friend.test"},
		},
		{
			name:    "what is no origin",
			pattern: "friend.test",
			refused: []string{
				"https://user@friend.test", "https://friend.test/", "https://friend.test/path", "https://friend.test?q", "https://friend.test#f",
				"friend.test", "//friend.test", "https:friend.test", "https://", "", "null", "NULL", "https://friend.test https://evil.test",
			},
		},
		{
			name:    "a host and a port",
			pattern: "friend.test:8443",
			allowed: []string{"https://friend.test:8443", "http://friend.test:8443"},
			refused: []string{"https://friend.test", "https://friend.test:8444", "https://friend.test:08443"},
		},
		{
			name:    "a port with a leading zero",
			pattern: "friend.test:08443",
			allowed: []string{"https://friend.test:8443"},
		},
		{
			name:    "a host and a port that is one scheme's default",
			pattern: "friend.test:443",
			allowed: []string{"https://friend.test", "https://friend.test:443", "http://friend.test:443"},
			refused: []string{"http://friend.test"},
		},
		{
			name:    "a scheme",
			pattern: "https://friend.test",
			allowed: []string{"https://friend.test", "https://friend.test:443", "wss://friend.test"},
			refused: []string{"http://friend.test", "http://friend.test:443", "ws://friend.test", "app://friend.test", "https://friend.test:444"},
		},
		{
			name:    "the scheme of a WebSocket",
			pattern: "WSS://friend.test",
			allowed: []string{"https://friend.test"},
			refused: []string{"http://friend.test"},
		},
		{
			name:    "the scheme of a WebSocket in plain text",
			pattern: "ws://friend.test",
			allowed: []string{"http://friend.test"},
			refused: []string{"https://friend.test"},
		},
		{
			name:    "a scheme and a port",
			pattern: "https://app.friend.test:8443",
			allowed: []string{"https://app.friend.test:8443"},
			refused: []string{"https://app.friend.test", "http://app.friend.test:8443"},
		},
		{
			name:    "the hosts below another",
			pattern: "*.friend.test",
			allowed: []string{"https://www.friend.test", "http://a.b.friend.test"},
			refused: []string{
				"https://friend.test", "https://.friend.test", "https://evilfriend.test", "https://www.friend.test:8443", "https://www.friend.test.evil.test",
			},
		},
		{
			name:    "the hosts below another, of one scheme and port",
			pattern: "https://*.friend.test:8443",
			allowed: []string{"https://www.friend.test:8443"},
			refused: []string{"https://www.friend.test", "http://www.friend.test:8443", "https://friend.test:8443"},
		},
		{
			name:    "an address of IPv6",
			pattern: "[::1]",
			allowed: []string{"https://[::1]", "http://[::1]:80"},
			refused: []string{"http://[::1]:8080", "http://[::2]", "http://[::1%25eth0]", "http://[1::1]"},
		},
		{
			name:    "an address of IPv6, at length",
			pattern: "http://[0:0:0:0:0:0:0:A]:8080",
			allowed: []string{"http://[::a]:8080"},
			refused: []string{"http://[::a]"},
		},
		{
			name:    "an address of IPv4 in one of IPv6",
			pattern: "[::ffff:7f00:1]",
			allowed: []string{"http://[::ffff:7f00:1]"},
			refused: []string{"http://127.0.0.1"},
		},
		{
			name:    "an address of IPv4",
			pattern: "127.0.0.1:8080",
			allowed: []string{"http://127.0.0.1:8080"},
			refused: []string{"http://127.0.0.1", "http://127.0.0.2:8080"},
		},
		{
			name:    "an internationalized name",
			pattern: "*.xn--bcher-kva.test",
			allowed: []string{"https://www.xn--bcher-kva.test"},
		},
		{
			name:    "an app in a web view",
			pattern: "capacitor://localhost",
			allowed: []string{"capacitor://localhost", "Capacitor://LocalHost"},
			refused: []string{
				"http://localhost", "https://localhost", "ionic://localhost", "capacitor://localhost:8080", "capacitor://evil.test",
				"capacitor://", "capacitor://localhost/", "capacitor:localhost", "capacitor://a.localhost",
			},
		},
		{
			name:    "an app of another kind",
			pattern: "app://obsidian.md",
			allowed: []string{"app://obsidian.md"},
			refused: []string{"https://obsidian.md", "app://www.obsidian.md"},
		},
		{
			name:    "an app whose host is no name",
			pattern: "app://.",
			allowed: []string{"app://."},
			refused: []string{"app://", "app://-", "https://."},
		},
		{
			name:    "an app whose host looks like a number",
			pattern: "vscode-webview://0127",
			allowed: []string{"vscode-webview://0127"},
			refused: []string{"vscode-webview://127", "vscode-webview://0.0.0.127"},
		},
		{
			name:    "an app on a port",
			pattern: "tauri://localhost:1420",
			allowed: []string{"tauri://localhost:1420"},
			refused: []string{"tauri://localhost", "http://localhost:1420"},
		},
		{
			name:    "the hosts below another, of an app",
			pattern: "app://*.friend.test",
			allowed: []string{"app://www.friend.test"},
			refused: []string{"app://friend.test", "https://www.friend.test", "app://.friend.test"},
		},
		{
			name:    "an extension",
			pattern: "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
			allowed: []string{"chrome-extension://abcdefghijklmnopabcdefghijklmnop"},
			refused: []string{"chrome-extension://ponmlkjihgfedcbaponmlkjihgfedcba", "https://abcdefghijklmnopabcdefghijklmnop"},
		},
		{
			name:    "an extension of another browser",
			pattern: "moz-extension://4f3c2b1a-0000-4000-8000-123456789012",
			allowed: []string{"moz-extension://4f3c2b1a-0000-4000-8000-123456789012", "moz-extension://4F3C2B1A-0000-4000-8000-123456789012"},
			refused: []string{"moz-extension://00000000-0000-4000-8000-123456789012", "chrome-extension://4f3c2b1a-0000-4000-8000-123456789012"},
		},
		{
			name:    "files, in web views that name them",
			pattern: "file://",
			allowed: []string{"file://", "FILE://"},
			refused: []string{"file:///", "file:///index.html", "file://friend.test", "file:", "https://", "app://", "://"},
		},
		{
			name:    "a host without dots",
			pattern: "localhost:3000",
			allowed: []string{"http://localhost:3000"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
			upgrader.AllowedOrigins = []string{"another.test", tt.pattern}
			for _, origin := range tt.allowed {
				assert.Equal(t, http.StatusSwitchingProtocols, connect(t, upgrader, origin).Status, origin)
			}
			for _, origin := range tt.refused {
				assert.Equal(t, http.StatusForbidden, connect(t, upgrader, origin).Status, origin)
			}
			for _, origin := range []string{"https://example.com", "https://another.test"} {
				assert.Equal(t, http.StatusSwitchingProtocols, connect(t, upgrader, origin).Status, "the pattern takes nothing away: %s", origin)
			}
			assert.Equal(t, http.StatusSwitchingProtocols, connect(t, upgrader).Status, "no origin: no browser")
			assert.Equal(t, http.StatusForbidden, connect(t, upgrader, "https://another.test", "https://another.test").Status, "two origins")
			assert.Equal(t, http.StatusForbidden, connect(t, upgrader, "null").Status)
		})
	}
}

func TestRefusedOriginIsNamed(t *testing.T) {
	upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
	upgrader.AllowedOrigins = []string{"friend.test"}
	upgrader.Debug = true
	response := connect(t, upgrader, "https://evil.test")
	require.Equal(t, http.StatusForbidden, response.Status)
	require.JSONEq(t, `{"error": "websocket: origin [\"https://evil.test\"] is not allowed on host \"example.com\""}`, response.Body)
}

func TestOriginPrecedence(t *testing.T) {
	nobody := func(*http.Request) bool { return false }
	for _, tt := range []struct {
		name    string
		options websocket.Options
		check   func(*http.Request) bool
		origins []string
		status  int
	}{
		{name: "without a check: another host", options: websocket.Options{InsecureSkipOriginCheck: true}, origins: []string{"https://evil.test"}, status: http.StatusSwitchingProtocols},
		{name: "without a check: no host", options: websocket.Options{InsecureSkipOriginCheck: true}, origins: []string{"null"}, status: http.StatusSwitchingProtocols},
		{name: "without a check: two origins", options: websocket.Options{InsecureSkipOriginCheck: true}, origins: []string{"null", "::"}, status: http.StatusSwitchingProtocols},
		{name: "the controller against no check", options: websocket.Options{InsecureSkipOriginCheck: true}, check: nobody, origins: []string{"https://example.com"}, status: http.StatusForbidden},
		{name: "the controller against patterns", options: websocket.Options{AllowedOrigins: []string{"friend.test"}}, check: nobody, origins: []string{"https://friend.test"}, status: http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
			if tt.check != nil {
				upgrader.Controller = &testws.OriginController{ControllerFunc: testws.Echo, Check: tt.check}
			}
			upgrader.Options = tt.options
			require.Equal(t, tt.status, connect(t, upgrader, tt.origins...).Status)
		})
	}
}

// badOrigins are invalid patterns, by what is wrong with them.
var badOrigins = map[string][]string{
	"no host":              {"", "https://", ":443", "https://:443", "app://", "capacitor://:80", "file://:80"},
	"every origin":         {"*", "https://*", "*:443", "http://*:80", "chrome-extension://*", "app://*:80"},
	"nothing in common":    {"null", "https://null"},
	"malformed scheme":     {"://friend.test", "*://friend.test", "https ://friend.test", "1app://friend.test", "-://friend.test", "a_b://friend.test", "äpp://friend.test", "://"},
	"a space or a comma":   {" friend.test", "friend.test ", "friend.test evil.test", "a.test,b.test", "friend.test\n"},
	"a path":               {"friend.test/", "https://friend.test/path", "https:/friend.test", `friend.test\path`, "*/"},
	"a query":              {"friend.test?", "https://friend.test?q=1"},
	"a fragment":           {"friend.test#", "https://friend.test#top"},
	"a user":               {"user@friend.test", "https://user:password@friend.test", "@friend.test"},
	`a "*"`:                {"a.*.test", "*friend.test", "friend.*", "*.*.test", "**.test", "*.*", "https://friend.test.*"},
	"empty label":          {"*.", "app://*.", "app://*.friend.", "friend..test", ".friend.test", "friend.test.", "*..test", "."},
	"bad port":             {"friend.test:", "friend.test:0", "friend.test:65536", "friend.test:-1", "friend.test:+80", "friend.test:http", "friend.test:*", "friend.test:80:"},
	"malformed IPv6":       {"[::1", "[]", "[friend.test]", "[127.0.0.1]", "[fe80::1%eth0]", "[::1]x", "[::1].test", "[:::1]", "app://[::1"},
	"not in brackets":      {"2001:db8::1", "::1", "friend.test:80:80"},
	"malformed IPv4":       {"127.1", "1", "300.0.0.1", "friend.1", "127.0.0.01"},
	"below an address":     {"*.0.0.1", "*.1"},
	"in Punycode":          {"bücher.test", "*.例え.test"},
	`a '!' in its host`:    {"friend!.test"},
	`a ']' in its host`:    {"friend]"},
	`a '\x00' in its host`: {"friend\x00.test"},
}

func TestMalformedOriginPatterns(t *testing.T) {
	for wrong, patterns := range badOrigins {
		for _, pattern := range patterns {
			t.Run(pattern, func(t *testing.T) {
				upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
				upgrader.AllowedOrigins = []string{"friend.test", pattern}
				err := upgrader.Validate()
				require.ErrorContains(t, err, "websocket: AllowedOrigins: ")
				require.ErrorContains(t, err, wrong)
				require.PanicsWithError(t, err.Error(), func() { upgrader.RegisterRoutes(http.NewServeMux(), "/") })
			})
		}
	}
	options := websocket.Options{AllowedOrigins: []string{"friend.test", "evil.test/x"}}
	require.EqualError(t, options.Validate(), `websocket: AllowedOrigins: "evil.test/x" has a path: not even a slash may follow the host`)
}

// An Upgrader that was never registered could not report its invalid options before.
func TestInvalidOptions(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options websocket.Options
		reason  string
	}{
		{name: "a bad pattern", options: websocket.Options{AllowedOrigins: []string{"friend.test", "*"}}, reason: `\"*\" would allow every origin`},
		{name: "a bad level", options: websocket.Options{CompressionLevel: 10}, reason: "CompressionLevel is 10"},
		{name: "a bad level below all", options: websocket.Options{CompressionLevel: -3}, reason: "CompressionLevel is -3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
			upgrader.Options = tt.options
			upgrader.Debug = true
			for _, origin := range []string{"https://example.com", "https://friend.test", "https://evil.test"} {
				response := connect(t, upgrader, origin)
				require.Equal(t, http.StatusInternalServerError, response.Status)
				require.Contains(t, response.Body, tt.reason)
			}
			testws.RequireIdle(t, upgrader)
		})
	}
}

// A change of the options after the first request has no effect.
func TestPatternsAreReadOnce(t *testing.T) {
	patterns := []string{"friend.test"}
	endpoint := websocket.NewEndpoint(websocket.Options{AllowedOrigins: patterns})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := func(status int, reason error) { http.Error(w, reason.Error(), status) }
		if conn, err := endpoint.Accept(w, r, websocket.Handshake{Refuse: refuse}); err == nil {
			endpoint.Run(conn, func() error { return nil }, nil)
		}
	})
	patterns[0] = "*"
	require.Equal(t, http.StatusSwitchingProtocols, connect(t, handler, "https://friend.test").Status)
	require.Equal(t, http.StatusForbidden, connect(t, handler, "https://evil.test").Status)
}
