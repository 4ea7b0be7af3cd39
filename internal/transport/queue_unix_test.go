//go:build unix

package transport

import (
	"math"
	"testing"

	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestSlowReadersCostNoMemory enqueues one message many times, to many peers that take
// nothing: the connections share its memory. Where a socket can't be tried without waiting,
// each one has a batch besides.
func TestSlowReadersCostNoMemory(t *testing.T) {
	const conns, each = 50, 200
	frame := append(wire.AppendHeader(nil, wire.OpBinary, 1000), make([]byte, 1000)...)
	limit := QueueLimit{Messages: math.MaxInt, Bytes: queueBytes}
	var all []*Conn
	for range conns {
		client, tr := tcpPair(t)
		clog(t, client, tr)
		all = append(all, tr)
	}
	before := heap()
	for _, tr := range all {
		for range each {
			_, err := tr.Enqueue(limit, []Frame{{Bytes: frame}})
			require.NoError(t, err)
		}
		tr.Flush()
	}
	assert.Less(t, (heap()-before)/conns, each*2*24+1024, "bytes each: slices of frames, and little more")
	for _, tr := range all {
		messages, _ := tr.Queued()
		assert.Equal(t, each, messages)
		end(tr)
	}
}
