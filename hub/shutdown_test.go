package hub_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
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

func TestShutdown(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		r, h := newRig(t, n, websocket.Options{}), hub.New(hub.Options{})
		var reading sync.WaitGroup
		for range 10 {
			client, member := r.join(h, "lobby")
			require.NoError(t, member.SetKey("ann"))
			reading.Go(func() {
				for range 100 {
					_, p, err := client.ReadMessage()
					assert.NoError(t, err)
					assert.Equal(t, "hello", string(p))
				}
				_, _, err := client.ReadMessage()
				assert.Equal(t, &websocket.CloseError{Code: websocket.CloseGoingAway, Text: "Server shutting down"}, err)
			})
		}
		_, left := r.connect()
		for range 100 {
			require.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text("hello")))
		}
		require.NoError(t, h.Shutdown(t.Context()))
		assert.Equal(t, hub.Stats{}, h.Stats())
		reading.Wait()

		_, err := h.Join(left, "lobby")
		require.ErrorIs(t, err, websocket.ErrShutdown)
		require.NoError(t, left.Context().Err(), "it is not a member")
		require.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text("too late")))
		require.NoError(t, h.To(hub.Key("ann")).Disconnect(4000, ""))
		require.NoError(t, h.Shutdown(t.Context()))
	})
}

// Shutdown sends the close frames after all earlier messages, also if another goroutine runs the
// pass that delivers them.
func TestShutdownComesLast(t *testing.T) {
	for range 10 {
		r, h := newRig(t, testws.TCP, websocket.Options{}), hub.New(hub.Options{WhenFull: hub.DropNewest})
		_, crowd := r.join(h, "lobby")
		for range 100 { // many members make the passes slow
			_, err := h.Join(crowd.Conn(), "lobby")
			require.NoError(t, err)
		}
		client, member := r.join(h, "lobby")
		stop := noise(t, func() error { return h.To(hub.Room("lobby")).Except(member).Send(hub.Text("noise")) })
		require.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text("goodbye")))
		down := make(chan error)
		go func() { down <- h.Shutdown(t.Context()) }()
		expect(t, client, "goodbye")
		client.ExpectClose(websocket.CloseGoingAway, "Server shutting down")
		_ = crowd.Conn().CloseNow()
		require.NoError(t, <-down)
		stop()
	}
}

// When the context ends, Shutdown aborts the connections of clients that do not answer or do not
// read, including connections that are being closed for another reason.
func TestShutdownIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		options := websocket.Options{CloseTimeout: time.Hour, WriteTimeout: time.Hour, PingInterval: -1}
		r, h := newRig(t, testws.Memory, options), hub.New(hub.Options{Queue: small})
		raw, silent := r.connectRaw()
		_, err := h.Join(silent)
		require.NoError(t, err)
		_, deaf := r.joinSlow(h)
		for deaf.Send(hub.Binary(make([]byte, 32<<10))) == nil { //nolint:revive // until the queue is full
		}
		kicked, member := r.connectRaw()
		m, err := h.Join(member)
		require.NoError(t, err)
		require.NoError(t, m.SetKey("ann"))
		require.NoError(t, h.To(hub.Key("ann")).Disconnect(4000, "kicked"))
		kicked.ExpectClose(4000, "kicked")
		synctest.Wait()

		cause := errors.New("long enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, cause)
		defer cancel()
		begun := time.Now()
		err = h.Shutdown(ctx)
		require.ErrorIs(t, err, cause)
		require.EqualError(t, err, "hub: shutdown: connections cut: 3: long enough")
		assert.Equal(t, time.Minute, time.Since(begun))
		assert.Zero(t, h.Stats().Members)
		raw.ExpectClose(websocket.CloseGoingAway, "Server shutting down")
		raw.ExpectEnd()
		synctest.Wait()
		assert.Zero(t, r.upgrader.Stats().Open)
	})
}

// If a client does not answer the close frame, its connection is closed after the close timeout.
func TestShutdownWaitsForCloseTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, h := newRig(t, testws.Memory, websocket.Options{CloseTimeout: 7 * time.Second}), hub.New(hub.Options{})
		_, silent := r.connectRaw()
		_, err := h.Join(silent)
		require.NoError(t, err)
		begun := time.Now()
		require.NoError(t, h.Shutdown(t.Context()))
		assert.Equal(t, 7*time.Second, time.Since(begun))
	})
}

