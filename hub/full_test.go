package hub_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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

// small is the limit of a queue that is soon full.
var small = websocket.QueueLimit{Messages: 8, Bytes: 256 << 10}

// A member whose queue is full is disconnected with 1013, after it has read the queued messages.
// The other members receive all messages.
func TestSlowMemberIsDisconnected(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		full, goOn := make(chan *hub.Member, 10), make(chan struct{})
		h := hub.New(hub.Options{Queue: small, OnFull: func(m *hub.Member) {
			assert.Equal(t, "ann", m.Key(), "it is still a member")
			full <- m
			<-goOn
		}})
		r := newRig(t, n, websocket.Options{})
		client, member := r.joinSlow(h, "lobby")
		require.NoError(t, member.SetKey("ann"))
		accepted := flood(t, member, 32<<10)
		require.ErrorIs(t, member.Send(hub.Text("more")), websocket.ErrQueueFull, "it fits, but would come after a gap")
		require.ErrorIs(t, member.SendContext(t.Context(), hub.Text("more")), websocket.ErrQueueFull)
		require.ErrorIs(t, member.Join("another"), websocket.ErrQueueFull)
		require.NoError(t, h.To(hub.Everyone()).Send(hub.Text("more")))
		assert.Same(t, member, <-full)
		stats := h.Stats()
		assert.EqualValues(t, 1, stats.Dropped)
		assert.EqualValues(t, 1, stats.Disconnected)
		close(goOn)
		for range accepted {
			client.ExpectBinary(make([]byte, 32<<10))
		}
		client.ExpectClose(websocket.CloseTryAgainLater, "too slow")
		eventually(t, func() bool { return h.Stats().Members == 0 })
		require.NoError(t, h.Shutdown(t.Context()))
		assert.Empty(t, full, "OnFull was called again")
	})
}

// With Drop, a member misses the messages that did not fit into its queue, and stays.
func TestDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := make(chan *hub.Member, 10)
		h := hub.New(hub.Options{Queue: small, WhenFull: hub.DropNewest, OnFull: func(m *hub.Member) { full <- m }})
		r := newRig(t, testws.Memory, websocket.Options{})
		client, member := r.joinSlow(h, "lobby")
		message := hub.Binary(make([]byte, 32<<10))
		for i := range 2 {
			accepted := 0
			for member.Send(message) == nil {
				accepted++
				synctest.Wait() // wait for all possible writes
			}
			require.ErrorIs(t, member.Send(message), websocket.ErrQueueFull)
			require.NoError(t, h.To(hub.Room("lobby")).Send(message))
			assert.Same(t, member, <-full)
			assert.Equal(t, hub.Stats{Members: 1, Rooms: 1, Dropped: uint64(3 * (i + 1))}, h.Stats())
			for range accepted {
				client.ExpectBinary(make([]byte, 32<<10))
			}
			synctest.Wait()
			require.NoError(t, member.Send(hub.Text("there is room again")))
			expect(t, client, "there is room again")
			assert.Empty(t, full, "OnFull is called once until there is room again")
		}
		nothing(t, h, client)
	})
}

// With DropOldest, a member misses the oldest messages that wait, and only those that may be dropped.
func TestDropOldest(t *testing.T) {
	for name, send := range map[string]func(h *hub.Hub, m *hub.Member, message hub.Message) error{
		"to a room": func(h *hub.Hub, _ *hub.Member, message hub.Message) error {
			return h.To(hub.Room("lobby")).Send(message)
		},
		"to two rooms": func(h *hub.Hub, _ *hub.Member, message hub.Message) error {
			return h.To(hub.Room("lobby"), hub.Everyone()).Send(message)
		},
		"to one member": func(_ *hub.Hub, m *hub.Member, message hub.Message) error { return m.Send(message) },
		"by its ID":     func(h *hub.Hub, m *hub.Member, message hub.Message) error { return h.To(hub.ID(m.ID())).Send(message) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				full := make(chan *hub.Member, 10)
				h := hub.New(hub.Options{Queue: small, WhenFull: hub.DropOldest, OnFull: func(m *hub.Member) { full <- m }})
				r := newRig(t, testws.Memory, websocket.Options{})
				client, member := r.joinSlow(h, "lobby")
				first := hub.Binary(make([]byte, 2*wstest.PipeBuffer)) // it is being written
				require.NoError(t, member.Send(first))
				synctest.Wait()
				must := hub.Text("it must arrive").WhenFull(hub.DropNewest)
				require.NoError(t, send(h, member, must))
				for i := range 20 {
					require.NoError(t, send(h, member, hub.Text(fmt.Sprint(i))))
				}
				synctest.Wait()
				assert.Same(t, member, <-full)
				assert.Empty(t, full)
				assert.Equal(t, hub.Stats{Members: 1, Rooms: 1, Dropped: 14}, h.Stats())
				client.ExpectBinary(make([]byte, 2*wstest.PipeBuffer))
				expect(t, client, "it must arrive")
				expect(t, client, "14", "15", "16", "17", "18", "19")
				nothing(t, h, client)
			})
		})
	}
}

