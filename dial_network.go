package websocket

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

var errDialExited = errors.New("DialContext was left by runtime.Goexit")

// dialNetwork opens the connection that net/http speaks on, or TLS in net/http.
// The context is Dial's: that of net/http may outlive it.
//
// The goroutine is one of net/http's, where a panic would end the process and a
// Goexit be noticed by nobody: both end the dial.
func (d *dialing) dialNetwork(_ context.Context, network, address string) (nc net.Conn, err error) {
	open := d.open
	if d.proxy != nil {
		open = d.tunnel
	}
	recovered(func() error {
		nc, err = open(network, address)
		return nil
	}, func(left error) {
		var p *PanicError
		if !errors.As(left, &p) {
			return
		}
		err = errDialExited
		if p.Value != nil {
			err = p
		}
		d.mu.Lock()
		d.panicked = p.Value
		d.mu.Unlock()
		d.cancel(err)
	})
	return nc, err
}

// panicAgain goes on with the panic of dialNetwork, if there was one, on the
// goroutine of Dial's caller, who may recover it.
func (d *dialing) panicAgain() {
	d.mu.Lock()
	value := d.panicked
	d.mu.Unlock()
	if value != nil {
		panic(value)
	}
}

// open opens a socket that is closed when the handshake fails.
func (d *dialing) open(network, address string) (net.Conn, error) {
	dial := d.options.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	nc, err := dial(d.ctx, network, address)
	if err == nil && nc == nil {
		err = errors.New("DialContext returned neither a connection nor an error")
	}
	if err != nil {
		return nil, err
	}
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

// chooseProxy notes an HTTP proxy for tunnel and leaves any other to net/http.
func (d *dialing) chooseProxy() (func(*http.Request) (*url.URL, error), error) {
	choose := d.options.Proxy
	switch {
	case choose != nil:
	case d.options.DialContext != nil:
		return nil, nil
	default:
		choose = http.ProxyFromEnvironment
	}
	proxy, err := choose(d.request)
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		return nil, nil
	}
	known := *proxy
	switch known.Scheme = cmp.Or(strings.ToLower(proxy.Scheme), "http"); known.Scheme {
	case "http", "https":
		d.proxy = &known
		return nil, nil
	case "socks5", "socks5h":
		return http.ProxyURL(&known), nil
	default: // net/http would speak plain HTTP with it
		return nil, fmt.Errorf("proxy: scheme %q: want http, https, socks5 or socks5h", proxy.Scheme)
	}
}

// tunnel opens a connection through an HTTP proxy. Net/http asks for one only
// where TLS follows, and a WebSocket needs one in any case (RFC 6455, 4.1).
func (d *dialing) tunnel(network, address string) (net.Conn, error) {
	port := cmp.Or(d.proxy.Port(), map[string]string{"http": "80", "https": "443"}[d.proxy.Scheme])
	nc, err := d.open(network, net.JoinHostPort(d.proxy.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	if d.proxy.Scheme == "https" {
		config := &tls.Config{} //nolint:gosec // Go's defaults
		if d.options.TLSConfig != nil {
			config = d.options.TLSConfig.Clone()
		}
		config.ServerName = d.proxy.Hostname()
		config.NextProtos = nil
		nc = tls.Client(nc, config)
	}
	connect := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{},
	}
	if user := d.proxy.User; user != nil {
		password, _ := user.Password()
		connect.SetBasicAuth(user.Username(), password)
		connect.Header["Proxy-Authorization"] = connect.Header["Authorization"]
		connect.Header.Del("Authorization")
	}
	if err := connect.Write(nc); err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	r := bufio.NewReader(io.LimitReader(nc, 1<<20))
	response, err := http.ReadResponse(r, connect) //nolint:bodyclose // the tunnel, or nothing that is wanted
	switch {
	case err != nil:
		return nil, fmt.Errorf("proxy: %w", err)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("proxy: CONNECT was answered %s", response.Status)
	case r.Buffered() > 0:
		return nil, errors.New("proxy: CONNECT was answered with more than an answer")
	}
	return nc, nil
}
