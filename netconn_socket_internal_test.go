//go:build unix

package websocket

import (
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A socket that is handed over as a file after its peer has reset it has no remote address.
// The error of its read says what it can.
func TestSocketWithoutAddress(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	client, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	accepted, err := listener.Accept()
	require.NoError(t, err)
	require.NoError(t, client.(*net.TCPConn).SetLinger(0))
	require.NoError(t, client.Close())
	file, err := accepted.(*net.TCPConn).File()
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	nc, err := net.FileConn(file)
	require.NoError(t, err)
	defer func() { _ = nc.Close() }()
	require.Nil(t, nc.RemoteAddr())

	tr := newTransport(nc, nil, 0, &sync.Pool{}, &Options{})
	assert.Equal(t, unknownAddr{}, tr.RemoteAddr())
	_, err = tr.Read(make([]byte, 1))
	require.ErrorContains(t, err, "connection reset by peer")
	var reset *net.OpError
	require.ErrorAs(t, err, &reset)
	assert.Equal(t, unknownAddr{}, reset.Addr)
}
