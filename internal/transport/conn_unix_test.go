//go:build unix

package transport

import (
	"net"
	"testing"

	"github.com/goyave-contrib/websocket/internal/strictconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A socket that is handed over as a file after its peer has reset it has no remote address.
// The error of its read says what it can.
func TestSocketWithoutAddress(t *testing.T) {
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	client, err := net.DialTCP("tcp", nil, listener.Addr().(*net.TCPAddr)) //nolint:errcheck // it is one
	require.NoError(t, err)
	accepted, err := listener.AcceptTCP()
	require.NoError(t, err)
	defer func() { _ = accepted.Close() }()
	require.NoError(t, client.SetLinger(0))
	require.NoError(t, client.Close())
	file, err := accepted.File()
	require.NoError(t, err)
	defer func() { _ = file.Close() }()
	nc, err := net.FileConn(file)
	require.NoError(t, err)
	defer func() { _ = nc.Close() }()
	require.Nil(t, nc.RemoteAddr())

	tr := New(nc, nil, newConfig())
	assert.Equal(t, strictconn.KnownAddr(nil), tr.remoteAddr())
	_, err = (*GorillaView)(tr).Read(make([]byte, 1))
	require.ErrorContains(t, err, "connection reset by peer")
	var reset *net.OpError
	require.ErrorAs(t, err, &reset)
	assert.Equal(t, strictconn.KnownAddr(nil), reset.Addr)
}
