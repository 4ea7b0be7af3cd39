package hub_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/stretchr/testify/require"
)

// A message of 100 bytes to ten members that read at once: of a room, with and without a history, and
// of 50 rooms, five of which each member is in. The clients are in the same process.
func BenchmarkSend(b *testing.B) {
	history := &hub.HistoryOptions{Rooms: func(room string) hub.Keep {
		if room == "kept" {
			return hub.Keep{Messages: 1000}
		}
		return hub.Keep{}
	}}
	b.Run("no history", func(b *testing.B) { benchmarkSend(b, hub.Options{}, oneRoom("lobby"), hub.Room("lobby")) })
	b.Run("another room has a history", func(b *testing.B) {
		benchmarkSend(b, hub.Options{History: history}, oneRoom("lobby"), hub.Room("lobby"))
	})
	b.Run("history", func(b *testing.B) {
		benchmarkSend(b, hub.Options{History: history}, oneRoom("kept"), hub.Room("kept"))
	})
	b.Run("history and a broker", func(b *testing.B) {
		options := hub.Options{History: history, Broker: new(hub.Memory).Node()}
		benchmarkSend(b, options, oneRoom("kept"), hub.Room("kept"))
	})
	b.Run("50 rooms", func(b *testing.B) {
		var targets []hub.Target
		for i := range 50 {
			targets = append(targets, hub.Room(fmt.Sprint("room ", i)))
		}
		overlapping := func(member int) (rooms []string) {
			for i := range 5 {
				rooms = append(rooms, fmt.Sprint("room ", (5*member+7*i)%50))
			}
			return rooms
		}
		benchmarkSend(b, hub.Options{}, overlapping, targets...)
	})
}

func oneRoom(name string) func(int) []string { return func(int) []string { return []string{name} } }

func benchmarkSend(b *testing.B, options hub.Options, roomsOf func(member int) []string, targets ...hub.Target) {
	b.Helper()
	const members = 10
	options.Queue = websocket.QueueLimit{Bytes: -1}
	h := hub.New(options)
	var number atomic.Int32
	var joined sync.WaitGroup
	joined.Add(members)
	server := httptest.NewServer(websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		member, err := h.Join(conn)
		if err == nil {
			err = member.JoinContext(conn.Context(), roomsOf(int(number.Add(1)))...)
		}
		joined.Done()
		if err != nil {
			return err
		}
		<-conn.CloseRead(conn.Context()).Done()
		return nil
	})))
	defer server.Close()
	var reading sync.WaitGroup
	defer reading.Wait()
	for range members {
		client, _, err := websocket.Dial(b.Context(), "ws"+strings.TrimPrefix(server.URL, "http"), nil)
		require.NoError(b, err)
		reading.Go(func() {
			for {
				if _, _, err := client.ReadSlice(); err != nil {
					return
				}
			}
		})
	}
	joined.Wait()
	text := hub.Text(strings.Repeat("x", 100))
	audience := h.To(targets...)
	b.ReportAllocs()
	for b.Loop() {
		if err := audience.Send(text); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, h.Shutdown(b.Context()))
}
