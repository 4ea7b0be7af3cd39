package dialing_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/internal/dialing"
	"github.com/goyave-contrib/websocket/internal/strictconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errNetwork = errors.New("of the network")

// panicked is an error of a panic of a connection.
type panicked struct{ value any }

func (panicked) Error() string { return "panic" }

var panics = &strictconn.Panics{
	New: func(value any) error { return panicked{value} },
	Is:  func(err error) bool { return errors.As(err, new(panicked)) },
}

// start begins an attempt that ends with the test.
func start(t *testing.T, network dialing.Network) *dialing.Attempt {
	t.Helper()
	network.Panics = panics
	a := dialing.Start(t.Context(), network)
	t.Cleanup(a.Abandon)
	return a
}

func request(t *testing.T, rawURL string) *http.Request {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	return &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{}}
}

// connectTo connects to a URL through a proxy, which serve is. When it returns, serve has, too, or
// waits for what is still to be read.
func connectTo(t *testing.T, rawURL string, proxy *url.URL, serve func(net.Conn)) (net.Conn, error) {
	t.Helper()
	client, server := net.Pipe()
	served := make(chan struct{})
	go func() {
		defer close(served)
		serve(server)
	}()
	t.Cleanup(func() { <-served }) // after the end of the attempt
	return start(t, dialing.Network{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil },
		Proxy:       http.ProxyURL(proxy),
	}).Connect(request(t, rawURL))
}

// dialedAddress returns the address that DialContext is called with, "" if it is not called, and
// the error of Connect.
func dialedAddress(t *testing.T, rawURL string, proxy *url.URL) (dialed string, err error) {
	t.Helper()
	_, err = start(t, dialing.Network{
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			assert.Equal(t, "tcp", network)
			dialed = address
			return nil, errNetwork
		},
		Proxy: http.ProxyURL(proxy),
	}).Connect(request(t, rawURL))
	return dialed, err
}

func TestDialedAddress(t *testing.T) {
	for u, want := range map[string]string{
		"http://example.com":           "example.com:80",
		"https://example.com":          "example.com:443",
		"http://example.com:":          "example.com:80",
		"https://example.com:/":        "example.com:443",
		"http://example.com:80":        "example.com:80",
		"https://example.com:80":       "example.com:80",
		"http://example.com:8080":      "example.com:8080",
		"http://[::1]":                 "[::1]:80",
		"https://[::1]:443":            "[::1]:443",
		"http://[fe80::1%25eth0]:81":   "[fe80::1%eth0]:81",
		"http://bücher.test/":          "xn--bcher-kva.test:80",
		"https://xn--bcher-kva.test/":  "xn--bcher-kva.test:443",
		"https://xn--bcher-kva.test:/": "xn--bcher-kva.test:443",
	} {
		dialed, err := dialedAddress(t, u, nil)
		require.ErrorIs(t, err, errNetwork)
		assert.Equal(t, want, dialed, u)
	}
	for want, proxy := range map[string]*url.URL{
		"proxy.test:80":          {Scheme: "http", Host: "proxy.test:"},
		"xn--bcher-kva.test:443": {Scheme: "https", Host: "bücher.test"},
		"[::1]:1080":             {Scheme: "socks5", Host: "[::1]"},
	} {
		dialed, err := dialedAddress(t, "http://example.com/", proxy)
		require.ErrorIs(t, err, errNetwork)
		assert.Equal(t, want, dialed)
	}
}

// Unknown schemes are refused; net/http would speak plain HTTP to such a proxy, without CONNECT.
func TestProxySchemes(t *testing.T) {
	for _, tt := range []struct {
		scheme  string
		address string // that is dialed; "": none
	}{
		{scheme: "http", address: "proxy.test:80"},
		{scheme: "HTTP", address: "proxy.test:80"},
		{scheme: "", address: "proxy.test:80"},
		{scheme: "https", address: "proxy.test:443"},
		{scheme: "Https", address: "proxy.test:443"},
		{scheme: "socks5", address: "proxy.test:1080"},
		{scheme: "SOCKS5", address: "proxy.test:1080"},
		{scheme: "socks5h", address: "proxy.test:1080"},
		{scheme: "socks4"},
		{scheme: "ftp"},
		{scheme: "ws"},
	} {
		t.Run(tt.scheme, func(t *testing.T) {
			proxy := &url.URL{Scheme: tt.scheme, Host: "proxy.test", User: url.UserPassword("ada", "secret")}
			dialed, err := dialedAddress(t, "http://example.com/", proxy)
			require.Equal(t, tt.address, dialed)
			require.Equal(t, tt.scheme, proxy.Scheme, "the caller's URL is left as it is")
			require.NotContains(t, err.Error(), "secret")
			if tt.address == "" {
				require.ErrorContains(t, err, `proxy: scheme "`+tt.scheme+`": want http, https, socks5 or socks5h`)
				return
			}
			require.ErrorIs(t, err, errNetwork)
		})
	}
}

// An attempt closes its connection unless the connection is kept in time.
func TestAttemptsEnd(t *testing.T) {
	for _, tt := range []struct {
		name  string
		end   func(t *testing.T, a *dialing.Attempt, cancel context.CancelCauseFunc)
		kept  bool
		cause error
	}{
		{
			name: "kept", kept: true, cause: context.Canceled,
			end: func(t *testing.T, a *dialing.Attempt, cancel context.CancelCauseFunc) {
				assert.True(t, a.Keep())
				cancel(errNetwork)
			},
		},
		{
			name: "abandoned", cause: context.Canceled,
			end: func(_ *testing.T, a *dialing.Attempt, _ context.CancelCauseFunc) { a.Abandon() },
		},
		{
			name: "kept too late", cause: errNetwork,
			end: func(t *testing.T, a *dialing.Attempt, cancel context.CancelCauseFunc) {
				cancel(errNetwork)
				synctest.Wait()
				assert.False(t, a.Keep())
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				require.NoError(t, server.SetReadDeadline(time.Now().Add(time.Second)))
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				a := dialing.Start(ctx, dialing.Network{
					DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil },
					Panics:      panics,
				})
				nc, err := a.Connect(request(t, "http://example.com/"))
				require.NoError(t, err)
				require.NoError(t, a.Cause())
				tt.end(t, a, cancel)
				synctest.Wait()
				require.ErrorIs(t, a.Cause(), tt.cause)
				_, err = server.Read(make([]byte, 1))
				var timeout net.Error
				require.Equal(t, tt.kept, errors.As(err, &timeout) && timeout.Timeout(), "the connection is open")
				require.NoError(t, nc.Close())
			})
		})
	}
}
