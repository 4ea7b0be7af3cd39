package main

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDirection(t *testing.T) {
	sent := func() *direction {
		d := &direction{}
		for range 3 {
			d.wrote("a")
		}
		return d
	}
	first, second := message("a", 0, []byte("x\ny")), message("a", 1, nil)
	third := message("a", 2, []byte("z"))
	for _, tt := range []struct {
		name    string
		arrive  [][]byte
		wrong   string // about the last that arrives
		missing bool
	}{
		{name: "all, in order", arrive: [][]byte{first, second, third}},
		{name: "the last is missing", arrive: [][]byte{first, second}, missing: true},
		{name: "none arrives", missing: true},
		{name: "one arrives twice", arrive: [][]byte{first, first}, wrong: "a/0 arrived, want a/1", missing: true},
		{name: "one is left out", arrive: [][]byte{first, third}, wrong: "a/2 arrived, want a/1", missing: true},
		{name: "out of order", arrive: [][]byte{second}, wrong: "a/1 arrived, want a/0", missing: true},
		{name: "another body", arrive: [][]byte{append(slices.Clip(first), '!')}, wrong: "checksum", missing: true},
		{name: "another stream's", arrive: [][]byte{first, message("b", 1, nil)}, wrong: "b/1 arrived, want b/0", missing: true},
		{name: "no message at all", arrive: [][]byte{[]byte("hello")}, wrong: "no message of ours", missing: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := sent()
			for i, p := range tt.arrive {
				err := d.arrived(p)
				if tt.wrong == "" || i < len(tt.arrive)-1 {
					require.NoError(t, err)
				} else {
					require.ErrorContains(t, err, tt.wrong)
				}
			}
			assert.Equal(t, tt.missing, d.check(false) != nil)
			assert.NoError(t, d.check(true))
		})
	}
	t.Run("more than was sent", func(t *testing.T) {
		d := sent()
		require.NoError(t, d.arrived(message("b", 0, nil)))
		assert.Error(t, d.check(true))
	})
}

func TestBroadcast(t *testing.T) {
	d := &direction{}
	require.NoError(t, d.announced([]byte("broadcast 7")))
	require.NoError(t, d.announced([]byte("broadcast 8")))
	require.ErrorContains(t, d.announced([]byte("broadcast 8")), "broadcast 8 arrived, want 9")
	require.ErrorContains(t, d.announced([]byte("broadcast")), "no message of ours")
}
