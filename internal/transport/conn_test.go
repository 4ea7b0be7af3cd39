package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket/internal/strictconn"
	"github.com/stretchr/testify/assert"
)

// testPanic is an error of a panic, as the layer above would make it.
type testPanic struct{ value any }

func (p testPanic) Error() string { return fmt.Sprint("panic: ", p.value) }

var testPanics = &strictconn.Panics{
	New: func(value any) error { return testPanic{value} },
	Is:  func(err error) bool { return errors.As(err, new(testPanic)) },
}

var errNetwork = errors.New("of the network")

// newConfig returns settings like the defaults of Options, with changes.
func newConfig(changes ...func(*Config)) *Config {
	c := &Config{WriteTimeout: 10 * time.Second, CloseTimeout: 10 * time.Second, ReadBuffers: &sync.Pool{}, Panics: testPanics}
	for _, change := range changes {
		change(c)
	}
	return c
}

// Each call of close returns when the socket is closed, with the same error.
func TestCloseReturnsWhenTheSocketIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := New(&slowToClose{}, nil, newConfig())
		start := time.Now()
		var closing sync.WaitGroup
		for range 3 {
			closing.Go(func() {
				assert.ErrorIs(t, tr.close(), io.ErrNoProgress)
				assert.Equal(t, time.Second, time.Since(start))
			})
		}
		synctest.Wait()
		assert.True(t, tr.isClosed(), "since the first call")
		closing.Wait()
		assert.ErrorIs(t, tr.close(), io.ErrNoProgress)
	})
}

// slowToClose takes a second to close.
type slowToClose struct{ net.Conn }

func (*slowToClose) Close() error {
	time.Sleep(time.Second)
	return io.ErrNoProgress
}
func (*slowToClose) LocalAddr() net.Addr  { return nil }
func (*slowToClose) RemoteAddr() net.Addr { return nil }
