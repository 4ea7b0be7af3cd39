package integration_test

import (
	"cmp"
	"compress/flate"
	"net/http"
	"strings"
	"testing"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const agreedOn = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

func TestCompressionOffers(t *testing.T) {
	for _, tt := range []struct {
		name     string
		offers   []string // lines of the header
		accepted bool
		answer   string // "": agreedOn
		refused  bool   // it is malformed
	}{
		{name: "the bare extension", offers: []string{"permessage-deflate"}, accepted: true},
		{name: "Chrome's and Firefox's", offers: []string{"permessage-deflate; client_max_window_bits"}, accepted: true},
		{name: "gorilla's", offers: []string{agreedOn}, accepted: true},
		{name: "no context takeover of ours", offers: []string{"permessage-deflate; server_no_context_takeover"}, accepted: true},
		{name: "the smallest window of the client's", offers: []string{"permessage-deflate; client_max_window_bits=8"}, accepted: true},
		{name: "the largest window of the client's", offers: []string{"permessage-deflate; client_max_window_bits=15"}, accepted: true},
		{name: "a value in quotes", offers: []string{`permessage-deflate; client_max_window_bits="10"`}, accepted: true},
		{name: "all that we can honor", offers: []string{agreedOn + "; client_max_window_bits"}, accepted: true},
		{name: "no spaces", offers: []string{"permessage-deflate;client_no_context_takeover;client_max_window_bits=10"}, accepted: true},
		{name: "spaces and tabs", offers: []string{"\t permessage-deflate \t;  client_max_window_bits = 10 ;\tserver_no_context_takeover"}, accepted: true},
		{name: "after another extension", offers: []string{"x-webkit-deflate-frame, permessage-deflate"}, accepted: true},
		{name: "before another extension", offers: []string{"permessage-deflate, x-webkit-deflate-frame; no_context_takeover"}, accepted: true},
		{name: "on a second line", offers: []string{"x-telepathy; range=10", "permessage-deflate"}, accepted: true},
		{name: "after an extension with quotes", offers: []string{`x-telepathy; to="a\da", permessage-deflate`}, accepted: true},
		{name: "after an empty element", offers: []string{", permessage-deflate"}, accepted: true},
		{name: "among empty elements and lines", offers: []string{"", ",, permessage-deflate ,", ","}, accepted: true},
		{name: "a value in quotes with a backslash", offers: []string{`permessage-deflate; client_max_window_bits="1\0"`}, accepted: true},
		{name: "the window that we have", offers: []string{"permessage-deflate; server_max_window_bits=15"}, accepted: true, answer: agreedOn + "; server_max_window_bits=15"},
		{
			name:     "the window that we have, in quotes, among others",
			offers:   []string{`x-telepathy, permessage-deflate; client_max_window_bits=9; server_max_window_bits="15"; server_no_context_takeover`},
			accepted: true, answer: agreedOn + "; server_max_window_bits=15",
		},
		{
			name:     "a window of ours, then the largest",
			offers:   []string{"permessage-deflate; server_max_window_bits=14, permessage-deflate; server_max_window_bits=15"},
			accepted: true, answer: agreedOn + "; server_max_window_bits=14",
		},
		{name: "anything, then the window that we have", offers: []string{"permessage-deflate, permessage-deflate; server_max_window_bits=15"}, accepted: true},

		{name: "a window of ours, then anything", offers: []string{"permessage-deflate; server_max_window_bits=10, permessage-deflate"}, accepted: true, answer: agreedOn + "; server_max_window_bits=10"},
		{name: "a window of ours, then anything, on two lines", offers: []string{"permessage-deflate; server_max_window_bits=10", "permessage-deflate"}, accepted: true, answer: agreedOn + "; server_max_window_bits=10"},
		{name: "anything, then a window of ours", offers: []string{"permessage-deflate, permessage-deflate; server_max_window_bits=10"}, accepted: true},
		{name: "a bad offer, then a good one", offers: []string{"permessage-deflate; x, permessage-deflate; client_max_window_bits"}, accepted: true},

		{name: "nothing", offers: nil},
		{name: "an empty header", offers: []string{""}},
		{name: "another extension", offers: []string{"x-webkit-deflate-frame"}},
		{name: "a window of ours", offers: []string{"permessage-deflate; server_max_window_bits=10"}, accepted: true, answer: agreedOn + "; server_max_window_bits=10"},
		{name: "the window that we have, twice", offers: []string{"permessage-deflate; server_max_window_bits=15; server_max_window_bits=15"}},
		{name: "the window that we have, with a leading zero", offers: []string{"permessage-deflate; server_max_window_bits=015"}},
		{name: "a window of ours without a value", offers: []string{"permessage-deflate; server_max_window_bits"}},
		{name: "two windows of ours", offers: []string{"permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=11"}, accepted: true, answer: agreedOn + "; server_max_window_bits=8"},
		{name: "an unknown parameter", offers: []string{"permessage-deflate; level=9"}},
		{name: "a parameter twice", offers: []string{"permessage-deflate; client_max_window_bits; client_max_window_bits"}},
		{name: "a parameter twice, with values", offers: []string{"permessage-deflate; client_max_window_bits=10; client_max_window_bits=11"}},
		{name: "a flag twice", offers: []string{"permessage-deflate; server_no_context_takeover; server_no_context_takeover"}},
		{name: "a flag with a value", offers: []string{"permessage-deflate; server_no_context_takeover=true"}},
		{name: "another flag with a value", offers: []string{`permessage-deflate; client_no_context_takeover=""`}, refused: true},
		{name: "a window that is too small", offers: []string{"permessage-deflate; client_max_window_bits=7"}},
		{name: "a window that is too large", offers: []string{"permessage-deflate; client_max_window_bits=16"}},
		{name: "a leading zero", offers: []string{"permessage-deflate; client_max_window_bits=08"}},
		{name: "no number", offers: []string{"permessage-deflate; client_max_window_bits=ten"}},
		{name: "no value", offers: []string{"permessage-deflate; client_max_window_bits="}, refused: true},
		{name: "an empty value", offers: []string{`permessage-deflate; client_max_window_bits=""`}, refused: true},
		{name: "a quote that opens", offers: []string{`permessage-deflate; client_max_window_bits="10`}, refused: true},
		{name: "a quote that closes", offers: []string{`permessage-deflate; client_max_window_bits=10"`}, refused: true},
		{name: "one quote", offers: []string{`permessage-deflate; client_max_window_bits="`}, refused: true},
		{name: "no parameter after a semicolon", offers: []string{"permessage-deflate;"}, refused: true},
		{name: "the name in another case", offers: []string{"Permessage-Deflate"}},
		{name: "a parameter in another case", offers: []string{"permessage-deflate; Client_Max_Window_Bits"}},
		{name: "within another one's quotes", offers: []string{`x-telepathy; to="ada, permessage-deflate, bob"`}, refused: true},
		{name: "within another one's quotes, after an escaped one", offers: []string{`x-telepathy; to="\", permessage-deflate, \""`}, refused: true},
		{name: "in quotes, after one with a window of ours", offers: []string{`permessage-deflate; server_max_window_bits=10, x; a=",permessage-deflate,"`}, refused: true},
		{name: "in quotes with escaped ones, after one with a window of ours", offers: []string{`permessage-deflate; server_max_window_bits=10, x; a="\",permessage-deflate,\""`}, refused: true},
		{name: "a malformed one before a good one", offers: []string{"x telepathy, permessage-deflate"}, refused: true},
		{name: "a malformed one on the line behind", offers: []string{"permessage-deflate", "x; =y"}, refused: true},
		{name: "the name as the end of another", offers: []string{"x-permessage-deflate"}},
		{name: "the name as the start of another", offers: []string{"permessage-deflate-x"}},
		{name: "the name as a parameter", offers: []string{"x-telepathy; permessage-deflate"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
			upgrader.Settings.EnableCompression = true
			upgrader.Logger = testws.Silent
			header := http.Header{}
			if tt.offers != nil {
				header["Sec-Websocket-Extensions"] = tt.offers
			}
			if tt.refused {
				for _, enabled := range []bool{true, false} {
					upgrader.Settings.EnableCompression, upgrader.Debug = enabled, true
					response := testws.DialHTTP(t, wstest.Serve(t, upgrader)).Do(testws.UpgradeRequest(func(r *http.Request) {
						r.Header["Sec-Websocket-Extensions"] = tt.offers
					}))
					require.Equal(t, http.StatusBadRequest, response.Status)
					require.Contains(t, response.Body, "malformed 'Sec-WebSocket-Extensions' header")
				}
				return
			}
			client := wstest.DialRaw(t, upgrader, "/", &wstest.Options{Header: header})
			message := strings.Repeat("compress me ", 100)
			if !tt.accepted {
				require.Empty(t, client.Response.Header.Values("Sec-WebSocket-Extensions"))
				client.Send(wstest.Text(message))
				client.Expect(wstest.Text(message))
				client.Send(testws.Deflated(message))
				client.ExpectClose(websocket.CloseProtocolError, "RSV1 is set, but no extension was agreed on")
				return
			}
			require.Equal(t, []string{cmp.Or(tt.answer, agreedOn)}, client.Response.Header.Values("Sec-WebSocket-Extensions"))
			client.Send(testws.Deflated(message))
			echoed, compressed := testws.ReceiveMessage(t, client)
			require.True(t, compressed)
			require.Equal(t, message, echoed)

			upgrader.Settings.EnableCompression = false
			client = wstest.DialRaw(t, upgrader, "/", &wstest.Options{Header: header})
			require.Empty(t, client.Response.Header.Values("Sec-WebSocket-Extensions"), "the switch is off")
		})
	}
}

func TestCompressionThreshold(t *testing.T) {
	ways := []struct {
		name  string
		serve websocket.ControllerFunc
		whole bool
	}{
		{name: "WriteMessage", serve: testws.Echo, whole: true},
		{name: "the embedded connection", whole: true, serve: func(conn *websocket.Conn, _ *http.Request) error {
			for {
				messageType, message, err := conn.Conn.ReadMessage()
				if err != nil {
					return err
				}
				if err := conn.Conn.WriteMessage(messageType, message); err != nil {
					return err
				}
			}
		}},
		{name: "WriteJSON", whole: true, serve: func(conn *websocket.Conn, _ *http.Request) error {
			for {
				_, message, err := conn.ReadMessage()
				if err != nil {
					return err
				}
				quoted := string(message)
				if err := conn.WriteJSON(quoted[:max(len(quoted)-3, 0)]); err != nil { // quotes and a newline
					return err
				}
			}
		}},
		{name: "NextWriter", serve: stream},
		{name: "WritePreparedMessage", serve: func(conn *websocket.Conn, _ *http.Request) error {
			for {
				messageType, message, err := conn.ReadMessage()
				if err != nil {
					return err
				}
				prepared, err := websocket.NewPreparedMessage(messageType, message)
				if err != nil {
					return err
				}
				if err := conn.WritePreparedMessage(prepared); err != nil {
					return err
				}
			}
		}},
	}
	for _, tt := range []struct {
		name      string
		threshold int
		size      int
		want      bool
	}{
		{name: "by default, below", size: 511},
		{name: "by default, at it", size: 512, want: true},
		{name: "a small one, below", threshold: 10, size: 9},
		{name: "a small one, at it", threshold: 10, size: 10, want: true},
		{name: "a large one, below", threshold: 100_000, size: 99_999},
		{name: "a large one, at it", threshold: 100_000, size: 100_000, want: true},
		{name: "none, a small message", threshold: -1, size: 3, want: true},
	} {
		for _, way := range ways {
			t.Run(tt.name+" with "+way.name, func(t *testing.T) {
				upgrader := websocket.New(way.serve)
				upgrader.Settings.EnableCompression = true
				upgrader.CompressionThreshold = tt.threshold
				server := wstest.Serve(t, upgrader)
				client := wstest.DialRaw(t, server, "/", &wstest.Options{Compression: true})
				for range 2 {
					client.Send(wstest.Text(strings.Repeat("x", tt.size)))
					message, compressed := testws.ReceiveMessage(t, client)
					require.Len(t, message, tt.size)
					require.Equal(t, tt.want || !way.whole, compressed)
				}
				client = wstest.DialRaw(t, server, "/", nil)
				client.Send(wstest.Text(strings.Repeat("x", tt.size)))
				_, compressed := testws.ReceiveMessage(t, client)
				require.False(t, compressed, "it was not agreed on")
			})
		}
	}
	t.Run("an empty message", func(t *testing.T) {
		upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
		upgrader.Settings.EnableCompression = true
		upgrader.CompressionThreshold = -1
		client := wstest.DialRaw(t, upgrader, "/", &wstest.Options{Compression: true})
		client.Send(wstest.Text(""))
		message, compressed := testws.ReceiveMessage(t, client)
		require.Empty(t, message)
		require.True(t, compressed)
	})
}

// TestCompressionLevel compares how small a message becomes.
func TestCompressionLevel(t *testing.T) {
	var b strings.Builder
	for i := range 5000 {
		b.WriteString("the quick brown fox jumps over the lazy dog "[i%17 : 20+i%23])
	}
	message := b.String()
	size := func(t *testing.T, options websocket.Options, change func(*websocket.Conn)) (length int, compressed bool) {
		t.Helper()
		upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			change(conn)
			return testws.Echo(conn, r)
		}))
		upgrader.Options = options
		upgrader.Settings.EnableCompression = true
		client := wstest.DialRaw(t, upgrader, "/", &wstest.Options{Compression: true})
		client.Send(testws.Deflated(message))
		frame, err := client.Receive()
		require.NoError(t, err)
		for fin := frame.Fin; !fin; {
			next, err := client.Receive()
			require.NoError(t, err)
			frame.Payload, fin = append(frame.Payload, next.Payload...), next.Fin
		}
		if frame.RSV == 0 {
			require.Equal(t, message, string(frame.Payload))
		} else {
			require.Equal(t, message, testws.Inflated(t, frame.Payload))
		}
		return len(frame.Payload), frame.RSV == 4
	}
	asItIs := func(*websocket.Conn) {}
	fastest, _ := size(t, websocket.Options{CompressionLevel: 1}, asItIs)
	smallest, _ := size(t, websocket.Options{CompressionLevel: 9}, asItIs)
	require.Less(t, smallest, fastest)
	huffman, _ := size(t, websocket.Options{CompressionLevel: flate.HuffmanOnly}, asItIs)
	require.Greater(t, huffman, fastest)
	usual, _ := size(t, websocket.Options{CompressionLevel: flate.DefaultCompression}, asItIs)
	require.Less(t, usual, fastest)
	set := func(level int) func(*websocket.Conn) {
		return func(conn *websocket.Conn) { assert.NoError(t, conn.SetCompressionLevel(level)) }
	}
	for _, tt := range []struct {
		name   string
		level  int
		change func(*websocket.Conn)
		want   int
	}{
		{name: "by default", change: asItIs, want: fastest},
		{name: "changed for one connection", change: set(9), want: smallest},
		{name: "the default for one connection", level: 9, change: set(0), want: fastest},
		{name: "the names of compress/flate for one connection", change: set(flate.HuffmanOnly), want: huffman},
		{name: "another of them", change: set(flate.DefaultCompression), want: usual},
		{name: "off for one connection", level: 9, change: set(websocket.CompressionOff), want: len(message)},
		{name: "off for one connection, with a level", change: func(conn *websocket.Conn) { set(websocket.CompressionOff)(conn); set(9)(conn) }, want: len(message)},
		{name: "switched off for one connection", level: 9, change: func(conn *websocket.Conn) { conn.EnableWriteCompression(false) }, want: len(message)},
		{name: "off", level: websocket.CompressionOff, change: asItIs, want: len(message)},
		{name: "off, with a level", level: websocket.CompressionOff, change: set(9), want: len(message)},
		{name: "off, switched on for one connection", level: websocket.CompressionOff, change: func(conn *websocket.Conn) { conn.EnableWriteCompression(true) }, want: fastest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			length, compressed := size(t, websocket.Options{CompressionLevel: tt.level}, tt.change)
			require.Equal(t, tt.want, length)
			require.Equal(t, tt.want != len(message), compressed)
		})
	}
}

