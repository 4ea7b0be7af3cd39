package roster

import (
	"bytes"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPublicationsAreReadAsTheyWereWritten(t *testing.T) {
	value := &stamped{time: 1 << 60, node: "node", value: []byte("away")}
	for _, p := range []publication{
		{node: "n", revision: 1},
		{node: "n", previous: 300, revision: math.MaxUint64, changes: []Entry{
			{Key: "ann", Value: value.encode()}, {Key: "\x00\xff"}, {Key: "", Value: []byte{}},
		}},
	} {
		data := p.encode()
		var got publication
		require.True(t, got.decode(data))
		assert.Equal(t, p, got)
		for n := range data {
			var got publication
			if got.decode(data[:n]) {
				assert.Less(t, len(got.changes), max(1, len(p.changes)), "a part of it is less")
			}
		}
	}
	for name, body := range map[string][]byte{
		"nothing":                    {},
		"no node":                    {0, 0, 1},
		"a revision that goes back":  {1, 'n', 2, 1},
		"the same revision":          {1, 'n', 1, 1},
		"a node that is cut":         {5, 'n'},
		"a number without an end":    {1, 'n', 0x80},
		"a number that is too long":  {1, 'n', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"a key that is cut":          {1, 'n', 0, 1, 3, 'a'},
		"a key without an entry":     {1, 'n', 0, 1, 1, 'a'},
		"an entry that is cut":       {1, 'n', 0, 1, 1, 'a', 3, 'x'},
		"a length beyond all memory": {1, 'n', 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
	} {
		var p publication
		assert.False(t, p.decode(body), name)
	}
}

func TestValuesAreReadAsTheyWereWritten(t *testing.T) {
	for _, s := range []*stamped{unset, {time: 7, node: "node", value: []byte("away")}, {time: math.MaxInt64, node: "n"}} {
		got, ok := decodeStamped(s.encode())
		require.True(t, ok)
		assert.Equal(t, s, got)
	}
	for name, p := range map[string][]byte{
		"nothing":                 {},
		"no length":               {0, 0, 0, 0, 0, 0, 0, 1},
		"a node that is cut":      {0, 0, 0, 0, 0, 0, 0, 1, 2, 'n'},
		"a time that no one sees": {0x80, 0, 0, 0, 0, 0, 0, 0, 0},
	} {
		_, ok := decodeStamped(p)
		assert.False(t, ok, name)
	}
}

func TestNewestValueIsTheSameForAll(t *testing.T) {
	a, b, c := &stamped{time: 1, node: "b"}, &stamped{time: 1, node: "c"}, &stamped{time: 2, node: "a"}
	for _, pair := range [][2]*stamped{{unset, a}, {a, b}, {b, c}} {
		assert.Same(t, pair[1], newest(pair[0], pair[1]))
		assert.Same(t, pair[1], newest(pair[1], pair[0]))
	}
}

// What other programs publish is read without harm, and what was read is written so that it reads the same.
func FuzzNotices(f *testing.F) {
	value := &stamped{time: 7, node: "node", value: []byte("away")}
	p := publication{node: "n", previous: 1, revision: 300, changes: []Entry{{Key: "ann", Value: value.encode()}, {Key: "bob"}}}
	f.Add(p.encode())
	f.Add(value.encode())
	f.Add(unset.encode())
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		var p publication
		if p.decode(body) {
			var again publication
			require.True(t, again.decode(p.encode()))
			assert.Equal(t, p, again)
		}
		if s, ok := decodeStamped(body); ok {
			again, ok := decodeStamped(s.encode())
			require.True(t, ok)
			assert.Equal(t, s, again)
		}
		assert.Equal(t, before, body)
	})
}
