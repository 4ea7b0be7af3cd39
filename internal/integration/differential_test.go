package integration_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/require"
)

// differentialLimit is the message limit of all the servers, in bytes.
const differentialLimit = 100_000

// An outcome is the result of a script.
type outcome struct {
	Messages []string // that the server read
	Err      string   // of its last read
	Frames   []string // that the client got: an answer to each message, pongs, the close frame
}

// describe returns a text that identifies a message. As the answer to a message it is
// small, so that it may be corked.
func describe(messageType int, p []byte) string {
	return fmt.Sprintf("%d %d %08x", messageType, len(p), crc32.ChecksumIEEE(p))
}

func class(err error) string {
	var ce *ws.CloseError
	switch {
	case errors.As(err, &ce):
		return ce.Error()
	case errors.Is(err, ws.ErrReadLimit):
		return "too big"
	default:
		return "breach"
	}
}

// readers are the ways to read one message. A mixed reader abandons some messages, and does
// not return what it has read of them.
var readers = map[string]func(conn *websocket.Conn, random *rand.Rand) (int, []byte, error){
	"ReadMessage": func(conn *websocket.Conn, _ *rand.Rand) (int, []byte, error) { return conn.ReadMessage() },
	"ReadSlice":   func(conn *websocket.Conn, _ *rand.Rand) (int, []byte, error) { return conn.ReadSlice() },
	"embedded":    func(conn *websocket.Conn, _ *rand.Rand) (int, []byte, error) { return conn.Conn.ReadMessage() },
	"WriteTo": func(conn *websocket.Conn, _ *rand.Rand) (int, []byte, error) {
		messageType, r, err := conn.NextReader()
		if err != nil {
			return messageType, nil, err
		}
		var b bytes.Buffer
		_, err = io.Copy(&b, r)
		return messageType, b.Bytes(), err
	},
	"NextReader": func(conn *websocket.Conn, random *rand.Rand) (int, []byte, error) {
		messageType, r, err := conn.NextReader()
		if err != nil {
			return messageType, nil, err
		}
		var p []byte
		for chunk := make([]byte, 1+random.IntN(5000)); ; {
			n, err := r.Read(chunk)
			p = append(p, chunk[:n]...)
			if err == io.EOF {
				return messageType, p, nil
			}
			if err != nil {
				return messageType, p, err
			}
		}
	},
}

// differentialServers are the servers to compare, which serve one connection at a
// time.
type differentialServers struct {
	memory, tcp any
	gorilla     any
	outcomes    chan outcome
}

func newDifferentialServers(t testing.TB) *differentialServers {
	s := &differentialServers{outcomes: make(chan outcome, 1)}
	ours := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
		return s.serve(conn, r.URL.Query())
	}))
	ours.Logger = testws.Silent
	ours.MaxMessageSize = differentialLimit
	ours.CompressionLevel = websocket.CompressionOff
	ours.Settings.EnableCompression = true
	s.memory = wstest.Serve(t, ours)
	server := httptest.NewServer(ours)
	t.Cleanup(server.Close)
	s.tcp = server

	upgrader := ws.Upgrader{EnableCompression: true}
	s.gorilla = wstest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		conn.SetReadLimit(differentialLimit)
		conn.EnableWriteCompression(false)
		var o outcome
		for {
			messageType, p, err := conn.ReadMessage()
			if err != nil {
				o.Err = class(err)
				break
			}
			o.Messages = append(o.Messages, describe(messageType, p))
			_ = conn.WriteMessage(ws.TextMessage, []byte(describe(messageType, p)))
		}
		s.outcomes <- o
	}))
	return s
}

func (s *differentialServers) serve(conn *websocket.Conn, query map[string][]string) error {
	seed, err := strconv.ParseUint(query["seed"][0], 10, 64)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(seed, 0))
	way := query["way"][0]
	var o outcome
	for {
		read := readers[way]
		if way == "mixed" {
			read = readers[[]string{"ReadMessage", "ReadSlice", "NextReader", "WriteTo", "embedded"}[random.IntN(5)]]
		}
		var told string
		var messageType int
		var p []byte
		if way == "abandoning" && random.IntN(2) == 0 {
			var r io.Reader
			if _, r, err = conn.NextReader(); err == nil && random.IntN(2) == 0 {
				_, err = r.Read(make([]byte, 1+random.IntN(5000)))
				if err == io.EOF { //nolint:errorlint // a wrapped one is no end
					err = nil
				}
			}
			told = "abandoned"
		} else {
			if way == "abandoning" {
				read = readers[[]string{"ReadMessage", "ReadSlice"}[random.IntN(2)]]
			}
			messageType, p, err = read(conn, random)
			told = describe(messageType, p)
		}
		if err != nil {
			o.Err = class(err)
			s.outcomes <- o
			return err
		}
		o.Messages = append(o.Messages, told)
		_ = conn.WriteMessage(websocket.TextMessage, []byte(told))
	}
}