// No way of writing compresses, but received messages may still be compressed.
func TestCompressionOff(t *testing.T) {
	for _, tt := range []struct {
		name  string
		serve websocket.ControllerFunc
	}{
		{name: "WriteMessage", serve: testws.Echo},
		{name: "NextWriter", serve: stream},
		{name: "the embedded connection", serve: func(conn *websocket.Conn, _ *http.Request) error {
			_, message, err := conn.ReadMessage()
			if err != nil {
				return err
			}
			return conn.Conn.WriteMessage(websocket.TextMessage, message)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(tt.serve)
			upgrader.Settings.EnableCompression = true
			upgrader.CompressionLevel = websocket.CompressionOff
			client := wstest.DialRaw(t, upgrader, "/", &wstest.Options{Compression: true})
			require.Equal(t, agreedOn, client.Response.Header.Get("Sec-WebSocket-Extensions"))
			message := strings.Repeat("x", 1000)
			client.Send(testws.Deflated(message))
			echoed, compressed := testws.ReceiveMessage(t, client)
			require.False(t, compressed)
			require.Equal(t, message, echoed)
		})
	}
}

// gorilla's client exchanges small and large messages, with compression at either end, both
// or none.
func TestCompressionWithGorilla(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
		upgrader.Settings = ws.Upgrader{EnableCompression: true}
		server := serve(upgrader)
		for _, theirs := range []bool{true, false} {
			client := wstest.Dial(t, server, "/", &wstest.Options{Compression: true})
			client.EnableWriteCompression(theirs)
			for _, size := range []int{0, 1, 511, 512, 70_000, 1, 512} {
				client.WriteText(strings.Repeat("x", size))
				client.ExpectText(strings.Repeat("x", size))
			}
			client.Close(websocket.CloseNormalClosure, "")
		}
		require.NoError(t, upgrader.Shutdown(t.Context()))
	})
}
