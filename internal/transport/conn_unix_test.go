//go:build unix

package transport

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"

	"github.com/goyave-contrib/websocket/internal/strictconn"
	"github.com/goyave-contrib/websocket/internal/wire"
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

// What a socket does not take at once of a frame that would leave as one piece is written later, behind
// what it has taken. The peer gets the frame whole, and the one behind it. A small Unix socket takes
// frames in part; one of TCP takes them whole or not at all.
func TestFrameThatTheSocketTakesInPart(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "socket"))
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	random := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		client, err := net.Dial("unix", listener.Addr().String())
		require.NoError(t, err)
		nc, err := listener.Accept()
		require.NoError(t, err)
		require.NoError(t, nc.(*net.UnixConn).SetWriteBuffer(4<<10)) //nolint:errcheck // it is one
		tr := New(nc, nil, newConfig())
		tr.Open()
		var messages [2][]byte
		for i := range messages {
			messages[i] = make([]byte, coalesceMax+1+random.IntN(onePieceMax-coalesceMax))
			for j := range messages[i] {
				messages[i][j] = byte(random.Uint32())
			}
		}
		written := make(chan error, 1)
		go func() {
			var failed error
			for _, p := range messages {
				b := tr.WriteDeadline(t.Context())
				failed = errors.Join(failed, tr.WriteMessage(&b, wire.OpBinary, p))
			}
			written <- failed
		}()
		for i, p := range messages {
			require.True(t, bytes.Equal(p, readFrame(t, client)), "message %d", i)
		}
		require.NoError(t, <-written)
		end(tr)
		_ = client.Close()
	}
}