// play sends a script, in pieces of random sizes, and returns its outcome.
func (s *differentialServers) play(t *testing.T, target any, script *script, way string, seed uint64) outcome {
	t.Helper()
	start := time.Now()
	client := wstest.DialRaw(t, target, fmt.Sprintf("/?way=%s&seed=%d", way, seed), &wstest.Options{Compression: script.deflate})
	_ = client.SetDeadline(time.Now().Add(20 * time.Second))
	random := rand.New(rand.NewPCG(seed, 1))
	most := []int{len(script.stream) + 1, 1 + len(script.stream)/2, 40_000, 1 + len(script.stream)/100}[random.IntN(4)]
	var sending sync.WaitGroup
	sending.Go(func() {
		for rest := script.stream; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(most))
			if _, err := client.Conn.Write(rest[:n]); err != nil {
				return // the server has seen enough
			}
			rest = rest[n:]
		}
		if half, ok := client.Conn.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	})
	var frames []string
	for {
		f, err := wstest.ReadFrame(client)
		if err != nil {
			break
		}
		told := f.String()
		if f.Opcode == wstest.OpClose {
			told = "close " + strconv.Itoa(f.CloseCode()) // what a breach is called differs
		}
		frames = append(frames, told)
	}
	sending.Wait()
	_ = client.Close()
	select {
	case o := <-s.outcomes:
		o.Frames = frames
		require.Less(t, time.Since(start), 5*time.Second, "%s, seed %d, script %x", way, seed, script.stream[:min(len(script.stream), 200)])
		return o
	case <-time.After(20 * time.Second):
		t.Fatal("the server reads on")
		return outcome{}
	}
}

// compare has all readers read a script.
func (s *differentialServers) compare(t *testing.T, choices []byte) {
	t.Helper()
	script := newScript(choices)
	seed := uint64(crc32.ChecksumIEEE(choices))
	exception := script.exception()
	want := s.play(t, s.memory, &script, "ReadMessage", seed)
	same := func(name string, got outcome) {
		t.Helper()
		require.Equal(t, want, got, "%s, script %x, %s", name, choices, exception.because)
	}
	same("ReadSlice", s.play(t, s.tcp, &script, "ReadSlice", seed+1))
	same("ReadMessage", s.play(t, s.tcp, &script, "ReadMessage", seed+2))
	same("ReadSlice in memory", s.play(t, s.memory, &script, "ReadSlice", seed+3))
	if exception.ours {
		return
	}
	same("NextReader", s.play(t, s.tcp, &script, "NextReader", seed+4))
	same("NextReader in memory", s.play(t, s.memory, &script, "NextReader", seed+5))
	same("WriteTo", s.play(t, s.tcp, &script, "WriteTo", seed+8))
	same("embedded", s.play(t, s.tcp, &script, "embedded", seed+9))
	same("embedded in memory", s.play(t, s.memory, &script, "embedded", seed+10))
	same("mixed", s.play(t, s.tcp, &script, "mixed", seed+6))
	if !script.deflate { // gorilla does not inflate messages that are abandoned
		got := s.play(t, s.tcp, &script, "abandoning", seed+7)
		whole := len(want.Messages)
		if n := len(got.Messages); n == whole+1 && got.Messages[whole] == "abandoned" {
			got.Messages = got.Messages[:whole] // before it turned out bad
		}
		require.Len(t, got.Messages, whole, "script %x", choices)
		require.Equal(t, want.Err, got.Err, "script %x", choices)
		for i, message := range got.Messages {
			if message != "abandoned" {
				require.Equal(t, want.Messages[i], message, "script %x", choices)
			}
		}
	}
	if exception.because == "" {
		same("gorilla", s.play(t, s.gorilla, &script, "", seed))
	}
}

// differentialSeeds are small scripts of one kind of frame each.
func differentialSeeds() [][]byte {
	var seeds [][]byte
	for deflate := range byte(2) {
		for kind := range byte(64) {
			seeds = append(seeds, []byte{deflate, kind, kind, 2, 1, 0, 3, kind, 5, 2, 0, 1, 1, 0})
		}
		for i := range sizes {
			seeds = append(seeds, []byte{deflate, 12, 0xa5, byte(i), 12, 0x5a, byte(i), 0, 2})
		}
	}
	return seeds
}

// TestReadersAgree compares our ways to read, and gorilla's.
func TestReadersAgree(t *testing.T) {
	servers := newDifferentialServers(t)
	for _, seed := range differentialSeeds() {
		servers.compare(t, seed)
	}
	random := fixedRandom()
	for range 100 {
		choices := make([]byte, 8+random.IntN(60))
		for i := range choices {
			choices[i] = byte(random.Uint32())
		}
		servers.compare(t, choices)
	}
}

func FuzzReadersAgree(f *testing.F) {
	servers := newDifferentialServers(f)
	for _, seed := range differentialSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, choices []byte) { servers.compare(t, choices) })
}

func fixedRandom() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
