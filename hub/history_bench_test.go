package hub_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/stretchr/testify/require"
)

// A message of 100 bytes to a room with ten members that read at once, with and without a history. The
// clients are in the same process.
func BenchmarkSend(b *testing.B) {
	history := &hub.HistoryOptions{Rooms: func(room string) hub.Keep {
		if room == "kept" {
			return hub.Keep{Messages: 1000}
		}
		return hub.Keep{}
	}}
	for _, bench := range []struct {
		name, room string
		options    func() hub.Options
	}{
		{"no history", "lobby", func() hub.Options { return hub.Options{} }},
		{"another room has a history", "lobby", func() hub.Options { return hub.Options{History: history} }},
		{"history", "kept", func() hub.Options { return hub.Options{History: history} }},
		{"history and a broker", "kept", func() hub.Options {
			return hub.Options{History: history, Broker: new(hub.Memory).Node()}
		}},
	} {
		b.Run(bench.name, func(b *testing.B) { benchmarkSend(b, bench.options(), bench.room) })
	}
}

func benchmarkSend(b *testing.B, options hub.Options, room string) {
	b.Helper()
	const members = 10
	options.Queue = websocket.QueueLimit{Bytes: -1}
	h := hub.New(options)
	var joined sync.WaitGroup
	joined.Add(members)
	server := httptest.NewServer(websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		member, err := h.Join(conn)
		if err == nil {
			err = member.JoinContext(conn.Context(), room)
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
	b.ReportAllocs()
	for b.Loop() {
		if err := h.To(hub.Room(room)).Send(text); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, h.Shutdown(b.Context()))
}
