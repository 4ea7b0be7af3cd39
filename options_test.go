package websocket_test

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Options and gorilla's Settings have some settings in common: the Options take precedence.
func TestOptionsWinOverSettings(t *testing.T) {
	for _, tt := range []struct {
		name     string
		options  websocket.Options
		settings ws.Upgrader
		size     int // of the frames of a message that is written in parts
		compress bool
	}{
		{name: "neither", size: 4096},
		{name: "sizes of the options", options: websocket.Options{WriteBufferSize: 1000, ReadBufferSize: 512}, size: 1000},
		{name: "sizes of the settings", settings: ws.Upgrader{WriteBufferSize: 1000, ReadBufferSize: 512}, size: 1000},
		{
			name: "sizes of both", options: websocket.Options{WriteBufferSize: 1000, ReadBufferSize: 512},
			settings: ws.Upgrader{WriteBufferSize: 2000, ReadBufferSize: 1024}, size: 1000,
		},
		{name: "compression of the options", options: websocket.Options{EnableCompression: true}, compress: true},
		{name: "compression of the settings", settings: ws.Upgrader{EnableCompression: true}, compress: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					_, message, err := conn.ReadMessage()
					if err != nil {
						return err
					}
					w, err := conn.NextWriter(websocket.TextMessage)
					if err != nil {
						return err
					}
					for part := range slices.Chunk(message, 10) { // more at once may leave in one frame
						if _, err := w.Write(part); err != nil {
							return err
						}
					}
					return w.Close()
				}))
				u.Options, u.Settings = tt.options, tt.settings
				require.NoError(t, u.Validate())
				client := wstest.DialRaw(t, serve(u), "/", &wstest.Options{Compression: true})
				assert.Equal(t, tt.compress, strings.Contains(client.Response.Header.Get("Sec-Websocket-Extensions"), "permessage-deflate"))
				client.Send(wstest.Text(strings.Repeat("x", 10_000)))
				frame, err := client.Receive()
				require.NoError(t, err)
				if tt.compress {
					assert.EqualValues(t, 4, frame.RSV)
					return
				}
				assert.Equal(t, tt.size, len(frame.Payload)) //nolint:testifylint // Len would print it
				assert.False(t, frame.Fin)
			})
		})
	}
}

func TestOptionsRefuseCompressionThatThereIsNot(t *testing.T) {
	for _, bits := range []int{-1, 1, 7, 16} {
		require.ErrorContains(t, (&websocket.Options{MaxWindowBits: bits}).Validate(), fmt.Sprintf("MaxWindowBits is %d: want 8 to 15", bits))
		_, _, err := websocket.Dial(t.Context(), "ws://example.test/", &websocket.DialOptions{MaxWindowBits: bits})
		require.ErrorContains(t, err, "MaxWindowBits")
	}
	for _, mode := range []websocket.CompressionMode{-1, 3} {
		require.ErrorContains(t, (&websocket.Options{Compression: mode}).Validate(), fmt.Sprintf("Compression is %d", int(mode)))
	}
}

func TestCompressionModesHaveNames(t *testing.T) {
	for mode, name := range map[websocket.CompressionMode]string{
		websocket.CompressionDisabled:          "disabled",
		websocket.CompressionNoContextTakeover: "noContextTakeover",
		websocket.CompressionContextTakeover:   "contextTakeover",
	} {
		assert.Equal(t, name, mode.String())
		parsed := websocket.CompressionMode(-1)
		require.NoError(t, parsed.UnmarshalText([]byte(name)))
		assert.Equal(t, mode, parsed)
	}
	mode := websocket.CompressionContextTakeover
	require.ErrorContains(t, mode.UnmarshalText([]byte("takeover")), `"takeover"`)
	assert.Equal(t, websocket.CompressionContextTakeover, mode, "nothing is changed")
	require.NoError(t, mode.UnmarshalText(nil))
	assert.Equal(t, websocket.CompressionDisabled, mode)
	assert.Equal(t, "CompressionMode(3)", websocket.CompressionMode(3).String())
}

func TestOptionsRefuseSubprotocolsThatAreNone(t *testing.T) {
	u := websocket.New(websocket.ControllerFunc(testws.Echo))
	u.Subprotocols = []string{"chat", "chat v2"}
	require.ErrorContains(t, u.Options.Validate(), `"chat v2"`)
	require.Error(t, u.Validate())
}

func TestOptionsRefuseCloseFramesThatMayNotBeSent(t *testing.T) {
	for _, code := range []int{0, -1, 999, 1004, 1006, 1015, 1016, 2999, 5000} {
		frame := websocket.NewCloseError(code, "bye")
		require.EqualError(t, (&websocket.Options{ShutdownClose: frame}).Validate(),
			fmt.Sprintf("websocket: ShutdownClose has code %d, which may not be sent", code))
		require.EqualError(t, (&websocket.Options{DrainClose: frame}).Validate(),
			fmt.Sprintf("websocket: DrainClose has code %d, which may not be sent", code))
	}
	options := websocket.Options{ShutdownClose: websocket.NewCloseError(1005, ""), DrainClose: websocket.NewCloseError(4999, "bye")}
	require.NoError(t, options.Validate())
}

// The longest duration there is means in practice that there is no bound: nothing overflows.
func TestLongestTimeouts(t *testing.T) {
	const longest = time.Duration(math.MaxInt64)
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.HandshakeTimeout, u.WriteTimeout, u.CloseTimeout = longest, longest, longest
		conn := testws.Dial(t, serve(u), func(o *websocket.DialOptions) {
			o.HandshakeTimeout, o.WriteTimeout, o.CloseTimeout = longest, longest, longest
		})
		for _, size := range []int{10, 500_000} {
			sent := make([]byte, size)
			require.NoError(t, conn.WriteMessage(websocket.BinaryMessage, sent))
			_, received, err := conn.ReadMessage()
			require.NoError(t, err)
			require.Equal(t, sent, received)
		}
		require.NoError(t, conn.Close(1000, ""))
	})
}
