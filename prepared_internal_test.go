package websocket

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A prepared message is encoded once, and the encoded message is released with it.
func TestPreparedMessagesAreEncodedOnce(t *testing.T) {
	known := func() (n int) {
		preparedMessages.Range(func(any, any) bool {
			n++
			return true
		})
		return n
	}
	before := known()
	func() {
		for _, size := range []int{0, 125, 126, 70_000} {
			data := bytes.Repeat([]byte("x"), size)
			for _, messageType := range []int{TextMessage, BinaryMessage} {
				message, err := ws.NewPreparedMessage(messageType, data)
				require.NoError(t, err)
				m, err := encodedOf(message)
				require.NoError(t, err)
				assert.Equal(t, messageType, m.Type())
				assert.True(t, bytes.Equal(data, m.Data()))
				again, err := encodedOf(message)
				require.NoError(t, err)
				assert.Same(t, m, again)
				runtime.KeepAlive(message)
			}
		}
		ping, err := NewPreparedMessage(PingMessage, []byte("x"))
		require.NoError(t, err)
		m, err := encodedOf(ping)
		require.NoError(t, err)
		assert.Equal(t, PingMessage, m.Type())
	}()
	require.Eventually(t, func() bool {
		runtime.GC()
		return known() <= before
	}, 20*time.Second, time.Millisecond)
}
