package interop_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// A deadProxy stands between a page and a server. When it is dead it goes on accepting
// and reading and says nothing, as a network does that died without a word.
type deadProxy struct {
	url      string
	dead     atomic.Bool
	listener net.Listener

	carrying sync.WaitGroup
	mu       sync.Mutex
	target   string // an address
	conns    []net.Conn
	closed   bool
}

func startProxy(t *testing.T, serverURL string) *deadProxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &deadProxy{url: "http://" + listener.Addr().String(), listener: listener}
	p.leadTo(serverURL)
	p.carrying.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.cut()
		p.carrying.Wait()
	})
	return p
}

// leadTo has later connections lead to a server. A server that is started anew has another address, because
// anybody may have taken the one that it had.
func (p *deadProxy) leadTo(serverURL string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = strings.TrimPrefix(serverURL, "http://")
}

// cut ends the connections that there are.
func (p *deadProxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}

func (p *deadProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		server, err := net.Dial("tcp", target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		if p.closed {
			_, _ = client.Close(), server.Close()
		}
		p.mu.Unlock()
		p.carrying.Go(func() { p.carry(client, server) })
		p.carrying.Go(func() { p.carry(server, client) })
	}
}

// carry carries one direction. What comes while the network is dead is lost, the end of
// the connection too.
func (p *deadProxy) carry(to, from net.Conn) {
	lost := false
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		lost = lost || p.dead.Load()
		if lost {
			if err != nil {
				return
			}
			continue
		}
		if _, writing := to.Write(buffer[:n]); writing != nil || errors.Is(err, io.EOF) {
			_ = to.Close()
			return
		}
		if err != nil {
			return
		}
	}
}
