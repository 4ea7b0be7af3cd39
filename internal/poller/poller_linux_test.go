package poller

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// When the queue of the kernel fails, all waiters are told to read, and nothing can be armed.
func TestQueueThatFails(t *testing.T) {
	defer goleak.VerifyNone(t)
	first, _ := pair(t)
	second, _ := pair(t)
	first.add(t)
	second.add(t)
	shared.mu.Lock()
	q, done := shared.queue, shared.done
	shared.mu.Unlock()
	_ = q.file.SetReadDeadline(time.Unix(1, 0)) // makes the wait for events fail
	<-done
	first.isWoken(t)
	second.isWoken(t)
	first.control(t, func(fd uintptr) { require.ErrorIs(t, Arm(fd, first.watch), errFailed) })
	first.close(t)
	second.close(t)
	third, client := pair(t)
	third.add(t)
	_, err := client.Write([]byte{1})
	require.NoError(t, err)
	third.isWoken(t)
	third.close(t)
}
