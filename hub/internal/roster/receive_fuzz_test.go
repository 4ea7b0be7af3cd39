package roster_test

import (
	"bytes"
	"maps"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/hub/internal/roster"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever a broker says that other nodes have published, nothing panics, memory is in proportion to it, and what
// is told of people fits what was told before. What other nodes said that do not exist is mended in the time that
// it takes to notice that a node has died.
func FuzzReceive(f *testing.F) {
	here := []byte{1, 'x', 0, 9, 1, 'c', 11, 0, 0, 0, 0, 0, 0, 0, 1, 1, 'x'} // c has come, in revision 9 of x
	for _, second := range [][]byte{
		nil, here,
		{1, 'x', 9, 10, 1, 'c', 0},                        // and is gone
		{1, 'x', 12, 13, 1, 'c', 0},                       // something is missing before it
		{1, 'x', 0, 20, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0}, // more is to come
		{1, 'x', 9, 11, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 'c'},
		{3, 't', 'w', 'o', 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 3, 'b', 'o', 'b', 0},
	} {
		f.Add(uint8(roster.RoomChanged), here, uint8(roster.RoomChanged), second)
	}
	f.Add(uint8(roster.ValueSet), []byte{0, 0, 0, 0, 0, 0, 0, 1, 1, 'x', 'a', 'w', 'a', 'y'}, uint8(roster.NodeGone), []byte("two"))
	f.Fuzz(func(t *testing.T, kind uint8, body []byte, nextKind uint8, next []byte) {
		all := slices.Concat(body, next)
		if bytes.Contains(all, []byte("panic")) { // an owner's mistake
			return
		}
		synctest.Test(t, func(t *testing.T) {
			w := new(network)
			one, two := w.join(t, "one", 0), w.join(t, "two", 0)
			one.enter("lobby", "ann")
			o := <-one.owners
			two.enter("lobby", "bob")
			synctest.Wait()
			told := make(map[string]string)
			o.follow(t, told)
			require.Equal(t, map[string]string{"ann": "", "bob": ""}, told)

			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			one.Receive(fuzzedNotice(kind, body))
			one.Receive(fuzzedNotice(nextKind, next))
			runtime.ReadMemStats(&after)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20+300*len(all)))
			synctest.Wait()
			o.follow(t, told)

			time.Sleep(3 * time.Minute) // of which one is the time to live
			synctest.Wait()
			o.follow(t, told)
			if !bytes.Contains(all, []byte("two")) {
				assert.ElementsMatch(t, []string{"ann", "bob"}, slices.Collect(maps.Keys(told)))
			}
		})
	})
}

// fuzzedNotice returns a notice that concerns the room or the member of the test.
func fuzzedNotice(kind uint8, body []byte) roster.Notice {
	n := roster.Notice{Kind: roster.NoticeKind(kind % 3), Name: "lobby", Body: body}
	if n.Kind == roster.ValueSet {
		n.Name = "ann"
	}
	return n
}

// follow applies what the owner was told to what it was told before, which must fit.
func (o *owner) follow(t *testing.T, told map[string]string) {
	t.Helper()
	for len(o.takes) > 0 {
		for key, c := range <-o.takes {
			old, isHere := told[key]
			switch c.Kind {
			case roster.Left:
				assert.True(t, isHere && old == string(c.Value), "%q leaves", key)
				delete(told, key)
				continue
			case roster.Updated:
				assert.True(t, isHere && old != string(c.Value), "%q is updated", key)
			default:
				assert.False(t, isHere, "%q joins", key)
			}
			told[key] = string(c.Value)
		}
	}
}
