package transport

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A connection expires at the time that was set first, unless that is undone. Its socket is closed
// by then.
func TestExpiry(t *testing.T) {
	for name, tc := range map[string]struct {
		set  func(tr *Conn)
		want time.Duration // until the socket is closed
	}{
		"once":         {func(tr *Conn) { tr.expireAfter(time.Second) }, time.Second},
		"the first":    {func(tr *Conn) { tr.expireAfter(time.Second); tr.expireAfter(time.Millisecond) }, time.Second},
		"set again":    {func(tr *Conn) { tr.expireAfter(time.Second); tr.cancelExpiry(); tr.expireAfter(time.Minute) }, time.Minute},
		"of a close":   {func(tr *Conn) { tr.expire() }, 10 * time.Second},
		"with nothing": {func(tr *Conn) { tr.SetCloseTimeout(-1); tr.expire() }, 0},
		"canceled":     {func(tr *Conn) { tr.expireAfter(time.Second); tr.cancelExpiry() }, time.Hour},
		"abortAfter":   {func(tr *Conn) { tr.abortAfter(time.Second) }, time.Second},
		"stopped":      {func(tr *Conn) { tr.abortAfter(time.Second)() }, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, server := net.Pipe()
				tr := New(server, nil, newConfig())
				tr.Open()
				start := time.Now()
				tc.set(tr)
				select {
				case <-tr.Closed():
				case <-time.After(time.Hour):
				}
				assert.Equal(t, tc.want, time.Since(start))
				tr.Abort()
				tr.StopBackground()
			})
		})
	}
}
