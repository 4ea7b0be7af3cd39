//go:build !race

package strictconn

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// To hold a connection to its promises costs no memory for each call.
func TestCallsAllocateNothing(t *testing.T) {
	nc := Wrap(&scripted{read: returns(1, nil), write: returns(1, nil)}, testPanics)
	p, at := make([]byte, 1), time.Now().Add(time.Hour)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		_, _ = nc.Read(p)
		_, _ = nc.Write(p)
		_ = nc.SetReadDeadline(at)
		_ = nc.SetWriteDeadline(at)
	}))
}
