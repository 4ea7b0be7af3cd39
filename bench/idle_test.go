package main

import (
	"bufio"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// idlePeer returns a client and the server's end of its connection.
func idlePeer(t *testing.T) (*client, net.Conn) {
	l, err := net.Listen("tcp4", "127.0.0.1:0") //nolint:noctx // it is there
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	near, err := net.Dial("tcp4", l.Addr().String()) //nolint:noctx // likewise
	require.NoError(t, err)
	far, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return &client{nc: near, r: bufio.NewReader(near)}, far
}

func TestIdleConnectionsAnswerPings(t *testing.T) {
	c, peer := idlePeer(t)
	end := make(chan error, 1)
	start := time.Now()
	go func() { end <- c.idleUntil(start.Add(200 * time.Millisecond)) }()
	ping := []byte{finalBit | opPing, 2, 'h', 'i'}
	_, err := peer.Write(append(ping, ping...))
	require.NoError(t, err)
	pong := appendFrame(nil, finalBit|opPong, []byte("hi"), [4]byte{1, 2, 3, 4})
	answer := make([]byte, 2*len(pong))
	require.NoError(t, peer.SetReadDeadline(start.Add(10*time.Second)))
	n, err := io.ReadFull(peer, answer)
	require.NoError(t, err)
	assert.Equal(t, append(pong, pong...), answer[:n])
	require.NoError(t, <-end)
	assert.GreaterOrEqual(t, time.Since(start), 200*time.Millisecond)
}

func TestConnectionsThatDoNotIdleAreErrors(t *testing.T) {
	for name, bytes := range map[string][]byte{
		"a message":     {finalBit | opBinary, 1, 0},
		"a close frame": {finalBit | opClose, 0},
		"the end":       nil, // of the stream
	} {
		t.Run(name, func(t *testing.T) {
			c, peer := idlePeer(t)
			_, err := peer.Write(bytes)
			require.NoError(t, err)
			if bytes == nil {
				require.NoError(t, peer.Close())
			}
			require.Error(t, c.idleUntil(time.Now().Add(10*time.Second)))
		})
	}
}
