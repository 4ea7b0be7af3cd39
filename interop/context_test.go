package interop_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// alike returns n messages of an application, most of them short and similar to others. Some are noise,
// some repeat another one exactly, some are empty, and some are longer than a window.
func alike(n int) []message {
	random := rand.New(rand.NewPCG(7692, uint64(n)))
	words := strings.Fields("order item price status customer address paid open shipped returned invoice total note gift " +
		"delivery tomorrow please thanks the a of and to for with is was")
	sentence := func(length int) string {
		var b strings.Builder
		for b.Len() < length {
			b.WriteString(words[random.IntN(len(words))])
			b.WriteByte(' ')
		}
		return b.String()
	}
	all := make([]message, n)
	for i := range all {
		switch {
		case i%500 == 321:
			all[i] = text(sentence(40_000))
		case i%50 == 17:
			all[i] = binary(noise[i : i+10+random.IntN(400)])
		case i%50 == 33:
			all[i] = all[i-1-random.IntN(33)]
		case i%100 == 99:
			all[i] = text("")
		default:
			all[i] = text(fmt.Sprintf(`{"id":%d,"customer":"c-%06x","state":%q,"total":%d.%02d,"note":%q}`, 100_000+i,
				random.IntN(1<<24), words[random.IntN(len(words))], random.IntN(500), random.IntN(100), sentence(random.IntN(200))))
		}
	}
	return all
}

// size returns how many bytes all messages have.
func size(all []message) (bytes int) {
	for _, m := range all {
		if m.Text != nil {
			bytes += len(*m.Text)
		}
		bytes += len(m.Binary)
	}
	return bytes
}

// sendAll returns the steps that send all messages and receive as many, a hundred at a time.
func sendAll(all []message) (steps []step) {
	for i, m := range all {
		if m.Text != nil {
			steps = append(steps, sendText(*m.Text))
		} else {
			steps = append(steps, sendBinary(m.Binary))
		}
		if (i+1)%100 == 0 {
			steps = append(steps, receive(100))
		}
	}
	if rest := len(all) % 100; rest > 0 {
		steps = append(steps, receive(rest))
	}
	return steps
}

// many is how many messages go through one context in each direction.
const many = 10_000

func TestContextOfManyMessages(t *testing.T) {
	all := alike(many)
	for _, client := range []struct {
		name       string
		start      func(t *testing.T) player
		compresses bool
	}{
		{name: "package ws", start: packageWS, compresses: true},
		{name: "Node's own WebSocket", start: nodesOwn}, // it inflates only
		{name: "browser", start: browser, compresses: true},
		{name: "Python's websockets", start: pythonWebsockets, compresses: true},
	} {
		t.Run(client.name, func(t *testing.T) {
			play, server := client.start(t), startServer(t, "-compression", "contextTakeover")
			s := play(t, []exchange{{
				URL: server.at("echo", t.Name()), page: server.url,
				Options: map[string]any{"perMessageDeflate": map[string]any{"threshold": 0}},
				Steps:   append(sendAll(all), closeWith(1000, "that was all")),
			}}, func() {})[0]
			s.requirePlayed(t)
			s.requireMessages(t, all)
			assert.Equal(t, ending{Code: 1000, WasClean: true}, s.Closed)
			stats := server.stats(t)
			assert.EqualValues(t, many, stats.MessagesReceived)
			assert.Less(t, stats.BytesSent, uint64(size(all)*4/10))
			if client.compresses {
				assert.Less(t, stats.BytesReceived, uint64(size(all)*4/10))
			}
		})
	}
}

// stats returns the Stats of the server of this module.
func (p *process) stats(t *testing.T) (s websocket.Stats) {
	t.Helper()
	response, err := http.Get(p.url + "/stats")
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }() // all of it is read
	require.NoError(t, json.NewDecoder(response.Body).Decode(&s))
	return s
}

// An offer is an offer of a client, and the answers of servers with context takeover.
type offer struct {
	deflate map[string]any // as ws calls it
	want    string         // the answer of a server whose windows have 15 bits
	ten     string         // the answer of a server whose windows have 10
}