// A message with a key takes the place of the one with the same key that waits, on all nodes, and
// counts as replaced.
func TestLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var network hub.Memory
		h, other := hub.New(hub.Options{Broker: network.Node()}), hub.New(hub.Options{Broker: network.Node(), Queue: small})
		r := newRig(t, testws.Memory, websocket.Options{})
		client, member := r.joinSlow(other, "prices")
		prompt, _ := r.join(h, "prices")
		require.NoError(t, member.Send(hub.Binary(make([]byte, 2*wstest.PipeBuffer)))) // it is being written
		synctest.Wait()
		prices := h.To(hub.Room("prices"))
		var all []string
		for i := range 100 {
			for _, currency := range []string{"eur", "yen"} {
				text := fmt.Sprint(currency, " ", i)
				all = append(all, text)
				require.NoError(t, prices.Send(hub.Text(text).Latest(currency)))
				synctest.Wait()
			}
			if i == 0 {
				all = append(all, "news")
				require.NoError(t, prices.Send(hub.Text("news")))
			}
		}
		expect(t, prompt, all...)
		client.ExpectBinary(make([]byte, 2*wstest.PipeBuffer))
		expect(t, client, "eur 99", "yen 99", "news")
		nothing(t, h, client, prompt)
		assert.Equal(t, hub.Stats{Members: 1, Rooms: 1, Replaced: 2 * 99}, other.Stats())
		assert.Equal(t, hub.Stats{Members: 1, Rooms: 1}, h.Stats())
		require.ErrorContains(t, prices.Send(hub.Text("").WhenFull(3)), "unknown Policy")
	})
}

// A policy of a message comes before the hub's.
func TestPolicyOfAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{Queue: small})
		r := newRig(t, testws.Memory, websocket.Options{CloseTimeout: time.Second})
		client, member := r.joinSlow(h, "lobby")
		go testws.Drain(client)
		_, slowly := r.joinSlow(h, "lobby")
		news := hub.Binary(make([]byte, 32<<10)).WhenFull(hub.DropNewest)
		for range 20 {
			require.NoError(t, h.To(hub.Room("lobby")).Send(news))
			synctest.Wait()
		}
		require.ErrorIs(t, slowly.Send(news), websocket.ErrQueueFull)
		assert.Zero(t, h.Stats().Disconnected)
		require.NoError(t, h.To(hub.Room("lobby")).Send(hub.Binary(make([]byte, 32<<10))))
		synctest.Wait()
		assert.EqualValues(t, 1, h.Stats().Disconnected)
		require.ErrorIs(t, slowly.Send(news), websocket.ErrQueueFull)
		require.NoError(t, member.Send(news))
		time.Sleep(2 * time.Second)
		assert.Equal(t, 1, h.Stats().Members)
	})
}

// If the messages of one pass do not fit together, those that fit are queued, in order. A member
// whose socket accepts them all does not count as slow.
func TestBurstsAreNoReason(t *testing.T) {
	const messages = 2000
	h := hub.New(hub.Options{Queue: websocket.QueueLimit{Messages: 3}})
	r := newRig(t, testws.TCP, websocket.Options{})
	var clients []*wstest.Client
	for range 20 {
		client, _ := r.join(h, "lobby")
		clients = append(clients, client)
	}
	var published [4]atomic.Int64
	done := make(chan struct{})
	for p := range published {
		go func() {
			for _, text := range numbers(string(rune('a'+p)), messages/len(published)) {
				assert.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text(text)))
			}
			done <- struct{}{}
		}()
	}
	for _, client := range clients {
		go func() {
			for range messages {
				if _, _, err := client.ReadMessage(); err != nil {
					break
				}
			}
			done <- struct{}{}
		}()
	}
	for range len(published) + len(clients) {
		<-done
	}
	assert.Equal(t, hub.Stats{Members: 20, Rooms: 1}, h.Stats())
}

