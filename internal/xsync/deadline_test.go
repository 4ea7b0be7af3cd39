package xsync

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endOf waits for the end of a context and returns how long it took.
func endOf(ctx context.Context, t *testing.T) time.Duration {
	t.Helper()
	start := time.Now()
	select {
	case <-ctx.Done():
	case <-time.After(time.Hour):
		t.Fatal("the context does not end")
	}
	return time.Since(start)
}

func TestDeadlineEndsOperationsInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDeadline(t.Context())
		ctx := d.Context()
		require.NoError(t, ctx.Err())
		d.Set(time.Now().Add(time.Second))
		assert.Equal(t, time.Second, endOf(ctx, t))
		require.ErrorIs(t, context.Cause(ctx), os.ErrDeadlineExceeded)
		require.ErrorIs(t, context.Cause(d.Context()), os.ErrDeadlineExceeded, "of later ones, too")
		assert.Equal(t, ctx, d.Context())
	})
}

func TestDeadlineMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDeadline(t.Context())
		ctx := d.Context()
		d.Set(time.Now().Add(time.Second))
		d.Set(time.Now().Add(time.Minute))
		assert.Equal(t, ctx, d.Context(), "one that has not passed keeps its context")
		assert.Equal(t, time.Minute, endOf(ctx, t))

		d.Set(time.Time{})
		ctx = d.Context()
		time.Sleep(time.Hour)
		require.NoError(t, ctx.Err(), "the deadline was removed")

		d.Set(time.Now().Add(-time.Second))
		require.ErrorIs(t, context.Cause(ctx), os.ErrDeadlineExceeded, "it has passed already")
		d.Set(time.Now().Add(time.Second))
		require.NoError(t, d.Context().Err())
		require.Error(t, ctx.Err(), "what has ended stays so")
		assert.Equal(t, time.Second, endOf(d.Context(), t))
	})
}

// The timer of an earlier deadline, which fires late, must not end the context of a later one.
func TestDeadlineAtTheMomentOfTheEarlierOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDeadline(t.Context())
		d.Set(time.Now().Add(time.Second))
		time.Sleep(time.Second)
		d.Set(time.Now().Add(time.Second))
		synctest.Wait()
		assert.Equal(t, time.Second, endOf(d.Context(), t))
	})
}

func TestDeadlineWithinAParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("enough")
		parent, cancel := context.WithCancelCause(t.Context())
		d := NewDeadline(parent)
		ctx := d.Context()
		cancel(cause)
		require.ErrorIs(t, context.Cause(ctx), cause)
		d.Set(time.Now().Add(time.Second))
		require.ErrorIs(t, context.Cause(d.Context()), cause, "no deadline brings it back")
	})
}

// A stopped timer does not fire.
func TestDeadlineStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDeadline(t.Context())
		d.Stop()
		d.Set(time.Now().Add(time.Minute))
		ctx := d.Context()
		d.Stop()
		time.Sleep(time.Hour)
		require.NoError(t, ctx.Err())
	})
}