func offers() (all []offer) {
	add := func(deflate map[string]any, want, ten string) { all = append(all, offer{deflate, want, ten}) }
	const (
		agreed   = "permessage-deflate"
		noServer = "; server_no_context_takeover"
		noClient = "; client_no_context_takeover"
	)
	window := func(side string, bits int) string { return fmt.Sprintf("; %s_max_window_bits=%d", side, bits) }
	clientTen := window("client", 10)
	add(map[string]any{}, agreed, agreed+clientTen)
	add(map[string]any{"clientMaxWindowBits": false}, agreed, agreed)
	add(map[string]any{"serverNoContextTakeover": true}, agreed+noServer, agreed+noServer+clientTen)
	add(map[string]any{"clientNoContextTakeover": true}, agreed+noClient, agreed+noClient+clientTen)
	for bits := 8; bits <= 15; bits++ {
		add(map[string]any{"serverMaxWindowBits": bits}, agreed+window("server", bits),
			agreed+window("server", min(bits, 10))+clientTen)
		answer := agreed
		if bits < 15 {
			answer += window("client", bits)
		}
		add(map[string]any{"clientMaxWindowBits": bits}, answer, agreed+window("client", min(bits, 10)))
	}
	add(map[string]any{
		"serverNoContextTakeover": true, "clientNoContextTakeover": true, "serverMaxWindowBits": 9, "clientMaxWindowBits": 15,
	}, agreed+noServer+noClient+window("server", 9), agreed+noServer+noClient+window("server", 9)+clientTen)
	return all
}

func TestContextOffers(t *testing.T) {
	all := alike(400)
	for name, start := range map[string]func(t *testing.T) player{"package ws": packageWS, "Python's websockets": pythonWebsockets} {
		t.Run(name, func(t *testing.T) {
			play, rows := start(t), offers()
			if name != "package ws" {
				// The zlib of Python does not compress with such a window. Node takes a larger one.
				rows = slices.DeleteFunc(rows, func(row offer) bool { return row.deflate["clientMaxWindowBits"] == 8 })
			}
			for _, bits := range []int{15, 10} {
				t.Run(fmt.Sprint(bits, " bits"), func(t *testing.T) {
					server := startServer(t, "-compression", "contextTakeover", "-window-bits", strconv.Itoa(bits))
					exchanges := make([]exchange, len(rows))
					for i, row := range rows {
						exchanges[i] = exchange{
							URL:     server.at("echo", fmt.Sprint(i)),
							Options: map[string]any{"perMessageDeflate": row.deflate},
							Steps:   append(sendAll(all), closeWith(1000, "")),
						}
					}
					for i, s := range play(t, exchanges, func() {}) {
						t.Run(fmt.Sprint(rows[i].deflate), func(t *testing.T) {
							s.requirePlayed(t)
							s.requireMessages(t, all)
							want := rows[i].want
							if bits == 10 {
								want = rows[i].ten
							}
							assert.Equal(t, want, s.Agreed)
						})
					}
				})
			}
		})
	}
}

func TestDialContextOfManyMessages(t *testing.T) {
	all := alike(many)
	t.Run("package ws", func(t *testing.T) {
		server := startWS(t)
		conn := dial(t, server.at("deflate", t.Name(), "perMessageDeflate", `{"threshold": 0}`), keepingContext(0))
		requireEchoes(t, conn, all)
		requireEndedWith(t, server, conn)
		assert.Less(t, server.await(t, t.Name(), "ended").Received, size(all)*4/10)
	})
	t.Run("Python's websockets", func(t *testing.T) {
		server := startPython(t, "{}")
		conn := dial(t, server.at("", t.Name()), keepingContext(0))
		requireEchoes(t, conn, all)
		requireEndedWith(t, server, conn)
	})
}

// A server of websockets may answer with windows that were not asked for, or without any context.
func TestDialContextOfPython(t *testing.T) {
	for name, compression := range map[string]string{
		"a window that was not asked for": `{"serverMaxWindowBits": 12, "clientMaxWindowBits": 12}`,
		"no context":                      `{"serverNoContextTakeover": true, "clientNoContextTakeover": true}`,
	} {
		t.Run(name, func(t *testing.T) {
			server := startPython(t, compression)
			conn := dial(t, server.at("", t.Name()), keepingContext(0))
			requireEchoes(t, conn, alike(400))
			requireEndedWith(t, server, conn)
		})
	}
}