// A message that is longer than the queue is the publisher's mistake.
func TestTooLongMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{Queue: websocket.QueueLimit{Bytes: 1000}})
		r := newRig(t, testws.Memory, websocket.Options{CompressionThreshold: -1})
		r.upgrader.Settings.EnableCompression = true
		client, member := r.join(h, "lobby")
		for _, size := range []int{1001, 1000, 950} {
			m := hub.Binary(make([]byte, size))
			require.ErrorIs(t, h.To(hub.Room("lobby")).Send(m), hub.ErrTooLong)
			require.ErrorIs(t, h.To(hub.Everyone()).Send(m), hub.ErrTooLong)
			require.ErrorIs(t, member.Send(m), hub.ErrTooLong)
			require.ErrorIs(t, member.SendContext(t.Context(), m), hub.ErrTooLong)
		}
		require.NoError(t, h.To(hub.Room("lobby")).Send(hub.Binary(make([]byte, 900))))
		client.ExpectBinary(make([]byte, 900))
		assert.Equal(t, hub.Stats{Members: 1, Rooms: 1}, h.Stats())
		require.ErrorIs(t, hub.New(hub.Options{}).To(hub.Everyone()).Send(hub.Binary(make([]byte, 2<<20))), hub.ErrTooLong)
		require.NoError(t, hub.New(hub.Options{}).To(hub.Everyone()).Send(hub.Binary(make([]byte, 2<<20-1<<12))))
	})
}

// The queue holds 2 MiB by default, in messages of any size.
func TestDefaultQueue(t *testing.T) {
	for _, size := range []int{15, 63, 1000, 100_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := hub.New(hub.Options{WhenFull: hub.DropNewest})
				r := newRig(t, testws.Memory, websocket.Options{})
				client, member := r.joinSlow(h)
				const first = 2 * wstest.PipeBuffer
				require.NoError(t, member.Send(hub.Binary(make([]byte, first)))) // it is being written
				synctest.Wait()
				message := hub.Binary(make([]byte, size))
				length := len(wstest.Binary(make([]byte, size)).Unmasked().Bytes())
				most := (2<<20 - first - 10) / length
				assert.Equal(t, most, floodWith(t, member, message))
				client.ExpectBinary(make([]byte, first))
				for range most {
					client.ExpectBinary(make([]byte, size))
				}
				nothing(t, h, client)
			})
		})
	}
}

// A client that reads without delay can take a full queue in one burst, on any network and with any
// way to send.
func TestBurstsThatFitAreNoReason(t *testing.T) {
	for name, send := range map[string]func(h *hub.Hub, m *hub.Member, message hub.Message) error{
		"Broadcast": func(h *hub.Hub, _ *hub.Member, message hub.Message) error {
			return h.To(hub.Room("lobby")).Send(message)
		},
		"BroadcastAll": func(h *hub.Hub, _ *hub.Member, message hub.Message) error { return h.To(hub.Everyone()).Send(message) },
		"to a key":     func(h *hub.Hub, _ *hub.Member, message hub.Message) error { return h.To(hub.Key("ann")).Send(message) },
		"to a member":  func(_ *hub.Hub, m *hub.Member, message hub.Message) error { return m.Send(message) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, messages := range []int{300, 10_000} {
				testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
					r, h := newRig(t, n, websocket.Options{}), hub.New(hub.Options{})
					client, member := r.join(h, "lobby")
					require.NoError(t, member.SetKey("ann"))
					sent := make(chan struct{})
					go func() {
						defer close(sent)
						for i := range messages {
							assert.NoError(t, send(h, member, hub.Text(fmt.Sprintf("%015d", i))))
						}
					}()
					for i := range messages {
						client.ExpectText(fmt.Sprintf("%015d", i))
					}
					<-sent
					assert.Equal(t, hub.Stats{Members: 1, Rooms: 1, Keys: 1}, h.Stats())
				})
			}
		})
	}
}

