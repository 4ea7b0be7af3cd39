package hub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
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

// A member is a Serve function for a connection that has joined a hub.
type memberFunc func(conn *websocket.Conn, h *hub.Hub) error

// serveMembers serves connections with f, and fails the test if OnError is called.
func serveMembers(t *testing.T, n testws.Network, h *hub.Hub, options websocket.Options, f memberFunc) any {
	t.Helper()
	upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		return f(conn, h)
	}))
	upgrader.Options = options
	upgrader.Logger = testws.LogTo(func(line testws.Logged) {
		if line.Level > slog.LevelDebug {
			t.Errorf("somebody is alarmed: %v", line.Err)
		}
	})
	target := n.Serve(t, upgrader)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		assert.NoError(t, upgrader.Shutdown(ctx))
	})
	return target
}

// refusal sends to a member whose client does not read until the hub refuses a message, and returns
// the error of a later call.
func refusal(m *hub.Member, call func(*hub.Member) error) error {
	message := hub.Binary(make([]byte, 32<<10))
	for {
		if err := m.Send(message); err != nil {
			if call == nil {
				return err
			}
			return call(m)
		}
	}
}

// readToClose reads up to the close frame.
func readToClose(t *testing.T, client *wstest.Client, code int, text string) {
	t.Helper()
	for {
		_, _, err := client.ReadMessage()
		if err == nil {
			continue
		}
		require.Equal(t, &websocket.CloseError{Code: code, Text: text}, err)
		return
	}
}

// Serve may return the errors that the hub's methods return for a slow member, wrapped or not, at
// once or later.
func TestSlowMemberReturnsTheError(t *testing.T) {
	for name, call := range map[string]func(*hub.Member) error{
		"Send":        nil,
		"Send again":  func(m *hub.Member) error { return m.Send(hub.Text("more")) },
		"SendContext": func(m *hub.Member) error { return m.SendContext(context.Background(), hub.Text("more")) },
		"Join":        func(m *hub.Member) error { return m.Join("another room") },
		"SetKey":      func(m *hub.Member) error { return m.SetKey("ann") },
		"wrapped":     func(m *hub.Member) error { return fmt.Errorf("sending: %w", m.Send(hub.Text("more"))) },
		"joined": func(m *hub.Member) error {
			return errors.Join(m.Send(hub.Text("more")), m.Join("another room"), m.Conn().WriteMessage(websocket.TextMessage, nil))
		},
		"after a while": func(m *hub.Member) error {
			err := m.Send(hub.Text("more"))
			<-m.Conn().Context().Done()
			return err
		},
		"from another goroutine": func(m *hub.Member) error {
			m.Conn().Go(func(context.Context) error { return m.Send(hub.Text("more")) })
			_, _, err := m.Conn().ReadMessage()
			return err
		},
	} {
		for _, slowly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, OnFull %t", name, slowly), func(t *testing.T) {
				testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
					options := hub.Options{Queue: small}
					if slowly {
						options.OnFull = func(*hub.Member) { time.Sleep(50 * time.Millisecond) }
					}
					joined := make(chan struct{})
					target := serveMembers(t, n, hub.New(options), websocket.Options{}, func(conn *websocket.Conn, h *hub.Hub) error {
						m, err := h.Join(conn, "lobby")
						if err != nil {
							return err
						}
						defer close(joined)
						err = refusal(m, call)
						assert.Error(t, err)
						if call == nil {
							assert.ErrorIs(t, err, websocket.ErrQueueFull)
						}
						return err
					})
					client := wstest.Dial(t, target, "/", &wstest.Options{Timeout: 20 * time.Second, ReadOnDemand: true})
					readToClose(t, client, websocket.CloseTryAgainLater, "too slow")
					<-joined
				})
			})
		}
	}
}

// A disconnected member ends with the code of Disconnect, whichever error of its calls Serve
// returns.
func TestDisconnectedMemberReturnsTheError(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		for range 20 {
			target := serveMembers(t, n, hub.New(hub.Options{}), websocket.Options{}, func(conn *websocket.Conn, h *hub.Hub) error {
				m, err := h.Join(conn, "lobby")
				if err == nil {
					err = m.SetKey("ann")
				}
				if err == nil {
					err = h.To(hub.Key("ann")).Disconnect(4001, "logged out")
				}
				for err == nil {
					err = m.Send(hub.Text("more"))
				}
				return fmt.Errorf("sending: %w", err)
			})
			client := wstest.Dial(t, target, "/", &wstest.Options{Timeout: 20 * time.Second})
			readToClose(t, client, 4001, "logged out")
		}
	})
}

// A connection that joins during the hub's shutdown ends with 1001, whether or not the Upgrader
// shuts down, too.
func TestJoinAfterShutdownReturnsTheError(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		for name, call := range map[string]func(*hub.Hub, *websocket.Conn) error{
			"Join": func(h *hub.Hub, conn *websocket.Conn) error {
				_, err := h.Join(conn, "lobby")
				return err
			},
			"Join without rooms": func(h *hub.Hub, conn *websocket.Conn) error {
				_, err := h.Join(conn)
				return fmt.Errorf("joining: %w", err)
			},
		} {
			t.Log(name)
			h := hub.New(hub.Options{})
			require.NoError(t, h.Shutdown(t.Context()))
			target := serveMembers(t, n, h, websocket.Options{}, func(conn *websocket.Conn, h *hub.Hub) error {
				err := call(h, conn)
				assert.ErrorIs(t, err, websocket.ErrShutdown)
				return err
			})
			wstest.Dial(t, target, "/", nil).ExpectClose(websocket.CloseGoingAway, "Server shutting down")
		}
	})
}

