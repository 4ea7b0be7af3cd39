package hub_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// requireNobody requires that all lists of a hub are empty.
func requireNobody(t *testing.T, h *hub.Hub) {
	t.Helper()
	require.Equal(t, hub.Stats{}, h.Stats())
	require.Empty(t, h.Members())
	require.Empty(t, h.Rooms())
	require.Empty(t, h.Keys())
	require.Empty(t, h.In("lobby"))
	require.Zero(t, h.CountIn("lobby"))
	require.Empty(t, h.WithKey("ann"))
}

// When Disconnect returns, the member has left all groups and Serve receives no more messages, even
// if the client reads neither the queued messages nor the close frame.
func TestDisconnectedIsOutAtOnce(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		h := hub.New(hub.Options{Queue: websocket.QueueLimit{Bytes: 32 << 20}})
		members, read := make(chan *hub.Member), make(chan string, 1000)
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			member, err := h.Join(conn, "lobby")
			if err != nil {
				return err
			}
			members <- member
			for {
				_, text, err := conn.ReadMessage()
				if err != nil {
					return err
				}
				read <- string(text)
			}
		}))
		client := wstest.DialRaw(t, n.Serve(t, u), "/", nil)
		member := <-members
		require.NoError(t, member.SetKey("ann"))
		client.Send(wstest.Text("before"))
		require.Equal(t, "before", <-read)
		large := make([]byte, 16<<20)
		require.NoError(t, member.Send(hub.Binary(large)))

		require.NoError(t, h.To(hub.Key("ann")).Disconnect(4000, "signed out"))
		requireNobody(t, h)
		require.NoError(t, h.To(hub.Key("ann")).Disconnect(4000, "signed out"))
		require.ErrorIs(t, member.Join("chess"), websocket.ErrCloseSent)
		require.ErrorIs(t, member.SetKey("bob"), websocket.ErrCloseSent)
		require.ErrorIs(t, member.Send(hub.Text("late")), websocket.ErrCloseSent)
		_, err := h.Join(member.Conn())
		require.ErrorIs(t, err, websocket.ErrCloseSent)
		require.NoError(t, h.To(hub.Everyone()).Send(hub.Text("late")))
		for range 99 {
			client.Send(wstest.Text("late"))
		}
		client.Expect(wstest.Binary(large).Unmasked())
		client.ExpectClose(4000, "signed out")
		client.Send(wstest.Text("later"), wstest.Close(4000, ""))
		client.ExpectEnd()
		require.NoError(t, u.Shutdown(t.Context()))
		assert.Empty(t, read)
	})
}

// A member whose Serve has returned has left all groups, even if the client reads neither the
// queued messages nor the close frame.
func TestServeHasReturned(t *testing.T) {
	for name, err := range map[string]error{"nil": nil, "a chosen ending": websocket.NewCloseError(4000, ""), "a failure": errors.New("oh")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := hub.New(hub.Options{})
				returns := make(chan struct{})
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					member, joinErr := h.Join(conn, "lobby")
					assert.NoError(t, joinErr)
					assert.NoError(t, member.SetKey("ann"))
					assert.NoError(t, member.Send(hub.Binary(make([]byte, 2*wstest.PipeBuffer))))
					<-returns
					return err
				}))
				u.Logger = testws.Silent
				u.CloseTimeout = 3 * time.Second
				wstest.DialRaw(t, wstest.Serve(t, u), "/", nil)
				synctest.Wait()
				require.Equal(t, hub.Stats{Members: 1, Rooms: 1, Keys: 1}, h.Stats())
				begun := time.Now()
				close(returns)
				synctest.Wait()
				requireNobody(t, h)
				assert.Equal(t, 1, u.Stats().Open, "it waits for the client")
				require.NoError(t, u.Shutdown(t.Context()))
				assert.Equal(t, 3*time.Second, time.Since(begun))
			})
		})
	}
}

