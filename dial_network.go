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
)

// dialNetwork opens the connection that net/http speaks on, or TLS in net/http.
// The context is Dial's: that of net/http may outlive it.
func (d *dialing) dialNetwork(_ context.Context, network, address string) (net.Conn, error) {
	if d.proxy != nil {
		return d.tunnel(network, address)
	}
	return d.open(network, address)
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
	if proxy != nil && (proxy.Scheme == "http" || proxy.Scheme == "https") {
		d.proxy = proxy
		return nil, nil
	}
	return http.ProxyURL(proxy), nil
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