// Members that send, join and publish during the hub's shutdown may return the errors of these
// calls.
func TestCallsDuringShutdownReturnTheError(t *testing.T) {
	for range 20 {
		var network hub.Memory
		h := hub.New(hub.Options{Broker: network.Node()})
		another := hub.New(hub.Options{Broker: network.Node()})
		joined := make(chan struct{}, 10)
		var all atomic.Int32
		target := serveMembers(t, testws.TCP, h, websocket.Options{}, func(conn *websocket.Conn, h *hub.Hub) error {
			m, err := h.Join(conn, "lobby")
			joined <- struct{}{}
			for i := 0; err == nil; i++ {
				switch (int(all.Add(1)) + i) % 4 {
				case 0:
					err = m.SendContext(conn.Context(), hub.Text("to one"))
				case 1:
					err = m.Join(fmt.Sprint("room ", i))
				case 2:
					err = m.SetKey(fmt.Sprint("key ", i))
				default:
					err = h.To(hub.Room("lobby")).Except(m).Send(hub.Text("to all"))
				}
			}
			return err
		})
		var clients []*wstest.Client
		for range cap(joined) {
			clients = append(clients, wstest.Dial(t, target, "/", nil))
		}
		for range clients {
			<-joined
		}
		down := make(chan error, 1)
		go func() { down <- h.Shutdown(t.Context()) }()
		for _, client := range clients {
			readToClose(t, client, websocket.CloseGoingAway, "Server shutting down")
		}
		require.NoError(t, <-down)
		require.NoError(t, another.Shutdown(t.Context()))
	}
}

// A message that the default MaxMessageSize accepts fits into the default queue.
func TestDefaultsFitTogether(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		for _, compression := range []bool{false, true} {
			h := hub.New(hub.Options{})
			upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
				if _, err := h.Join(conn, "lobby"); err != nil {
					return err
				}
				for {
					_, text, err := conn.ReadMessage()
					if err != nil {
						return err
					}
					if err := h.To(hub.Room("lobby")).Send(hub.Text(string(text))); err != nil {
						return err
					}
				}
			}))
			upgrader.Settings.EnableCompression = compression
			client := wstest.DialRaw(t, n.Serve(t, upgrader), "/", &wstest.Options{Compression: compression, Timeout: 20 * time.Second})
			text := strings.Repeat("x", 1<<20)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				client.Send(wstest.Text(text))
			}()
			got, err := client.Receive()
			require.NoError(t, err)
			if !compression {
				require.Equal(t, text, string(got.Payload))
			}
			<-sent
			_ = client.Close()
			synctestWait(upgrader)
		}
	})
}

// synctestWait waits until the connections of an upgrader have ended.
func synctestWait(u *websocket.Upgrader) {
	for u.Stats().Open > 0 {
		time.Sleep(time.Millisecond)
	}
}

// A message that MaxMessageSize accepts but that is too long for the queue ends the sender's
// connection with 1009, without a call of OnError.
func TestTooLongMessageReturned(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		for name, call := range map[string]func(h *hub.Hub, m *hub.Member, message hub.Message) error{
			"Broadcast": func(h *hub.Hub, _ *hub.Member, message hub.Message) error {
				return h.To(hub.Room("lobby")).Send(message)
			},
			"BroadcastAll": func(h *hub.Hub, _ *hub.Member, message hub.Message) error { return h.To(hub.Everyone()).Send(message) },
			"Send to a key": func(h *hub.Hub, _ *hub.Member, message hub.Message) error {
				return fmt.Errorf("passing on: %w", h.To(hub.Key("ann")).Send(message))
			},
			"Send": func(_ *hub.Hub, m *hub.Member, message hub.Message) error { return m.Send(message) },
			"SendContext": func(_ *hub.Hub, m *hub.Member, message hub.Message) error {
				return m.SendContext(context.Background(), message)
			},
		} {
			t.Log(name)
			h := hub.New(hub.Options{Queue: websocket.QueueLimit{Bytes: 1000}})
			target := serveMembers(t, n, h, websocket.Options{}, func(conn *websocket.Conn, h *hub.Hub) error {
				m, err := h.Join(conn, "lobby")
				if err != nil {
					return err
				}
				_, p, err := conn.ReadMessage()
				if err != nil {
					return err
				}
				err = call(h, m, hub.Binary(p))
				assert.ErrorIs(t, err, hub.ErrTooLong)
				return err
			})
			client := wstest.Dial(t, target, "/", nil)
			client.WriteText(strings.Repeat("x", 1000))
			client.ExpectClose(websocket.CloseMessageTooBig, "message too big")
		}
	})
}

// An error of the broker is a failure of the application: OnError is called.
func TestBrokerFailureIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{Broker: brokerFunc(func(hub.Topic) error { return nil })})
		told := make(chan error, 1)
		upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			if _, err := h.Join(conn, "lobby"); err != nil {
				return err
			}
			return h.To(hub.Room("lobby")).Send(hub.Text("hello"))
		}))
		upgrader.Logger = testws.LogTo(func(line testws.Logged) {
			assert.Equal(t, slog.LevelError, line.Level)
			told <- line.Err
		})
		client := wstest.Dial(t, wstest.Serve(t, upgrader), "/", nil)
		expect(t, client, "hello")
		client.ExpectClose(websocket.CloseInternalServerErr, "Internal Server Error")
		require.ErrorIs(t, <-told, errBroker)
	})
}
