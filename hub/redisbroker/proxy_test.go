package redisbroker_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A proxy is the network between a node and its server.
type proxy struct {
	listener net.Listener
	server   string
	copying  sync.WaitGroup

	mu     sync.Mutex
	away   bool          // connections are refused
	frozen chan struct{} // closed while the network accepts data; nil at first
	conns  []net.Conn
}

// startProxy starts a proxy in front of a server's address.
func startProxy(t testing.TB, server string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{listener: listener, server: server}
	p.copying.Go(p.serve)
	t.Cleanup(p.stop)
	return p
}

// stop ends the network for good.
func (p *proxy) stop() {
	_ = p.listener.Close()
	p.thaw()
	p.cut()
	p.copying.Wait()
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil || !p.keep(client, server) {
			_ = client.Close()
			if server != nil {
				_ = server.Close()
			}
			continue
		}
		p.copying.Go(func() { p.copy(server, client) })
		p.copying.Go(func() { p.copy(client, server) })
	}
}

func (p *proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.away {
		p.conns = append(p.conns, conns...)
	}
	return !p.away
}

func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()   //nolint:errcheck // it is closed
	defer from.Close() //nolint:errcheck // it is closed
	b := make([]byte, 4096)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		frozen := p.frozen
		p.mu.Unlock()
		if frozen != nil {
			<-frozen
		}
		if _, writeErr := to.Write(b[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// cut ends all connections and refuses new ones until the network is restored.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = true
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

func (p *proxy) back() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away = false
}

// freeze makes the network accept no more data, without an error.
func (p *proxy) freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = make(chan struct{})
}

func (p *proxy) thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen != nil {
		close(p.frozen)
		p.frozen = nil
	}
}

// A serverNetwork is the network between a node and its servers, by their addresses.
type serverNetwork map[string]*proxy

func startNetwork(t testing.TB, servers []*server) serverNetwork {
	t.Helper()
	w := make(serverNetwork)
	for _, s := range servers {
		w[s.addr()] = startProxy(t, s.addr())
	}
	return w
}

// dial connects with a server. A client has it as its dialer.
func (w serverNetwork) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	p := w[addr]
	if p == nil {
		return nil, fmt.Errorf("there is no server at %s", addr)
	}
	return new(net.Dialer).DialContext(ctx, network, p.addr())
}

// each returns a function that does something to the whole network.
func (w serverNetwork) each(do func(*proxy)) func() {
	return func() {
		for _, p := range w {
			do(p)
		}
	}
}
