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
	"github.com/goyave-contrib/websocket/internal/transport"
)

var errDialExited = errors.New("DialContext was left by runtime.Goexit")

// connect opens the connection that the handshake is sent on: to the server or
// through a proxy, with TLS where the URL asks for it.
func (d *dialing) connect() (net.Conn, error) {
	proxy, err := d.chooseProxy()
	if err != nil {
		return nil, err
	}
	host, address := targetOf(d.request.URL)
	nc, err := d.open(proxy, address)
	if err != nil || d.request.URL.Scheme != "https" {
		return nc, err
	}
	return d.secure(nc, cmp.Or(d.serverName(), host))
}

// open opens a connection to an address, through the proxy if there is one.
func (d *dialing) open(proxy *url.URL, address string) (nc net.Conn, err error) {
	if proxy == nil {
		return d.openSocket(address)
	}
	host, proxyAddress := targetOf(proxy)
	nc, err = d.openSocket(proxyAddress)
	if err == nil && proxy.Scheme == "https" {
		nc, err = d.secure(nc, host)
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

// targetOf returns a URL's host in ASCII, without the zone of an IPv6 address, which
// is for nobody else to know, and the address to dial.
func targetOf(u *url.URL) (host, address string) {
	host = u.Hostname()
	if sent, ok := sentHost(host); ok && !strings.Contains(host, ":") {
		host = sent
	}
	port := cmp.Or(u.Port(), handshake.DefaultPort(u.Scheme), "1080") // or else it is a SOCKS5 proxy
	address = net.JoinHostPort(host, port)
	host, _, _ = strings.Cut(host, "%")
	return host, address
}

// withoutZone is an address as others know it (RFC 6874, 3): a zone is this machine's.
func withoutZone(address string) string {
	a, err := netip.ParseAddrPort(address)
	if err != nil || a.Addr().Zone() == "" {
		return address
	}
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port()).String()
}

// openSocket opens a socket that is closed when the handshake fails. DialContext, which
// need not have heard of contexts, runs on a goroutine that is not waited for once the
// dial has ended. A panic or Goexit in it ends the dial.
func (d *dialing) openSocket(address string) (net.Conn, error) {
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
			o.nc, o.err = d.keep(dial(d.ctx, "tcp", address))
			return nil
		}, func(left error) {
			var how *PanicError
			if errors.As(left, &how) {
				o.err = d.left(how)
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

// left ends the dial because DialContext did not return. Its panic is passed on.
func (d *dialing) left(how *PanicError) error {
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

// panicAgain goes on with the panic of DialContext, if there was one, on the
// goroutine of Dial's caller, who may recover it.
func (d *dialing) panicAgain() {
	d.mu.Lock()
	value := d.panicked
	d.mu.Unlock()
	if value != nil {
		panic(value)
	}
}

// keep takes note of a socket, and holds it to what a net.Conn promises.
func (d *dialing) keep(nc net.Conn, err error) (net.Conn, error) {
	switch {
	case err != nil:
		return nil, err
	case nc == nil:
		return nil, errors.New("DialContext returned neither a connection nor an error")
	}
	nc = transport.Strict(nc, recoveredPanics)
	d.mu.Lock()
	d.sockets = append(d.sockets, nc)
	over := d.over
	d.mu.Unlock()
	if over { // closed already, if it was there in time
		_ = nc.Close()
		return nil, net.ErrClosed
	}
	return nc, nil
}

// serverName is the name that the caller wants the server's certificate to have, "" for
// that of the URL.
func (d *dialing) serverName() string {
	if d.options.TLSConfig == nil {
		return ""
	}
	return d.options.TLSConfig.ServerName
}

// secure has a connection speak TLS, with a peer of this name.
func (d *dialing) secure(nc net.Conn, name string) (net.Conn, error) {
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

// chooseProxy returns the proxy, with its scheme in lower case; nil stands for none.
func (d *dialing) chooseProxy() (*url.URL, error) {
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

// connectHTTP has an HTTP proxy make the connection a tunnel (RFC 9110, 9.3.6): that
// it is when the proxy has answered 2xx, whatever came before and whatever the answer
// says of a body.
func (d *dialing) connectHTTP(nc net.Conn, address string, user *url.Userinfo) error {
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
	r := bufio.NewReader(byteByByte{&io.LimitedReader{R: nc, N: longestHead}})
	for {
		response, err := readHead(r, connect) //nolint:bodyclose // it has none
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

// byteByByte keeps a buffer from taking more than it is asked for: what comes behind
// the head of an answer is the tunnel's.
type byteByByte struct{ io.Reader }

func (r byteByByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 1)]) }
