package melody_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/olahol/melody"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What the page says of the code from before.
func TestChat(t *testing.T) {
	mux := http.NewServeMux()
	m := chat(mux)
	server := wstest.Serve(t, mux)
	// A page of any other site gets in.
	evil := &wstest.Options{Header: http.Header{"Origin": {"https://evil.example"}}}
	ada := wstest.Dial(t, server, "/chat/lobby?name=Ada", evil)
	bob := wstest.Dial(t, server, "/chat/lobby?name=Bob", nil)
	cid := wstest.Dial(t, server, "/chat/cellar?name=Cid", nil)
	require.Eventually(t, func() bool { return m.Len() == 3 }, 10*time.Second, time.Millisecond)
	ada.WriteText("hello")
	ada.ExpectText("Ada: hello")
	bob.ExpectText("Ada: hello")
	require.NoError(t, kick(m, "Bob"))
	bob.ExpectClose(4001, "be nice")
	cid.WriteText(strings.Repeat("a", 4097))
	_, _, err := cid.ReadMessage()
	assert.True(t, ws.IsCloseError(err, ws.CloseMessageTooBig), "%v", err)
	require.NoError(t, m.Close())
	ada.ExpectClose(ws.CloseNoStatusReceived, "")
}

// A client whose queue is full gets no more, and goes on.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := http.NewServeMux()
		m := chat(mux)
		errs := make(chan error, 10)
		m.HandleError(func(_ *melody.Session, err error) {
			select {
			case errs <- err:
			default:
			}
		})
		m.Config.MessageBufferSize = 1
		client := wstest.Dial(t, mux, "/chat/lobby?name=Ada", &wstest.Options{ReadOnDemand: true})
		synctest.Wait()
		text := []byte(strings.Repeat("a", 1<<16))
		for range 5 {
			require.NoError(t, m.Broadcast(text))
			synctest.Wait()
		}
		require.ErrorIs(t, <-errs, melody.ErrMessageBufferFull)
		client.ExpectText(string(text))
		require.NoError(t, client.NetConn().Close())
		synctest.Wait() // a session that ends while melody closes may wait for its hub forever
		require.NoError(t, m.Close())
	})
}
