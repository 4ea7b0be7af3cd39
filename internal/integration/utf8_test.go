package integration_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
)

// invalidTexts are frames whose last byte, and none before it, makes the text
// invalid.
var invalidTexts = []struct {
	name   string
	frames []wstest.Frame
}{
	{name: "one frame", frames: []wstest.Frame{wstest.Text("κόσ\xff")}},
	{name: "a character that is cut off", frames: []wstest.Frame{wstest.Text("κόσ\xce")}},
	{name: "a fragment", frames: []wstest.Frame{testws.Part(wstest.OpText, false, "κόσμε\xed\xa0")}},
	{name: "the second fragment", frames: []wstest.Frame{
		testws.Part(wstest.OpText, false, "κόσμε"), testws.Part(wstest.OpContinuation, false, "\xf8")}},
	{name: "a character over two fragments", frames: []wstest.Frame{
		testws.Part(wstest.OpText, false, "κόσ\xf4"), wstest.Ping("between"), testws.Part(wstest.OpContinuation, false, "\x90")}},
	{name: "a character that the last fragment cuts off", frames: []wstest.Frame{
		testws.Part(wstest.OpText, false, "κ\xcf"), testws.Part(wstest.OpContinuation, true, "\x8c\xcf")}},
	{name: "an empty last fragment behind half a character", frames: []wstest.Frame{
		testws.Part(wstest.OpText, false, "日\xe6\x97"), testws.Part(wstest.OpContinuation, true, "")}},
	{name: "a compressed message", frames: []wstest.Frame{testws.Deflated("κόσ\xff")}},
	{name: "a compressed message that is cut off", frames: []wstest.Frame{testws.Deflated(strings.Repeat("κόσμε", 1000) + "\xf0\x9f")}},
}

// readings are the ways to read messages.
var readings = map[string]func(conn *websocket.Conn, _ *http.Request) error{
	"ReadMessage": func(conn *websocket.Conn, _ *http.Request) error {
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return err
			}
		}
	},
	"NextReader": func(conn *websocket.Conn, _ *http.Request) error {
		for {
			_, r, err := conn.NextReader()
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			if err != nil {
				return err
			}
		}
	},
	"a byte at a time": func(conn *websocket.Conn, _ *http.Request) error {
		r := websocket.JoinMessages(conn, "\n")
		for {
			if _, err := r.Read(make([]byte, 1)); err != nil {
				return err
			}
		}
	},
	"messages left unread": func(conn *websocket.Conn, _ *http.Request) error {
		for {
			if _, _, err := conn.NextReader(); err != nil {
				return err
			}
		}
	},
}

func TestInvalidTextIsRefusedAtOnce(t *testing.T) {
	for how, read := range readings {
		for _, tc := range invalidTexts {
			t.Run(how+"/"+tc.name, func(t *testing.T) {
				testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
					ctrl := &testws.Controller{ServeFunc: read}
					u := websocket.New(ctrl)
					u.Settings.EnableCompression = true
					client := wstest.DialRaw(t, serve(u), "/", &wstest.Options{Compression: true})
					client.Send(tc.frames...) // and nothing after them
					for _, frame := range tc.frames {
						if frame.Opcode == wstest.OpPing {
							client.Expect(wstest.Pong("between"))
						}
					}
					client.ExpectClose(websocket.CloseInvalidFramePayloadData, "text is not UTF-8")
					client.Send(wstest.Close(websocket.CloseInvalidFramePayloadData, ""))
					client.ExpectEnd()
					_ = client.Conn.Close() // which ends the server's lingering
					testws.AwaitEnd(t, u)
					if told := ctrl.Told.All(); assert.Len(t, told, 1) {
						assert.ErrorContains(t, told[0], "text is not UTF-8")
					}
				})
			})
		}
	}
}

// A frame that has not arrived completely is refused for the invalid text in it.
func TestInvalidTextInAnUnfinishedFrame(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		ctrl := &testws.Controller{ServeFunc: readings["ReadMessage"]}
		client := wstest.DialRaw(t, serve(websocket.New(ctrl)), "/", nil)
		frame := wstest.Text("κόσμε\xf4\x90" + strings.Repeat("x", 1000)).Bytes()
		client.SendBytes(frame[:len(frame)-1000])
		client.ExpectClose(websocket.CloseInvalidFramePayloadData, "text is not UTF-8")
		client.ExpectEnd()
	})
}

func TestValidTextInPieces(t *testing.T) {
	const text = "κόσμε 日本語 🙂 \ufffe\U0010ffff"
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Settings.EnableCompression = true
		client := wstest.DialRaw(t, serve(u), "/", nil)
		for at := range len(text) + 1 {
			client.Send(testws.Part(wstest.OpText, false, text[:at]), wstest.Ping("?"), testws.Part(wstest.OpContinuation, true, text[at:]))
			client.Expect(wstest.Pong("?"), wstest.Text(text))
		}
		client.Send(testws.Part(wstest.OpText, false, ""))
		for _, b := range []byte(text) {
			client.Send(testws.Part(wstest.OpContinuation, false, string([]byte{b})))
		}
		client.Send(testws.Part(wstest.OpContinuation, true, ""))
		client.Expect(wstest.Text(text))
	})
}

func TestOnlyTextIsChecked(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		client := wstest.DialRaw(t, serve(websocket.New(websocket.ControllerFunc(testws.Echo))), "/", nil)
		client.Send(wstest.Binary([]byte("\xff\xc0")), wstest.Ping("\xff"))
		client.Expect(wstest.Binary([]byte("\xff\xc0")), wstest.Pong("\xff"))

		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.SkipUTF8Validation = true
		client = wstest.DialRaw(t, serve(u), "/", nil)
		client.Send(wstest.Text("\xff\xc0"), testws.Part(wstest.OpText, false, "\xf4"), testws.Part(wstest.OpContinuation, true, "\x90"))
		client.Expect(wstest.Text("\xff\xc0"), wstest.Text("\xf4\x90"))
	})
}
