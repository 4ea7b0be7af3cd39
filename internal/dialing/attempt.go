// Package dialing reaches the host of a URL, directly or through a proxy (HTTP with CONNECT,
// SOCKS5), with TLS if the URL wants it, and exchanges one request for its response. It knows
// HTTP, and nothing of the protocol that follows.
package dialing

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"

	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/strictconn"
)

// A Network says how hosts are reached.
type Network struct {
	// DialContext opens a connection beneath TLS. It may ignore its context. Nil means a
	// net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// Proxy returns the proxy for a request, nil for none. A nil Proxy means
	// http.ProxyFromEnvironment or, if DialContext is set, no proxy.
	Proxy func(*http.Request) (*url.URL, error)

	// TLSConfig is used with URLs and proxies whose scheme is https. Its NextProtos are
	// ignored. Nil means Go's defaults.
	TLSConfig *tls.Config

	// Panics makes errors of panics of the connections. It must not be nil.
	Panics *strictconn.Panics
}

// An Attempt is one way to a host. Its methods are called by one goroutine, in this order:
// Connect, RoundTrip, and in any case Keep or Abandon.
type Attempt struct {
	network Network
	ctx     context.Context // ends with Keep or Abandon, at the latest
	cancel  context.CancelCauseFunc
	release func() bool // stops the watcher of ctx

	mu        sync.Mutex
	sockets   []net.Conn // opened so far
	abandoned bool       // sockets are closed, and so is every later one
	panicked  any        // the value of a panic in DialContext; nil: none
}

// Start begins an attempt. When ctx ends, reads and writes of its connections are interrupted.
func Start(ctx context.Context, network Network) *Attempt {
	a := &Attempt{network: network}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	a.release = context.AfterFunc(a.ctx, a.closeSockets)
	return a
}

// Cause returns why the attempt has ended before Keep or Abandon, nil if it has not.
func (a *Attempt) Cause() error { return context.Cause(a.ctx) }

// Keep ends the attempt and leaves its connection open. It returns false if the connection is
// closed already, because the context ended.
func (a *Attempt) Keep() bool {
	kept := a.release()
	a.cancel(nil)
	return kept
}

// Abandon ends the attempt and closes its sockets, without waiting for the peer. If DialContext
// has panicked, Abandon panics with the same value, so that the caller of the attempt may recover
// it.
func (a *Attempt) Abandon() {
	a.release()
	a.closeSockets()
	a.cancel(nil)
	a.repanic()
}

// Connect opens a connection to the host of the request's URL, whose scheme is http or https:
// directly or through a proxy, with TLS if the scheme is https.
func (a *Attempt) Connect(request *http.Request) (net.Conn, error) {
	proxy, err := a.chooseProxy(request)
	if err != nil {
		return nil, err
	}
	host, address := target(request.URL)
	nc, err := a.open(proxy, address)
	if err != nil || request.URL.Scheme != "https" {
		return nc, err
	}
	return a.startTLS(nc, cmp.Or(a.serverName(), host))
}

// chooseProxy returns the proxy, with its scheme in lower case, or nil for none.
func (a *Attempt) chooseProxy(request *http.Request) (*url.URL, error) {
	choose := a.network.Proxy
	switch {
	case choose != nil:
	case a.network.DialContext != nil:
		return nil, nil
	default:
		choose = http.ProxyFromEnvironment
	}
	proxy, err := choose(request)
	if err != nil || proxy == nil {
		return nil, err
	}
	known := *proxy
	switch known.Scheme = cmp.Or(strings.ToLower(proxy.Scheme), "http"); known.Scheme {
	case "http", "https", "socks5", "socks5h":
		return &known, nil
	default:
		return nil, fmt.Errorf("proxy: scheme %q: want http, https, socks5 or socks5h", proxy.Scheme)
	}
}

// open opens a connection to an address, through the proxy unless that is nil.
func (a *Attempt) open(proxy *url.URL, address string) (nc net.Conn, err error) {
	if proxy == nil {
		return a.openSocket(address)
	}
	host, proxyAddress := target(proxy)
	nc, err = a.openSocket(proxyAddress)
	if err == nil && proxy.Scheme == "https" {
		nc, err = a.startTLS(nc, host)
	}
	switch {
	case err != nil:
	case strings.HasPrefix(proxy.Scheme, "socks5"):
		err = connectSOCKS(nc, address, proxy.User)
	default:
		err = a.connectHTTP(nc, withoutZone(address), proxy.User)
	}
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return nc, nil
}

// target returns the host of a URL, in ASCII, and the address to dial. The host does not have
// the zone of an IPv6 address, because it is sent to the peer and a zone means something on this
// machine only.
func target(u *url.URL) (host, address string) {
	host = u.Hostname()
	if sent, ok := handshake.HostHeader(host); ok && !strings.Contains(host, ":") {
		host = sent
	}
	port := cmp.Or(u.Port(), handshake.DefaultPort(u.Scheme), "1080") // the last is the port of SOCKS5 proxies
	address = net.JoinHostPort(host, port)
	host, _, _ = strings.Cut(host, "%")
	return host, address
}

// withoutZone returns an address without its zone, which means something on this machine
// only (RFC 6874, 3).
func withoutZone(address string) string {
	a, err := netip.ParseAddrPort(address)
	if err != nil || a.Addr().Zone() == "" {
		return address
	}
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port()).String()
}

// serverName returns the name that TLSConfig expects in the server's certificate; "" means
// the URL's host.
func (a *Attempt) serverName() string {
	if a.network.TLSConfig == nil {
		return ""
	}
	return a.network.TLSConfig.ServerName
}

// startTLS performs a TLS handshake with a peer of the given name.
func (a *Attempt) startTLS(nc net.Conn, name string) (net.Conn, error) {
	config := &tls.Config{} //nolint:gosec // Go's defaults
	if a.network.TLSConfig != nil {
		config = a.network.TLSConfig.Clone()
	}
	config.ServerName = name
	config.NextProtos = nil
	secure := tls.Client(nc, config)
	if err := secure.HandshakeContext(a.ctx); err != nil {
		return nil, err
	}
	return secure, nil
}
