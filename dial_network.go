package websocket

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/goyave-contrib/websocket/internal/handshake"
	"github.com/goyave-contrib/websocket/internal/strictconn"
)

var errDialExited = errors.New("DialContext was left by runtime.Goexit")

// connect opens the connection for the handshake: to the server or through a proxy, with
// TLS if the URL's scheme needs it.
func (d *clientHandshake) connect() (net.Conn, error) {
	proxy, err := d.chooseProxy()
	if err != nil {
		return nil, err
	}
	host, address := dialTarget(d.request.URL)
	nc, err := d.open(proxy, address)
	if err != nil || d.request.URL.Scheme != "https" {
		return nc, err
	}
	return d.startTLS(nc, cmp.Or(d.serverName(), host))
}

// open opens a connection to an address, through the proxy unless that is nil.
func (d *clientHandshake) open(proxy *url.URL, address string) (nc net.Conn, err error) {
	if proxy == nil {
		return d.openSocket(address)
	}
	host, proxyAddress := dialTarget(proxy)
	nc, err = d.openSocket(proxyAddress)
	if err == nil && proxy.Scheme == "https" {
		nc, err = d.startTLS(nc, host)
	}
	switch {
	case err != nil:
	case strings.HasPrefix(proxy.Scheme, "socks5"):
		err = connectSOCKS(nc, address, proxy.User)
	default:
		err = d.connectHTTP(nc, withoutZone(address), proxy.User)
	}
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	return nc, nil
}

// dialTarget returns the host of a URL, in ASCII, and the address to dial. The host does
// not have the zone of an IPv6 address, because it is sent to the peer and a zone means
// something on this machine only.
func dialTarget(u *url.URL) (host, address string) {
	host = u.Hostname()
	if sent, ok := hostHeader(host); ok && !strings.Contains(host, ":") {
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

// openSocket opens a socket that is closed if the handshake fails. DialContext may ignore
// its context, so it runs on its own goroutine, and openSocket does not wait for it once
// the dial has ended. If DialContext panics or calls runtime.Goexit, the dial ends.
func (d *clientHandshake) openSocket(address string) (net.Conn, error) {
	if err := d.ctx.Err(); err != nil {
		return nil, err
	}
	dial := d.options.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	type result struct {
		nc  net.Conn
		err error
	}
	opened := make(chan result, 1)
	go func() {
		var o result
		callRecovering(func() error {
			o.nc, o.err = d.trackSocket(dial(d.ctx, "tcp", address))
			return nil
		}, func(failure error) {
			var how *PanicError
			if errors.As(failure, &how) {
				o.err = d.dialExited(how)
			}
			opened <- o
		})
	}()
	select {
	case o := <-opened:
		return o.nc, o.err
	case <-d.ctx.Done():
		return nil, d.ctx.Err()
	}
}

// dialExited ends the dial because DialContext panicked or exited its goroutine. It keeps
// the value of a panic for repanic.
func (d *clientHandshake) dialExited(how *PanicError) error {
	var err error = how
	if how.Value == nil {
		err = errDialExited
	}
	d.mu.Lock()
	d.panicked = how.Value
	d.mu.Unlock()
	d.cancel(err)
	return err
}

// repanic repeats the panic of DialContext, if there was one, on the goroutine that called
// Dial, so that the caller of Dial may recover it.
func (d *clientHandshake) repanic() {
	d.mu.Lock()
	value := d.panicked
	d.mu.Unlock()
	if value != nil {
		panic(value)
	}
}

// trackSocket records a socket, so that abandon closes it, and wraps it so that it behaves
// as net.Conn documents.
func (d *clientHandshake) trackSocket(nc net.Conn, err error) (net.Conn, error) {
	switch {
	case err != nil:
		return nil, err
	case nc == nil:
		return nil, errors.New("DialContext returned neither a connection nor an error")
	}
	nc = strictconn.Wrap(nc, recoveredPanics)
	d.mu.Lock()
	d.sockets = append(d.sockets, nc)
	abandoned := d.abandoned
	d.mu.Unlock()
	if abandoned { // abandon has closed the sockets recorded before it, and not this one
		_ = nc.Close()
		return nil, net.ErrClosed
	}
	return nc, nil
}

// serverName returns the name that TLSConfig expects in the server's certificate; "" means
// the URL's host.
func (d *clientHandshake) serverName() string {
	if d.options.TLSConfig == nil {
		return ""
	}
	return d.options.TLSConfig.ServerName
}

// startTLS performs a TLS handshake with a peer of the given name.
func (d *clientHandshake) startTLS(nc net.Conn, name string) (net.Conn, error) {
	config := &tls.Config{} //nolint:gosec // Go's defaults
	if d.options.TLSConfig != nil {
		config = d.options.TLSConfig.Clone()
	}
	config.ServerName = name
	config.NextProtos = nil
	secure := tls.Client(nc, config)
	if err := secure.HandshakeContext(d.ctx); err != nil {
		return nil, err
	}
	return secure, nil
}

// chooseProxy returns the proxy, with its scheme in lower case, or nil for none.
func (d *clientHandshake) chooseProxy() (*url.URL, error) {
	choose := d.options.Proxy
	switch {
	case choose != nil:
	case d.options.DialContext != nil:
		return nil, nil
	default:
		choose = http.ProxyFromEnvironment
	}
	proxy, err := choose(d.request)
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

// connectHTTP asks an HTTP proxy to turn the connection into a tunnel (RFC 9110, 9.3.6).
// Any 2xx response starts the tunnel, whatever responses came before it and whatever its
// headers say about a body.
func (d *clientHandshake) connectHTTP(nc net.Conn, address string, user *url.Userinfo) error {
	connect := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{},
	}
	if user != nil {
		password, _ := user.Password()
		connect.SetBasicAuth(user.Username(), password)
		connect.Header["Proxy-Authorization"] = connect.Header["Authorization"]
		connect.Header.Del("Authorization")
	}
	stop, unsent := d.send(nc, connect)
	defer stop()
	r := bufio.NewReader(oneByteReader{&io.LimitedReader{R: nc, N: maxHeadSize}})
	for {
		response, err := readHead(r, connect) //nolint:bodyclose // readHead returns no body
		switch {
		case err != nil && unsent != nil:
			return unsent
		case err != nil:
			return err
		case response.StatusCode/100 == 2:
			return nil
		case response.StatusCode/100 != 1 || response.StatusCode == http.StatusSwitchingProtocols:
			return fmt.Errorf("CONNECT was answered %s", response.Status)
		}
	}
}

// oneByteReader keeps a buffered reader from reading ahead: the bytes after the head of the
// response belong to the tunnel.
type oneByteReader struct{ io.Reader }

func (r oneByteReader) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 1)]) }
