package xsync

import "sync/atomic"

// A Lazy is a value that is made when a goroutine first needs it, for values that most
// connections do without. The zero value is not made. All goroutines get the same value.
type Lazy[T any] struct{ p atomic.Pointer[T] }

// Made returns the value, nil if it was not made.
func (l *Lazy[T]) Made() *T { return l.p.Load() }

// Get returns the value. If it was not made, newValue makes it. Where several goroutines come
// first at once, each calls newValue, and one of the values is kept.
func (l *Lazy[T]) Get(newValue func() *T) *T {
	if v := l.p.Load(); v != nil {
		return v
	}
	l.p.CompareAndSwap(nil, newValue())
	return l.p.Load()
}