// Deferred functions of Serve can still ask for the member's rooms and key, after any end of the
// connection.
func TestDeferredFunctionsOfServe(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		type left struct {
			rooms []string
			key   string
			value any
		}
		h, gone := hub.New(hub.Options{}), make(chan left, 1)
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			member, err := h.Join(conn, "lobby", "chess", "garden")
			if err != nil {
				return err
			}
			defer func() {
				time.Sleep(time.Millisecond) // time in which the member could have left
				gone <- left{member.Rooms(), member.Key(), member.Get("name")}
			}()
			member.Set("name", "Ann")
			if err := member.SetKey("ann"); err != nil {
				return err
			}
			member.Leave("garden")
			if err := member.Send(hub.Text("welcome")); err != nil {
				return err
			}
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					return err
				}
			}
		}))
		target := n.Serve(t, u)
		for name, end := range map[string]func(client *wstest.Client){
			"the client says goodbye": func(client *wstest.Client) { client.Close(websocket.CloseNormalClosure, "") },
			"the client vanishes":     func(client *wstest.Client) { _ = client.Conn.Close() },
			"it is disconnected": func(client *wstest.Client) {
				assert.NoError(t, h.To(hub.Key("ann")).Disconnect(4000, ""))
				client.ExpectClose(4000, "")
			},
		} {
			for range 20 {
				client := wstest.Dial(t, target, "/", nil)
				expect(t, client, "welcome")
				end(client)
				assert.Equal(t, left{[]string{"chess", "lobby"}, "ann", "Ann"}, <-gone, name)
			}
		}
		require.NoError(t, u.Shutdown(t.Context()))
		requireNobody(t, h)
	})
}

// OnError runs before the close frame is sent and can still send to the member, which has left.
func TestSendInOnError(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		h := hub.New(hub.Options{})
		u := websocket.New(&apologizing{t: t, hub: h})
		client := wstest.Dial(t, n.Serve(t, u), "/", nil)
		expect(t, client, "sorry", "sorry")
		client.ExpectClose(websocket.CloseInternalServerErr, "Internal Server Error")
		require.NoError(t, u.Shutdown(t.Context()))
	})
}

type apologizing struct {
	t      *testing.T
	hub    *hub.Hub
	member *hub.Member
}

func (ctrl *apologizing) Serve(conn *websocket.Conn, _ *http.Request) (err error) {
	if ctrl.member, err = ctrl.hub.Join(conn, "lobby"); err != nil {
		return err
	}
	return errors.New("oh")
}

func (ctrl *apologizing) OnError(*http.Request, error) {
	assert.Equal(ctrl.t, hub.Stats{}, ctrl.hub.Stats())
	assert.NoError(ctrl.t, ctrl.member.Send(hub.Text("sorry")))
	assert.NoError(ctrl.t, ctrl.member.SendContext(ctrl.t.Context(), hub.Text("sorry")))
	assert.ErrorIs(ctrl.t, ctrl.member.Join("lobby"), websocket.ErrCloseSent)
}

// A BeforeClose function of the application that hangs delays neither Disconnect nor Shutdown by
// more than the close timeout.
func TestFunctionBeforeCloseHangs(t *testing.T) {
	for name, end := range map[string]func(h *hub.Hub) error{
		"Disconnect": func(h *hub.Hub) error { return h.To(hub.Key("key")).Disconnect(4000, "") },
		"Shutdown":   func(h *hub.Hub) error { return h.Shutdown(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := hub.New(hub.Options{})
				joined, goOn := make(chan struct{}), make(chan struct{})
				u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
					conn.BeforeClose(func() { <-goOn })
					m, err := h.Join(conn, "lobby")
					if err == nil {
						err = m.SetKey("key")
					}
					close(joined)
					if err == nil {
						_, _, err = conn.ReadMessage()
					}
					return err
				}))
				u.CloseTimeout = 3 * time.Second
				wstest.DialRaw(t, wstest.Serve(t, u), "/", nil)
				<-joined
				begun := time.Now()
				require.NoError(t, end(h))
				require.Equal(t, 3*time.Second, time.Since(begun))
				requireNobody(t, h)
				close(goOn)
				require.NoError(t, u.Shutdown(context.Background()))
			})
		})
	}
}
