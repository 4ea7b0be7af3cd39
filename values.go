package websocket

import (
	"context"
	"net"
	"net/http"
	"reflect"
)

// The context of a request is a chain: values that middleware has added, above two contexts of net/http
// that only cancel, above the local address that net/http adds for each connection, above what all
// connections share. What only cancels has no values, and takes some 500 bytes below a value.

// Types of contexts of package context, whose first field is the context that they are derived from.
// They are nil if their fields can't be read, in another release of Go.
var (
	canceler = func() reflect.Type {
		ctx, cancel := context.WithCancel(aContext)
		cancel()
		return derivedType(ctx)
	}()
	valuer = func() reflect.Type {
		ctx := context.WithValue(aContext, http.LocalAddrContextKey, anAddr)
		t := derivedType(ctx)
		if t == nil || t.Elem().NumField() != 3 || !holds(ctx, http.LocalAddrContextKey, anAddr) {
			return nil
		}
		return t
	}()
)

var (
	aContext = context.WithValue(context.Background(), connKey{}, nil)
	anAddr   = new(net.TCPAddr)
)

// derivedType returns the type of a context that is derived from aContext, nil if that is not its first
// field.
func derivedType(ctx context.Context) reflect.Type {
	v := reflect.ValueOf(ctx)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct || v.Elem().NumField() == 0 {
		return nil
	}
	if f := v.Elem().Field(0); !f.CanSet() || f.Interface() != any(aContext) {
		return nil
	}
	return v.Type()
}

// parentOf returns the context that ctx, which is of one of the two types, is derived from.
func parentOf(ctx context.Context) context.Context {
	parent, _ := reflect.TypeAssert[context.Context](reflect.ValueOf(ctx).Elem().Field(0))
	return parent
}

// holds reports whether a context of type valuer has this key and this value. Both are pointers.
func holds(ctx context.Context, key, value any) bool {
	v := reflect.ValueOf(ctx).Elem()
	return isPointer(v.Field(1), key) && isPointer(v.Field(2), value)
}

// isPointer reports whether the variable v of an interface type contains the pointer p.
func isPointer(v reflect.Value, p any) bool {
	if v.Kind() != reflect.Interface || v.Elem().Kind() != reflect.Pointer {
		return false
	}
	want := reflect.ValueOf(p)
	return v.Elem().Type() == want.Type() && v.Elem().Pointer() == want.Pointer()
}

// valuesOf returns a context with the values of ctx, without the contexts that have none, and without
// the local address that net/http has added, if that is local. It reports whether that is left out.
// It calls no method of ctx: it may be a type of the application's.
func valuesOf(ctx context.Context, local net.Addr) (values context.Context, withoutLocal bool) {
	above, last := 0, -1 // contexts above the one at hand, and above the last one that is left out
	p := pruner{local: local}
	for c := ctx; ; {
		parent, leftOut := p.next(c)
		if parent == nil {
			break
		}
		if leftOut {
			last = above
		} else {
			above++
		}
		c = parent
	}
	if last < 0 {
		return ctx, false
	}
	return pruned(ctx, local, last), p.found
}

// pruned returns ctx without what is left out. Of the contexts above the last of these, whose number is
// given, it returns copies.
func pruned(ctx context.Context, local net.Addr, above int) (values context.Context) {
	var under reflect.Value // where the next context belongs
	p := pruner{local: local}
	for {
		parent, leftOut := p.next(ctx)
		switch {
		case leftOut:
		case above == 0 && !under.IsValid():
			return ctx
		case above == 0:
			under.Set(reflect.ValueOf(ctx))
			return values
		default:
			above--
			value := reflect.New(valuer.Elem())
			value.Elem().Set(reflect.ValueOf(ctx).Elem())
			if under.IsValid() {
				under.Set(value)
			} else {
				values, _ = reflect.TypeAssert[context.Context](value)
			}
			under = value.Elem().Field(0)
		}
		ctx = parent
	}
}

// A pruner goes through a chain of contexts.
type pruner struct {
	local net.Addr // nil once there was a local address, which hides those below
	found bool     // it was left out
}

// next returns the context that ctx is derived from, nil if that is unknown, and whether ctx is left out.
func (p *pruner) next(ctx context.Context) (parent context.Context, leftOut bool) {
	switch t := reflect.TypeOf(ctx); {
	case t == nil:
		return nil, false
	case t == canceler:
		return parentOf(ctx), true
	case t != valuer:
		return nil, false
	}
	if p.local != nil && isPointer(reflect.ValueOf(ctx).Elem().Field(1), http.LocalAddrContextKey) {
		leftOut = isPointer(reflect.ValueOf(ctx).Elem().Field(2), p.local)
		p.found, p.local = leftOut, nil
	}
	return parentOf(ctx), leftOut
}
