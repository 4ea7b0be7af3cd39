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
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

var errDialExited = errors.New("DialContext was left by runtime.Goexit")

// dialNetwork opens the connection that net/http speaks on. The context is Dial's: that
// of net/http may outlive it.
func (d *dialing) dialNetwork(_ context.Context, network, address string) (net.Conn, error) {
	return d.attended(func() (net.Conn, error) {
		nc, err := d.reach(network, address)
		if err != nil {
			return nil, err
		}
		return &carried{Conn: nc}, nil
	})
}

// dialTLS is dialNetwork with TLS, unless that is behind a SOCKS proxy.
func (d *dialing) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	return d.attended(func() (net.Conn, error) {
		nc, err := d.reach(network, address)
		if err != nil {
			return nil, err
		}
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		config := d.tlsConfig()
		config.ServerName = cmp.Or(config.ServerName, host)
		secure := tls.Client(nc, config)
		if err := shakeHands(d.ctx, secure, httptrace.ContextClientTrace(ctx)); err != nil {
			_ = nc.Close()
			return nil, err
		}
		return &carried{Conn: strict(secure), secure: secure}, nil
	})
}

// tlsConfig is what the caller has configured, for HTTP/1.1.
func (d *dialing) tlsConfig() *tls.Config {
	config := d.options.TLSConfig.Clone()
	if config == nil {
		config = &tls.Config{} //nolint:gosec // Go's defaults
	}
	config.NextProtos = nil
	return config
}

// shakeHands is the handshake of TLS, with the hooks of net/http.
func shakeHands(ctx context.Context, secure *tls.Conn, trace *httptrace.ClientTrace) error {
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	err := secure.HandshakeContext(ctx)
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(secure.ConnectionState(), err)
	}
	return err
}

// A carried is a connection as net/http has it, to carry the handshake.
type carried struct {
	net.Conn             // guarded: net/http reads and writes in goroutines that nobody recovers
	secure   *tls.Conn   // what that is; nil if it is no TLS, or TLS is above this
	above    *tls.Conn   // TLS of net/http's
	held     atomic.Bool // reads get errHeld, and the connection sees none of them
}

// carriedOf finds what dialNetwork or dialTLS returned.
func carriedOf(nc net.Conn) *carried {
	if above, ok := nc.(*tls.Conn); ok {
		c := above.NetConn().(*carried) //nolint:errcheck // it is
		c.above = above
		return c
	}
	return nc.(*carried) //nolint:errcheck // it is
}

// own is the connection that is Dial's when the handshake is done.
func (c *carried) own() net.Conn {
	if c.above != nil {
		return c.above
	}
	return accepted(c.Conn)
}

// RemoteAddr is never nil: net/http asks it for its name.
func (c *carried) RemoteAddr() net.Addr { return known(c.Conn.RemoteAddr()) }

func (c *carried) Read(p []byte) (int, error) {
	if c.held.Load() {
		return 0, errHeld
	}
	return c.Conn.Read(p)
}

// errHeld is temporary, as a deadline is: TLS reads on later.
var errHeld = &deadlineError{errors.New("nothing more has come yet")}

// early returns what the server sent right behind its response and net/http has read
// already, or TLS. The connection is not asked for more, as that might wait, and must not
// have a deadline from now on.
func (c *carried) early(body io.Reader) ([]byte, error) {
	c.held.Store(true)
	early, _ := io.ReadAll(body) // that ends with errHeld
	c.held.Store(false)
	return early, c.SetReadDeadline(time.Time{})
}

// attended opens a connection. The goroutine is one of net/http's, where a panic would
// end the process and a Goexit be noticed by nobody: both end the dial.
func (d *dialing) attended(open func() (net.Conn, error)) (nc net.Conn, err error) {
	recovered(func() error {
		nc, err = open()
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

// reach opens a connection to the server.
func (d *dialing) reach(network, address string) (net.Conn, error) {
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
	nc = strict(nc)
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
		config := d.tlsConfig()
		config.ServerName = d.proxy.Hostname()
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
