package integration_test

import (
	"bytes"
	"net/http"
	"testing"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSameOrigin(t *testing.T) {
	server := wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo)))
	for _, tt := range []struct {
		name     string
		origin   []string
		host     string
		accepted bool
	}{
		{name: "no origin: no browser", host: "example.com", accepted: true},
		{name: "the host itself", origin: []string{"https://example.com"}, host: "example.com", accepted: true},
		{name: "the host itself, with a port", origin: []string{"http://example.com:8080"}, host: "example.com:8080", accepted: true},
		{name: "the scheme of an application", origin: []string{"app://example.com"}, host: "example.com", accepted: true},
		{name: "an address of IPv6", origin: []string{"http://[::1]:8080"}, host: "[::1]:8080", accepted: true},
		{name: "the origin in capitals", origin: []string{"HTTPS://EXAMPLE.COM"}, host: "example.com", accepted: true},
		{name: "the host in capitals", origin: []string{"https://example.com"}, host: "Example.Com", accepted: true},
		{name: "the host names the default port of https", origin: []string{"https://example.com"}, host: "example.com:443", accepted: true},
		{name: "the host names the default port of http", origin: []string{"http://example.com"}, host: "example.com:80", accepted: true},
		{name: "the origin names the default port of https", origin: []string{"https://example.com:443"}, host: "example.com", accepted: true},
		{name: "the origin names the default port of http", origin: []string{"http://example.com:80"}, host: "example.com", accepted: true},
		{name: "an address of IPv6 and a default port", origin: []string{"http://[::1]"}, host: "[::1]:80", accepted: true},
		{name: "the host has an empty port", origin: []string{"https://example.com"}, host: "example.com:", accepted: true},
		{name: "an address of IPv6 and an empty port", origin: []string{"http://[::1]"}, host: "[::1]:", accepted: true},

		{name: "the default port of the other scheme", origin: []string{"http://example.com"}, host: "example.com:443"},
		{name: "the default port of the other scheme, the other way round", origin: []string{"https://example.com"}, host: "example.com:80"},
		{name: "another port", origin: []string{"https://example.com:8443"}, host: "example.com"},
		{name: "another port of the host", origin: []string{"https://example.com"}, host: "example.com:8443"},
		{name: "another host", origin: []string{"https://evil.test"}, host: "example.com"},
		{name: "a subdomain", origin: []string{"https://www.example.com"}, host: "example.com"},
		{name: "a host that ends with ours", origin: []string{"https://notexample.com"}, host: "example.com"},
		{name: "a host that begins with ours", origin: []string{"https://example.com.evil.test"}, host: "example.com"},
		{name: "our host as the user of another", origin: []string{"https://example.com@evil.test"}, host: "example.com"},
		{name: "an IPv6 address that ends like a port", origin: []string{"http://[1::80]"}, host: "[1:]"},
		{name: "a page without an origin", origin: []string{"null"}, host: "example.com"},
		{name: "a file", origin: []string{"file://"}, host: "example.com"},
		{name: "a host without a scheme", origin: []string{"example.com"}, host: "example.com"},
		{name: "an empty origin", origin: []string{""}, host: "example.com"},
		{name: "two origins", origin: []string{"https://example.com", "https://evil.test"}, host: "example.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			response := testws.DialHTTP(t, server).Do(testws.UpgradeRequest(func(r *http.Request) {
				r.Host = tt.host
				if tt.origin != nil {
					r.Header["Origin"] = tt.origin
				}
			}))
			want := http.StatusForbidden
			if tt.accepted {
				want = http.StatusSwitchingProtocols
			}
			require.Equal(t, want, response.Status)
		})
	}
}

// HTTP/1.1 allows a request with an empty host. An origin without a host is not the same.
func TestEmptyHost(t *testing.T) {
	server := wstest.Serve(t, websocket.New(websocket.ControllerFunc(testws.Echo)))
	for _, origin := range []string{"null", "file://", "", "http://:80", "https://:443", "http://[]:80"} {
		conn := testws.DialHTTP(t, server)
		request := bytes.Replace(testws.UpgradeBytes(t), []byte("Host: example.com\r\n"), []byte("Host:\r\nOrigin: "+origin+"\r\n"), 1)
		require.Contains(t, string(request), "\r\nHost:\r\n")
		conn.Send(request)
		require.Equal(t, http.StatusForbidden, conn.Answer(testws.UpgradeRequest(nil)).Status, "origin %q", origin)
	}
}

func TestOriginCheckerWins(t *testing.T) {
	for _, tt := range []struct {
		name   string
		allow  bool
		origin []string
		status int
	}{
		{name: "it lets another host in", allow: true, origin: []string{"https://partner.test"}, status: http.StatusSwitchingProtocols},
		{name: "it lets a malformed origin in", allow: true, origin: []string{"::"}, status: http.StatusSwitchingProtocols},
		{name: "it keeps the same host out", origin: []string{"http://example.com"}, status: http.StatusForbidden},
		{name: "it keeps clients without an origin out", status: http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(&testws.OriginController{ControllerFunc: testws.Echo, Check: func(r *http.Request) bool {
				assert.Equal(t, tt.origin, r.Header["Origin"])
				return tt.allow
			}})
			upgrader.Debug = true
			response := testws.DialHTTP(t, wstest.Serve(t, upgrader)).Do(testws.UpgradeRequest(func(r *http.Request) {
				if tt.origin != nil {
					r.Header["Origin"] = tt.origin
				}
			}))
			require.Equal(t, tt.status, response.Status)
			if !tt.allow {
				for _, origin := range tt.origin {
					require.Contains(t, response.Body, origin)
				}
			}
		})
	}
}

// Settings without effect are refused: a CheckOrigin that is never called protects nothing.
func TestSettingsThatWouldNotCount(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings ws.Upgrader
		mention  string
	}{
		{name: "CheckOrigin", settings: ws.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}, mention: "OriginChecker"},
		{name: "Error", settings: ws.Upgrader{Error: func(w http.ResponseWriter, _ *http.Request, _ int, _ error) { w.WriteHeader(http.StatusTeapot) }}, mention: "UpgradeErrorHandler"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
			upgrader.Settings, upgrader.Debug, upgrader.Logger = tt.settings, true, testws.Silent
			require.ErrorContains(t, upgrader.Validate(), tt.mention)
			require.PanicsWithError(t, upgrader.Validate().Error(), func() { upgrader.RegisterRoutes(http.NewServeMux(), "/") })
			response := testws.DialHTTP(t, wstest.Serve(t, upgrader)).Do(testws.UpgradeRequest(nil))
			require.Equal(t, http.StatusInternalServerError, response.Status)
			require.Contains(t, response.Body, tt.mention)
		})
	}
}

// The Settings belong to the application: they are not modified.
func TestSettingsAreLeftAsTheyAre(t *testing.T) {
	upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
	upgrader.Subprotocols, upgrader.EnableCompression, upgrader.ReadBufferSize = []string{"chat"}, true, 1024
	client := wstest.Dial(t, wstest.Serve(t, upgrader), "/", nil)
	client.WriteText("x")
	client.ExpectText("x")
	require.Equal(t, ws.Upgrader{}, upgrader.Settings)
}
