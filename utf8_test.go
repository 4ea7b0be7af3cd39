package websocket_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket"
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
	{name: "a fragment", frames: []wstest.Frame{part(wstest.OpText, false, "κόσμε\xed\xa0")}},
	{name: "the second fragment", frames: []wstest.Frame{
		part(wstest.OpText, false, "κόσμε"), part(wstest.OpContinuation, false, "\xf8")}},
	{name: "a character over two fragments", frames: []wstest.Frame{
		part(wstest.OpText, false, "κόσ\xf4"), wstest.Ping("between"), part(wstest.OpContinuation, false, "\x90")}},
	{name: "a character that the last fragment cuts off", frames: []wstest.Frame{
		part(wstest.OpText, false, "κ\xcf"), part(wstest.OpContinuation, true, "\x8c\xcf")}},
	{name: "an empty last fragment behind half a character", frames: []wstest.Frame{
		part(wstest.OpText, false, "日\xe6\x97"), part(wstest.OpContinuation, true, "")}},
	{name: "a compressed message", frames: []wstest.Frame{deflated("κόσ\xff")}},
	{name: "a compressed message that is cut off", frames: []wstest.Frame{deflated(strings.Repeat("κόσμε", 1000) + "\xf0\x9f")}},
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
				onEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
					ctrl := &controller{serve: read}
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
					ended(t, u)
					if told := ctrl.told.all(); assert.Len(t, told, 1) {
						assert.ErrorContains(t, told[0], "text is not UTF-8")
					}
				})
			})
		}
	}
}

// A frame that has not arrived whole is refused for what has arrived of it.
func TestInvalidTextInAnUnfinishedFrame(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		ctrl := &controller{serve: readings["ReadMessage"]}
		client := wstest.DialRaw(t, serve(websocket.New(ctrl)), "/", nil)
		frame := wstest.Text("κόσμε\xf4\x90" + strings.Repeat("x", 1000)).Bytes()
		client.SendBytes(frame[:len(frame)-1000])
		client.ExpectClose(websocket.CloseInvalidFramePayloadData, "text is not UTF-8")
		client.ExpectEnd()
	})
}

func TestValidTextInPieces(t *testing.T) {
	const text = "κόσμε 日本語 🙂 \ufffe\U0010ffff"
	onEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		u := websocket.New(websocket.ControllerFunc(echo))
		u.Settings.EnableCompression = true
		client := wstest.DialRaw(t, serve(u), "/", nil)
		for at := range len(text) + 1 {
			client.Send(part(wstest.OpText, false, text[:at]), wstest.Ping("?"), part(wstest.OpContinuation, true, text[at:]))
			client.Expect(wstest.Pong("?"), wstest.Text(text))
		}
		client.Send(part(wstest.OpText, false, ""))
		for _, b := range []byte(text) {
			client.Send(part(wstest.OpContinuation, false, string([]byte{b})))
		}
		client.Send(part(wstest.OpContinuation, true, ""))
		client.Expect(wstest.Text(text))
	})
}

func TestOnlyTextIsChecked(t *testing.T) {
	onEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		client := wstest.DialRaw(t, serve(websocket.New(websocket.ControllerFunc(echo))), "/", nil)
		client.Send(wstest.Binary([]byte("\xff\xc0")), wstest.Ping("\xff"))
		client.Expect(wstest.Binary([]byte("\xff\xc0")), wstest.Pong("\xff"))

		u := websocket.New(websocket.ControllerFunc(echo))
		u.SkipUTF8Validation = true
		client = wstest.DialRaw(t, serve(u), "/", nil)
		client.Send(wstest.Text("\xff\xc0"), part(wstest.OpText, false, "\xf4"), part(wstest.OpContinuation, true, "\x90"))
		client.Expect(wstest.Text("\xff\xc0"), wstest.Text("\xf4\x90"))
	})
}
