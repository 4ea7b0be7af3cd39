package memory_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/hub/internal/memory"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func isUsed(topic string) bool { return topic == "used" }

func nowhere(memory.Entry) {}

// An entry is dropped at the instant when it is too old, and then a topic that nobody uses is forgotten,
// with its epoch. As long as it is used, the epoch stays.
func TestHistoriesForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var histories memory.Histories[string]
		keep := memory.Keep{Messages: 10, Age: time.Hour}
		first := make(map[string]memory.Entry)
		for _, topic := range []string{"used", "unused"} {
			first[topic] = histories.Append(topic, []byte("hello"), keep, isUsed, nowhere)
		}
		kept := func(topic string) ([]memory.Entry, memory.Position) {
			entries, newest, ok := histories.Read(topic, memory.Position{}, 10, isUsed)
			require.True(t, ok)
			return entries, newest
		}
		time.Sleep(time.Hour - 1)
		for topic, e := range first {
			entries, newest := kept(topic)
			assert.Equal(t, []memory.Entry{e}, entries)
			assert.Equal(t, e.Position, newest)
		}
		time.Sleep(time.Nanosecond)
		for topic, e := range first {
			entries, newest := kept(topic)
			assert.Empty(t, entries)
			assert.Equal(t, e.Position, newest)
		}
		time.Sleep(time.Hour - 1)
		_, newest := kept("another") // removes what nobody uses
		assert.NotEmpty(t, newest.Epoch)
		time.Sleep(time.Hour)
		for topic, e := range first {
			_, newest := kept(topic)
			assert.Equal(t, topic == "used", newest == e.Position, "%v: %v, %v", topic, newest, e.Position)
		}
	})
}

// Reading topics that do not exist leaves nothing behind for long.
func TestHistoriesForgetEmptyTopics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var histories memory.Histories[string]
		epoch := func(i int) string {
			_, newest, ok := histories.Read(fmt.Sprint(i), memory.Position{}, 1, isUsed)
			require.True(t, ok)
			return newest.Epoch
		}
		first := epoch(0)
		for i := range 1000 {
			epoch(i)
		}
		assert.Equal(t, first, epoch(0))
		time.Sleep(time.Minute)
		epoch(1)
		assert.NotEqual(t, first, epoch(0))
	})
}

func TestWhatFollowsAPosition(t *testing.T) {
	var histories memory.Histories[string]
	keep := memory.Keep{Messages: 2, Age: time.Hour}
	var all []memory.Entry
	for range 4 {
		all = append(all, histories.Append("room", nil, keep, isUsed, nowhere))
	}
	epoch := all[0].Epoch
	for name, row := range map[string]struct {
		after  memory.Position
		limit  int
		expect []memory.Entry
		lost   bool
	}{
		"the oldest that are kept":   {limit: 5, expect: all[2:]},
		"one":                        {limit: 1, expect: all[2:3]},
		"none":                       {after: all[1].Position},
		"those after the last lost":  {after: all[1].Position, limit: 5, expect: all[2:]},
		"those after one":            {after: all[2].Position, limit: 5, expect: all[3:]},
		"nothing after the newest":   {after: all[3].Position, limit: 5},
		"one before is lost":         {after: all[0].Position, limit: 5, lost: true},
		"before the first":           {after: memory.Position{Epoch: epoch}, limit: 5, lost: true},
		"an offset of the future":    {after: memory.Position{Epoch: epoch, Offset: 5}, lost: true},
		"an epoch that is not known": {after: memory.Position{Epoch: "x", Offset: 3}, lost: true},
	} {
		entries, newest, ok := histories.Read("room", row.after, row.limit, isUsed)
		assert.Equal(t, row.expect, entries, name)
		assert.Equal(t, !row.lost, ok, name)
		assert.Equal(t, all[3].Position, newest, name)
	}
}

// Entries are delivered in their order, one after the other, whoever appends them; and a topic is not
// forgotten meanwhile.
func TestEntriesAreDeliveredInOrder(t *testing.T) {
	var histories memory.Histories[string]
	keep := memory.Keep{Messages: 1, Age: time.Nanosecond}
	var last memory.Entry // no lock: deliver is not called twice at once
	var appending sync.WaitGroup
	for range 8 {
		appending.Go(func() {
			for range 100 {
				histories.Append("room", nil, keep, isUsed, func(e memory.Entry) {
					assert.Equal(t, last.Offset+1, e.Offset)
					assert.Equal(t, last.Offset, e.Previous)
					last = e
				})
			}
		})
	}
	appending.Wait()
	assert.EqualValues(t, 800, last.Offset)
}