// Two concurrent Shutdowns, with concurrent joins, disconnects and broadcasts, leave no members.
func TestShutdownAtOnce(t *testing.T) {
	for range 20 {
		r, h := newRig(t, testws.TCP, websocket.Options{CloseTimeout: time.Second}), hub.New(hub.Options{})
		var clients []*wstest.Client
		var conns []*websocket.Conn
		for range 10 {
			client, conn := r.connect()
			clients, conns = append(clients, client), append(conns, conn)
		}
		var running sync.WaitGroup
		for _, client := range clients {
			running.Go(func() { testws.Drain(client) })
		}
		for _, conn := range conns {
			running.Go(func() {
				if m, err := h.Join(conn, "lobby"); err != nil {
					assert.ErrorIs(t, err, websocket.ErrShutdown)
					_ = conn.CloseNow()
				} else {
					_ = m.SetKey("ann")
					_ = m.Join("chess")
					_ = h.To(hub.Room("lobby")).Send(hub.Text("hello"))
					_ = h.To(hub.Key("ann")).Disconnect(4000, "")
				}
			})
		}
		for range 2 {
			running.Go(func() { assert.NoError(t, h.Shutdown(t.Context())) })
		}
		running.Wait()
		assert.Equal(t, hub.Stats{}, h.Stats())
	}
}

// The shutdown of the Upgrader alone also sends the queued messages.
func TestUpgraderShutsDown(t *testing.T) {
	testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
		r, h := newRig(t, n, websocket.Options{}), hub.New(hub.Options{})
		client, _ := r.join(h, "lobby")
		require.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text("goodbye")))
		down := make(chan error)
		go func() { down <- r.upgrader.Shutdown(t.Context()) }()
		expect(t, client, "goodbye")
		client.ExpectClose(websocket.CloseGoingAway, "Server shutting down")
		require.NoError(t, <-down)
		assert.Equal(t, hub.Stats{}, h.Stats(), "the connection's end waits for the member to leave")
	})
}

// Without members, Shutdown succeeds even if the context has ended, for example because the
// Upgrader's shutdown has used up the time.
func TestShutdownOfNobodyIsNeverLate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // each choice of the select
		require.NoError(t, hub.New(hub.Options{}).Shutdown(ctx))
	}
}

// A hub closes its members with the close frame of their Upgraders, whichever of the two closes them.
func TestShutdownClose(t *testing.T) {
	for name, shutDown := range map[string]func(*rig, *hub.Hub) error{
		"of the hub":      func(r *rig, h *hub.Hub) error { return h.Shutdown(r.t.Context()) },
		"of the Upgrader": func(r *rig, _ *hub.Hub) error { return r.upgrader.Shutdown(r.t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			testws.ForEach(t, testws.Networks, func(t *testing.T, n testws.Network) {
				options := websocket.Options{ShutdownClose: websocket.NewCloseError(1012, "back in a minute")}
				r, h := newRig(t, n, options), hub.New(hub.Options{})
				client, _ := r.join(h, "lobby")
				require.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text("goodbye")))
				down := make(chan error)
				go func() { down <- shutDown(r, h) }()
				expect(t, client, "goodbye")
				client.ExpectClose(1012, "back in a minute")
				require.NoError(t, <-down)
			})
		})
	}
}

// Members leave a hub one after the other when their Upgrader is drained. Each is sent what was
// sent to it before, and gets no more.
func TestUpgraderDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const members, over = 20, 100 * time.Second
		r, h := newRig(t, testws.Memory, websocket.Options{}), hub.New(hub.Options{})
		var mu sync.Mutex
		var ends []time.Duration
		var got [][]string
		var reading sync.WaitGroup
		var clients []*wstest.Client
		for range members {
			client, _ := r.join(h, "lobby")
			clients = append(clients, client)
		}
		begun := time.Now()
		for _, client := range clients {
			reading.Go(func() {
				var messages []string
				for {
					_, p, err := client.ReadMessage()
					if err == nil {
						messages = append(messages, string(p))
						continue
					}
					mu.Lock()
					defer mu.Unlock()
					assert.Equal(t, &websocket.CloseError{Code: 1012, Text: "Server restarting"}, err)
					ends, got = append(ends, time.Since(begun)), append(got, messages)
					return
				}
			})
		}
		down := make(chan error, 1)
		go func() { down <- r.upgrader.Drain(t.Context(), over) }()
		for second := range int(over / time.Second) { // a message each second, to those who are left
			synctest.Wait()
			mu.Lock()
			left := members - len(ends)
			mu.Unlock()
			assert.Equal(t, left, h.Stats().Members)
			require.NoError(t, h.To(hub.Room("lobby")).Send(hub.Text(strconv.Itoa(second))))
			time.Sleep(time.Second)
		}
		reading.Wait()
		require.NoError(t, <-down)
		for i, end := range ends {
			require.Len(t, got[i], int(end/time.Second)+1, "the messages of each second until its turn")
			for second, message := range got[i] {
				assert.Equal(t, strconv.Itoa(second), message)
			}
			assert.Equal(t, time.Duration(i), end/(over/members), "one turn in each part of the time")
		}
		assert.Equal(t, hub.Stats{}, h.Stats())
	})
}