func keepingContext(bits int) *websocket.DialOptions {
	return &websocket.DialOptions{Compression: websocket.CompressionContextTakeover, MaxWindowBits: bits}
}

// startPython starts the server of the package websockets.
func startPython(t *testing.T, compression string) *process {
	t.Helper()
	return start(t, findPython(t), "script/serve.py", compression)
}

// requireEchoes sends all messages and reads them back meanwhile.
func requireEchoes(t *testing.T, conn *websocket.Conn, all []message) {
	t.Helper()
	written := make(chan error, 1)
	go func() {
		written <- func() error {
			for _, m := range all {
				messageType, p := websocket.BinaryMessage, m.Binary
				if m.Text != nil {
					messageType, p = websocket.TextMessage, []byte(*m.Text)
				}
				if err := conn.WriteMessage(messageType, p); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	for i, want := range all {
		messageType, p, err := conn.ReadMessage()
		if err != nil {
			_ = conn.CloseNow() // so that the writes end
			require.NoError(t, err, "message %d; written: %v", i, <-written)
		}
		got := binary(p)
		if messageType == websocket.TextMessage {
			got = text(string(p))
		}
		require.True(t, want.equals(got), "message %d: want %s; got %s", i, want, got)
	}
	require.NoError(t, <-written)
}

// requireEndedWith closes the connection, and checks what the server notes of the end.
func requireEndedWith(t *testing.T, server *process, conn *websocket.Conn) {
	t.Helper()
	require.NoError(t, conn.Close(4000, "goodbye"))
	ended := server.await(t, t.Name(), "ended")
	assert.Equal(t, 4000, ended.Code)
	assert.Equal(t, "goodbye", ended.Reason)
}

func TestDialContextAnswers(t *testing.T) {
	const agreed = "permessage-deflate"
	rows := []struct {
		server string // what ws calls perMessageDeflate
		bits   int    // of ours
		want   string
	}{
		{server: "{}", want: agreed},
		{server: `{"serverNoContextTakeover": true}`, want: agreed + "; server_no_context_takeover"},
		{server: `{"clientNoContextTakeover": true}`, want: agreed + "; client_no_context_takeover"},
		{
			server: `{"serverNoContextTakeover": true, "clientNoContextTakeover": true, "serverMaxWindowBits": 9}`,
			want:   agreed + "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
		},
		{server: `{"serverMaxWindowBits": 9, "clientMaxWindowBits": 9}`, want: agreed + "; server_max_window_bits=9; client_max_window_bits=9"},
		{server: "{}", bits: 10, want: agreed + "; server_max_window_bits=10; client_max_window_bits=10"},
		{server: "{}", bits: 8, want: agreed + "; server_max_window_bits=8; client_max_window_bits=8"},
		{
			server: `{"serverMaxWindowBits": 9, "clientMaxWindowBits": 8}`, bits: 10,
			want: agreed + "; server_max_window_bits=9; client_max_window_bits=8",
		},
	}
	for bits := 8; bits <= 15; bits++ {
		for _, side := range []string{"server", "client"} {
			rows = append(rows, struct {
				server string
				bits   int
				want   string
			}{
				server: fmt.Sprintf(`{"%sMaxWindowBits": %d}`, side, bits),
				want:   fmt.Sprintf("%s; %s_max_window_bits=%d", agreed, side, bits),
			})
		}
	}
	all := alike(400)
	servers := startWS(t)
	for _, row := range rows {
		t.Run(fmt.Sprintf("%s, ours %d", row.server, row.bits), func(t *testing.T) {
			compression := strings.Replace(row.server, "{", `{"threshold": 0, `, 1)
			compression = strings.Replace(compression, ", }", "}", 1)
			conn, response, err := websocket.Dial(t.Context(), servers.at("deflate", t.Name(), "perMessageDeflate", compression),
				keepingContext(row.bits))
			require.NoError(t, err)
			t.Cleanup(func() { _ = conn.CloseNow() })
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
			assert.ElementsMatch(t, strings.Split(row.want, "; "), strings.Split(response.Header.Get("Sec-WebSocket-Extensions"), "; "))
			requireEchoes(t, conn, all)
			requireEndedWith(t, servers, conn)
		})
	}
}
