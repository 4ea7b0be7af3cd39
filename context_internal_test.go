package websocket

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ownContext is a context of another package, which may have values.
type ownContext struct{ context.Context }

// Only contexts that can have no value of their own are left out, and only from the outside.
func TestValuesAreThoseOfTheContextBelow(t *testing.T) {
	require.NotNil(t, canceler, "this release of Go has another context.WithCancel: see valuesOf")
	type key struct{}
	value := context.WithValue(context.Background(), key{}, 1)
	inner, cancel := context.WithCancel(value)
	outer, cancelOuter := context.WithCancelCause(inner)
	timed, cancelTimed := context.WithTimeout(outer, time.Hour)
	defer cancelTimed()
	for name, test := range map[string]struct{ ctx, want context.Context }{
		"a value":                  {value, value},
		"one to cancel":            {inner, value},
		"two to cancel":            {outer, value},
		"a timeout":                {timed, timed},
		"a value above":            {context.WithValue(outer, key{}, 2), nil},
		"without cancel":           {context.WithoutCancel(outer), nil},
		"a type of another":        {ownContext{outer}, nil},
		"cancel above that":        {context.WithoutCancel(ownContext{outer}), nil},
		"nothing":                  {context.Background(), nil},
		"the context of this test": {t.Context(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := valuesOf(test.ctx)
			assert.Equal(t, test.ctx.Value(key{}), got.Value(key{}))
			if test.want != nil {
				assert.Same(t, test.want, got)
			}
		})
	}
	cancel()
	cancelOuter(nil)
	assert.Same(t, value, valuesOf(outer), "they may have ended")
}

func TestValuesCostNoMemory(t *testing.T) {
	inner, cancel := context.WithCancel(context.WithValue(context.Background(), connKey{}, nil))
	defer cancel()
	outer, cancelOuter := context.WithCancel(inner)
	defer cancelOuter()
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = valuesOf(outer) }))
}
