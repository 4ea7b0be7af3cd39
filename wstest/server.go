package wstest

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Server is an HTTP server in memory. [Serve] starts one; the zero value is not usable.
type Server struct {
	listener *Listener
}

// Serve starts an HTTP server in memory. It runs until the test ends, for any number of clients.
func Serve(t testing.TB, handler http.Handler) *Server {
	t.Helper()
	s := &Server{listener: Listen()}
	server := &http.Server{Handler: handler} //nolint:gosec // the clients are the test's own
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = server.Serve(s.listener) // http.ErrServerClosed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-stopped
	})
	return s
}

// DialContext opens a connection to the server and ignores the network and the address, so that it
// can be the DialContext of an http.Transport. It may be called from any goroutine.
func (s *Server) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	return s.listener.DialContext(ctx)
}

// endpoint is the resolved target of Dial.
type endpoint struct {
	url  string // with scheme http or https
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	tls  *tls.Config
}

// resolve returns the endpoint of a target. It fails the test for an unknown type.
func resolve(t testing.TB, target any, path string) endpoint {
	t.Helper()
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	dial := new(net.Dialer).DialContext
	switch target := target.(type) {
	case *Server:
		return endpoint{url: "http://wstest" + path, dial: target.DialContext}
	case *httptest.Server:
		e := endpoint{url: target.URL + path, dial: dial}
		if transport, ok := target.Client().Transport.(*http.Transport); ok {
			e.tls = transport.TLSClientConfig
		}
		return e
	case string:
		url := strings.TrimSuffix(target, "/") + path
		if rest, ok := strings.CutPrefix(url, "ws"); ok {
			url = "http" + rest
		}
		return endpoint{url: url, dial: dial}
	case http.Handler:
		return endpoint{url: "http://wstest" + path, dial: Serve(t, target).DialContext}
	default:
		t.Fatalf("wstest: can't dial a %T: want an http.Handler, a *wstest.Server, a *httptest.Server or a URL", target)
		return endpoint{}
	}
}