// A panic of OnFull counts as one of Serve, and the connection is closed with the same code.
func TestOnFullPanics(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		h := hub.New(hub.Options{Queue: small, OnFull: func(*hub.Member) { panic("oh") }})
		r := newRig(t, n, websocket.Options{CloseTimeout: time.Second})
		_, member := r.joinSlow(h)
		flood(t, member, 32<<10)
		var p *websocket.PanicError
		require.ErrorAs(t, <-r.told, &p)
		assert.Equal(t, "oh", p.Value)
		eventually(t, func() bool { return h.Stats().Members == 0 })
	})
}

// OnFull is called for a member whose Serve has returned as well: what is sent to it then waits for
// the close frame.
func TestOnFullAfterServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := make(chan *hub.Member, 1)
		h := hub.New(hub.Options{Queue: small, OnFull: func(m *hub.Member) {
			full <- m
			panic("oh")
		}})
		var member *hub.Member
		goOn := make(chan struct{})
		u := websocket.New(&lingering{hub: h, member: &member, goOn: goOn})
		u.Logger = testws.Silent
		wstest.DialRaw(t, wstest.Serve(t, u), "/", nil)
		synctest.Wait()
		flood(t, member, 32<<10)
		synctest.Wait()
		assert.Same(t, member, <-full)
		assert.EqualValues(t, 1, h.Stats().Disconnected)
		close(goOn)
		synctest.Wait()
		_ = member.Conn().CloseNow()
		require.NoError(t, h.Shutdown(t.Context()))
		require.NoError(t, u.Shutdown(t.Context()))
	})
}

// lingering is a controller whose Serve has failed, and whose OnError takes its time.
type lingering struct {
	hub    *hub.Hub
	member **hub.Member
	goOn   chan struct{}
}

func (ctrl *lingering) Serve(conn *websocket.Conn, _ *http.Request) (err error) {
	*ctrl.member, err = ctrl.hub.Join(conn, "lobby")
	return errors.Join(err, errors.New("oh"))
}

func (ctrl *lingering) OnError(*http.Request, error) { <-ctrl.goOn }

// SendContext waits for the peer to read, until its context ends.
func TestSendContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hub.New(hub.Options{Queue: small})
		r := newRig(t, testws.Memory, websocket.Options{WriteTimeout: time.Hour, PingInterval: -1})
		client, member := r.joinSlow(h)
		message := hub.Binary(make([]byte, 32<<10))
		sent := make(chan error)
		accepted := 0
		var cause = errors.New("too long")
		begun := time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, cause)
		defer cancel()
		for {
			err := member.SendContext(ctx, message)
			if err != nil {
				require.ErrorIs(t, err, cause)
				break
			}
			accepted++
		}
		assert.Equal(t, time.Minute, time.Since(begun))
		require.ErrorIs(t, member.SendContext(ctx, message), cause, "it has ended before")
		assert.Zero(t, h.Stats().Dropped, "that is no reason to disconnect")

		go func() { sent <- member.SendContext(t.Context(), message) }()
		synctest.Wait()
		for range accepted {
			client.ExpectBinary(make([]byte, 32<<10))
		}
		require.NoError(t, <-sent)
		client.ExpectBinary(make([]byte, 32<<10))
		nothing(t, h, client)

		flooded := 0
		for ctx, cancel := context.WithTimeout(t.Context(), time.Second); ; flooded++ {
			if member.SendContext(ctx, message) != nil {
				cancel()
				break
			}
		}
		go func() { sent <- member.SendContext(t.Context(), message) }()
		synctest.Wait()
		_ = member.Conn().CloseNow()
		err := <-sent
		require.Error(t, err, "the connection has ended")
		require.NotErrorIs(t, err, websocket.ErrQueueFull)
	})
}

// Negative means no limit.
func TestQueueWithoutBounds(t *testing.T) {
	r, h := newRig(t, testws.TCP, websocket.Options{}), hub.New(hub.Options{Queue: websocket.QueueLimit{Messages: -1, Bytes: -1}})
	client := wstest.DialRaw(t, r.target, "/", nil)
	_, err := h.Join(<-r.conns, "lobby")
	require.NoError(t, err)
	long := make([]byte, 3<<20) // more than the default
	require.NoError(t, h.To(hub.Room("lobby")).Send(hub.Binary(long)))
	client.Expect(wstest.Binary(long))
}
