package interop_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSubprotocols(t *testing.T) {
	rows := []struct {
		name    string
		offered []string
		want    string
	}{
		{name: "none is offered"},
		{name: "the only one that is known", offered: []string{"v9.interop", "v1.interop"}, want: "v1.interop"},
		{name: "the one that the server prefers", offered: []string{"v1.interop", "v2.interop"}, want: "v2.interop"},
	}
	withEveryClient(t, func(t *testing.T, play player) {
		server := startServer(t)
		exchanges := make([]exchange, len(rows))
		for i, row := range rows {
			exchanges[i] = exchange{
				URL: server.at("echo", row.name), page: server.url,
				Protocols: row.offered, Steps: []step{closeWith(1000, "")},
			}
		}
		all := play(t, exchanges, func() {})
		for i, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				all[i].requirePlayed(t)
				assert.Equal(t, row.want, all[i].Protocol)
				assert.Equal(t, ending{Code: 1000, WasClean: true}, all[i].Closed)
			})
		}
	})
}

// Node's own WebSocket is left out: it tells of an error, and never that the
// connection is closed.
func TestHandshakesFail(t *testing.T) {
	rows := []struct {
		name     string
		behavior string
		offered  []string
		says     string // what ws says; a browser has no words for it
		upgraded bool   // as the server sees it
	}{
		{name: "the server refuses", behavior: "unknown", says: "Unexpected server response: 404"},
		{
			name: "the server speaks none of the subprotocols", behavior: "echo",
			offered: []string{"v9.interop"}, says: "Server sent no subprotocol", upgraded: true,
		},
	}
	for name, client := range map[string]func(*testing.T) player{"package ws": packageWS, "browser": browser} {
		t.Run(name, func(t *testing.T) {
			play, server := client(t), startServer(t)
			exchanges := make([]exchange, len(rows))
			for i, row := range rows {
				exchanges[i] = exchange{URL: server.at(row.behavior, row.name), page: server.url, Protocols: row.offered}
			}
			all := play(t, exchanges, func() {})
			for i, row := range rows {
				t.Run(row.name, func(t *testing.T) {
					require.Empty(t, all[i].Failed)
					assert.False(t, all[i].Opened)
					assert.Equal(t, ending{Code: 1006}, all[i].Closed)
					if name == "package ws" {
						assert.Equal(t, row.says, all[i].Error)
					}
					if row.upgraded {
						assert.Equal(t, 1006, server.await(t, row.name, "ended").Code)
					}
				})
			}
		})
	}
}

func TestOrigins(t *testing.T) {
	t.Run("package ws", func(t *testing.T) {
		play, server := packageWS(t), startServer(t, "-allow", "http://friend.test")
		origin := func(of string) exchange {
			return exchange{
				URL: server.at("echo", of), Options: map[string]any{"origin": of},
				Steps: []step{closeWith(1000, "")},
			}
		}
		all := play(t, []exchange{origin("http://evil.test"), origin("http://friend.test"), origin(server.url)}, func() {})
		assert.Equal(t, "Unexpected server response: 403", all[0].Error)
		all[1].requirePlayed(t)
		all[2].requirePlayed(t)
	})
	t.Run("browser", func(t *testing.T) {
		play, friend, evil := browser(t), startServer(t), startServer(t)
		server := startServer(t, "-allow", friend.url)
		from := func(page string) exchange {
			return exchange{URL: server.at("echo", page), page: page, Steps: []step{closeWith(1000, "")}}
		}
		all := play(t, []exchange{from(evil.url), from(friend.url), from(server.url)}, func() {})
		assert.False(t, all[0].Opened, "a page of another origin is refused")
		assert.Equal(t, ending{Code: 1006}, all[0].Closed)
		all[1].requirePlayed(t)
		all[2].requirePlayed(t)
	})
}
