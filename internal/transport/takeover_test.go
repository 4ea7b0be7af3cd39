package transport

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/internal/deflate"
	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// takeoverPair returns two ends that take context over.
func takeoverPair(t *testing.T) (client, server *Conn) {
	t.Helper()
	a, b := pipe(t)
	ends := [2]*Conn{New(a, nil, newConfig(func(c *Config) { c.Client = true })), New(b, nil, newConfig())}
	for _, tr := range ends {
		terms := DeflateTerms{Takeover: true, WindowBits: 15}
		tr.UseDeflate(terms, terms)
		tr.SetCompressionLevel(1)
		tr.Open()
	}
	return ends[0], ends[1]
}

func writeText(tr *Conn, message []byte) error {
	b := tr.ownDeadline()
	return tr.WriteMessage(&b, wire.OpText, message)
}

// The windows go back to their pools when the connection ends: at once, or from whatever uses
// them at that moment.
func TestWindowsAreReleasedWhenTheConnectionEnds(t *testing.T) {
	message := bytes.Repeat([]byte("context "), 1000)
	gone := func(t *testing.T, tr *Conn) {
		t.Helper()
		assert.Zero(t, tr.WindowMemory())
		assert.Nil(t, tr.deflating.sent.Load())
		assert.Nil(t, tr.deflating.received.Load())
		assert.Nil(t, tr.deflating.taken)
	}
	t.Run("unused", func(t *testing.T) {
		client, server := takeoverPair(t)
		go func() { assert.NoError(t, writeText(client, message)) }()
		_, got, err := server.ReadMessage(context.Background(), false)
		require.NoError(t, err)
		require.Equal(t, message, got)
		assert.EqualValues(t, 8<<10, server.WindowMemory())
		require.Eventually(t, func() bool { return client.WindowMemory() == 8<<10 }, 20*time.Second, time.Millisecond)
		client.Abort()
		server.Abort()
		gone(t, client)
		gone(t, server)
	})
	t.Run("while a message is written and another read", func(t *testing.T) {
		client, server := takeoverPair(t)
		var using sync.WaitGroup
		using.Go(func() { assert.NoError(t, writeText(client, message)) })
		_, r, err := nextReader(server)
		require.NoError(t, err)
		_, err = io.ReadFull(r, make([]byte, 10))
		require.NoError(t, err)
		using.Wait()
		using.Go(func() { assert.Error(t, writeText(server, message), "nothing reads it") })
		require.Eventually(t, func() bool { return server.deflating.sent.Load() == nil && server.Unwritable() == nil }, 20*time.Second, time.Millisecond)
		time.Sleep(time.Millisecond) // most likely it waits for the pipe now
		server.Abort()
		client.Abort()
		using.Wait()
		_, err = io.Copy(io.Discard, r)
		require.Error(t, err)
		gone(t, server)
		gone(t, client)
		assert.Error(t, writeText(server, message))
		gone(t, server)
	})
}

// A window counts while it is in use, too: a message may take long to arrive.
func TestWindowsAreCountedWhileTheyAreUsed(t *testing.T) {
	client, server := takeoverPair(t)
	message := bytes.Repeat([]byte("context "), 1000)
	var writing sync.WaitGroup
	writing.Go(func() {
		assert.NoError(t, writeText(client, message))
		assert.NoError(t, writeText(client, message))
	})
	_, _, err := server.ReadMessage(context.Background(), false)
	require.NoError(t, err)
	_, r, err := nextReader(server)
	require.NoError(t, err)
	_, err = io.ReadFull(r, make([]byte, 10))
	require.NoError(t, err)
	assert.EqualValues(t, 8<<10, server.WindowMemory())
	_, err = io.Copy(io.Discard, r)
	require.NoError(t, err)
	assert.EqualValues(t, 16<<10, server.WindowMemory())
	writing.Wait()
	client.Abort()
	server.Abort()
	assert.Zero(t, server.WindowMemory())
}

// nextReader waits for a message and returns its reader.
func nextReader(tr *Conn) (int, io.Reader, error) {
	r, err := tr.NextReader(context.Background())
	if err != nil {
		return 0, nil, err
	}
	return 0, r, nil
}

// canceled calls a function when the context is canceled.
type canceled struct {
	noEvents
	do func()
}

func (e *canceled) CancelContext(error) { e.do() }

// A violation within a message that is inflated as it arrives gives the memory of the message back
// before the connection waits for the peer.
func TestViolationWithinAMessageReleasesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := takeoverPair(t)
		var frames bytes.Buffer
		window := deflate.NewSendWindow(15)
		message := bytes.Repeat([]byte("context "), 1000)
		require.NoError(t, window.Compress(message, 1, func(p []byte) error {
			frames.Write(wire.MaskedFrame(wire.OpText|wire.BitRSV1, p))
			frames.Bytes()[0] &^= wire.BitFin
			frames.Write(wire.MaskedFrame(wire.OpContinuation|wire.BitRSV1, []byte("x")))
			return nil
		}))
		written := make(chan struct{})
		go func() {
			defer close(written)
			_, _ = client.nc.Write(frames.Bytes())
			_, _ = io.Copy(io.Discard, client.nc)
		}()
		var held []bool
		server.SetEvents(&canceled{do: func() { held = append(held, server.deflating.arrives.HoldsMemory()) }})
		start := time.Now()
		_, _, err := server.ReadMessage(context.Background(), false)
		require.ErrorContains(t, err, "RSV1")
		assert.Equal(t, lingerTime, time.Since(start), "it waits for the peer")
		assert.Equal(t, []bool{false}, held[:1], "when the violation was found")
		server.StopBackground()
		client.Abort()
		<-written
	})
}
