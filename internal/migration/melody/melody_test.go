package melody_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestChat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := http.NewServeMux()
		members := chat(mux)
		server := wstest.Serve(t, mux)
		evil := &wstest.Options{Header: http.Header{"Origin": {"https://evil.example"}}}
		response := wstest.DialRefused(t, server, "/chat/lobby?name=Ada", evil)
		assert.Equal(t, http.StatusForbidden, response.StatusCode)
		require.NoError(t, response.Body.Close())

		ada := wstest.Dial(t, server, "/chat/lobby?name=Ada", nil)
		bob := wstest.Dial(t, server, "/chat/lobby?name=Bob", nil)
		cid := wstest.Dial(t, server, "/chat/cellar?name=Cid", nil)
		synctest.Wait()
		ada.WriteText("hello")
		ada.ExpectText("Ada: hello")
		bob.ExpectText("Ada: hello")
		require.NoError(t, kick(members, "Bob"))
		bob.ExpectClose(4001, "be nice")
		cid.WriteText(strings.Repeat("a", 4097))
		_, _, err := cid.ReadMessage()
		assert.Equal(t, websocket.CloseMessageTooBig, websocket.CloseStatus(err))
		require.NoError(t, members.Shutdown(t.Context()))
		ada.ExpectClose(websocket.CloseGoingAway, "Server shutting down")
	})
}

// A client whose queue is full is sent away, or with Drop gets no more.
func TestFullQueues(t *testing.T) {
	text := strings.Repeat("a", 1<<16)
	for _, policy := range []hub.Policy{hub.Disconnect, hub.DropNewest} {
		synctest.Test(t, func(t *testing.T) {
			members := hub.New(hub.Options{Queue: websocket.QueueLimit{Bytes: 1 << 17}, WhenFull: policy})
			server := wstest.Serve(t, websocket.New(&Chat{members: members}))
			client := wstest.Dial(t, server, "/?name=Ada", &wstest.Options{ReadOnDemand: true})
			synctest.Wait()
			for range 10 {
				require.NoError(t, members.To(hub.Everyone()).Send(hub.Text(text)))
			}
			assert.NotZero(t, members.Stats().Dropped)
			got := 0
			if policy == hub.DropNewest {
				client.ExpectText(text)
				synctest.Wait()
				require.NoError(t, members.To(hub.Key("Ada")).Send(hub.Text("last")))
				for ; ; got++ {
					_, message, err := client.ReadMessage()
					require.NoError(t, err)
					if string(message) == "last" {
						break
					}
				}
				assert.Less(t, got, 9)
				client.Close(websocket.CloseNormalClosure, "")
				return
			}
			for {
				if _, _, err := client.ReadMessage(); err != nil {
					assert.Equal(t, websocket.CloseTryAgainLater, websocket.CloseStatus(err))
					break
				}
				got++
			}
			assert.Less(t, got, 10)
		})
	}
}
