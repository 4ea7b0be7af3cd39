package transport

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// readDeadlineOf is a net.Conn that notes the read deadline that was set last.
type readDeadlineOf struct {
	net.Conn
	last time.Time
}

func (c *readDeadlineOf) SetReadDeadline(at time.Time) error {
	c.last = at
	return errNetwork
}

// The deadline of the socket is the caller's, until a read is to fail, and none once a closing
// handshake reads. The error is that of the network.
func TestWhichReadDeadlineHolds(t *testing.T) {
	var d readDeadlines
	nc := &readDeadlineOf{}
	tr := &Conn{nc: nc}
	callers := time.Unix(1<<33, 0)
	errEnded, errFailed := errors.New("the context has ended"), errors.New("reads fail")
	holds := func(want time.Time, err error) {
		t.Helper()
		assert.Equal(t, errNetwork, err)
		assert.Equal(t, want, nc.last)
	}

	holds(callers, d.set(tr, callers))
	assert.Equal(t, os.ErrDeadlineExceeded, d.reason(os.ErrDeadlineExceeded))
	holds(longAgo, d.end(tr, errEnded))
	assert.Equal(t, errEnded, d.reason(os.ErrDeadlineExceeded))
	holds(callers, d.end(tr, nil))
	assert.Equal(t, os.ErrDeadlineExceeded, d.reason(os.ErrDeadlineExceeded), "it was taken back")

	holds(longAgo, d.fail(tr, errFailed))
	holds(longAgo, d.set(tr, time.Time{}))
	holds(longAgo, d.fail(tr, errEnded))
	assert.Equal(t, errFailed, d.reason(os.ErrDeadlineExceeded), "the first one")

	d.take(tr)
	assert.Zero(t, nc.last)
	nc.last = callers
	require.NoError(t, d.set(tr, longAgo))
	require.NoError(t, d.fail(tr, errFailed))
	assert.Equal(t, callers, nc.last, "nothing is set any more")
}

// A context that ends ends the read that it bounds, to the instant. One that ends after the read
// has succeeded leaves later reads as they are.
func TestContextsBoundReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer func() { _ = client.Close() }()
		tr := New(server, nil, newConfig())
		tr.Open()
		write := func(after time.Duration) {
			time.Sleep(after)
			_, _ = client.Write(wire.MaskedFrame(wire.OpText, []byte("x")))
		}

		ctx, cancel := context.WithCancel(context.Background())
		go write(time.Second)
		_, p, err := tr.ReadMessage(ctx, false)
		require.NoError(t, err)
		assert.Equal(t, "x", string(p))
		assert.False(t, tr.readIsBounded(), "the read is over")
		cancel()
		go write(time.Second)
		_, _, err = tr.ReadMessage(context.Background(), false)
		require.NoError(t, err, "the context of an earlier read has ended")

		_, _, err = tr.ReadMessage(ctx, false)
		require.ErrorIs(t, err, context.Canceled)
		go write(0)
		_, _, err = tr.ReadMessage(context.Background(), false)
		require.NoError(t, err, "a read did not begin because its context had ended")

		start := time.Now()
		errLate := errors.New("late")
		ctx, cancel = context.WithTimeoutCause(context.Background(), time.Minute, errLate)
		defer cancel()
		_, _, err = tr.ReadMessage(ctx, false)
		require.ErrorIs(t, err, errLate)
		assert.Equal(t, time.Minute, time.Since(start))
		_, _, again := tr.ReadMessage(context.Background(), false)
		assert.Equal(t, err, again)
		tr.Abort()
		tr.StopBackground()
	})
}

// cancelingEvents cancels a context when a ping comes, and lets time pass.
type cancelingEvents struct {
	noEvents
	cancel context.CancelFunc
}

func (e cancelingEvents) Control(int, string) error {
	e.cancel()
	time.Sleep(time.Second) // the read is interrupted meanwhile
	return nil
}

// A context that ends while the message is in the buffer already does not take it away, and leaves
// no trace in later reads.
func TestContextEndsAndTheReadSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		defer func() { _ = client.Close() }()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		tr := New(server, nil, newConfig())
		tr.SetEvents(cancelingEvents{cancel: cancel})
		tr.Open()
		message := wire.MaskedFrame(wire.OpText, []byte("x"))
		go func() {
			_, _ = client.Write(append(wire.MaskedFrame(wire.OpPing, nil), message...))
			time.Sleep(time.Minute)
			_, _ = client.Write(message)
		}()
		_, p, err := tr.ReadMessage(ctx, false)
		require.NoError(t, err)
		assert.Equal(t, "x", string(p))
		require.Error(t, ctx.Err())
		_, p, err = tr.ReadMessage(context.Background(), false)
		require.NoError(t, err)
		assert.Equal(t, "x", string(p))
		tr.Abort()
		tr.StopBackground()
	})
}
