package xsync

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestLazyIsOneForAll(t *testing.T) {
	for range 100 {
		var l Lazy[int]
		assert.Nil(t, l.Made())
		got := make([]*int, 8)
		var all sync.WaitGroup
		for i := range got {
			all.Go(func() { got[i] = l.Get(func() *int { return &i }) })
		}
		all.Wait()
		for _, p := range got {
			assert.Same(t, l.Made(), p)
		}
		assert.Same(t, l.Made(), l.Get(func() *int {
			assert.Fail(t, "it is made already")
			return nil
		}))
	}
}

func TestLazyAllocatesItsValueAlone(t *testing.T) {
	type value struct{ of *Lazy[int] }
	var l Lazy[int]
	allocs := testing.AllocsPerRun(100, func() {
		var v Lazy[value]
		v.Get(func() *value { return &value{&l} })
		v.Get(func() *value { return &value{&l} })
	})
	assert.LessOrEqual(t, allocs, 2.0, "the value and, as it escapes here, the Lazy")
}
