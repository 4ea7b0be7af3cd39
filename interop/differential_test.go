package interop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A dealing is one connection between an end of ours and an end of ws, and the random settings of both.
// Both ends send their messages at the same time.
type dealing struct {
	seed        uint64
	compression websocket.CompressionMode
	windowBits  int
	threshold   int
	level       int
	deflate     map[string]any // what ws calls perMessageDeflate

	sent, come []sending // messages of our end, and of ws
}

// A sending is a message in its parts.
type sending struct {
	text  bool
	parts [][]byte
	plain bool // it may be compressed, but is not
	pings bool // there is a ping before the last part
	way   int  // the method with which our end writes or reads it
}

// queued reports whether our end enqueues the message. Other messages may overtake it then.
func (s *sending) queued() bool { return len(s.parts) == 1 && s.way == 0 }

func (s *sending) message() message {
	p := bytes.Join(s.parts, nil)
	if s.text {
		return text(string(p))
	}
	return binary(p)
}

// newDealing returns the dealing of a seed. dials says that our end is the client; ws then has only
// settings that the client accepts.
func newDealing(seed uint64, dials bool) *dealing {
	r := rand.New(rand.NewPCG(seed, 7692))
	d := &dealing{
		seed:        seed,
		compression: websocket.CompressionContextTakeover,
		threshold:   []int{-1, 64, 500}[r.IntN(3)],
		level:       []int{0, -2, 1, 3, 6, 9}[r.IntN(6)],
		deflate: map[string]any{
			"threshold":          r.IntN(2) * 200,
			"zlibDeflateOptions": map[string]any{"level": r.IntN(10), "memLevel": 1 + r.IntN(9), "strategy": r.IntN(5)},
		},
	}
	for _, side := range []string{"server", "client"} {
		if r.IntN(4) == 0 { // false would be more than the default: to insist on the context
			d.deflate[side+"NoContextTakeover"] = true
		}
	}
	if r.IntN(5) == 0 {
		d.compression = websocket.CompressionNoContextTakeover
	}
	limit := 15
	if r.IntN(2) == 0 {
		limit = 8 + r.IntN(8)
		d.windowBits = limit
	}
	if r.IntN(2) == 0 {
		d.deflate["serverMaxWindowBits"] = 8 + r.IntN(limit-7)
	}
	if r.IntN(2) == 0 && (!dials || limit < 15 || d.compression == websocket.CompressionContextTakeover) {
		d.deflate["clientMaxWindowBits"] = 8 + r.IntN(limit-7) // our client has offered it
	}
	d.sent, d.come = newSendings(r), newSendings(r)
	return d
}

// newSendings returns messages that have much in common. Many equal parts are a window's length apart, or
// a little more or less.
func newSendings(r *rand.Rand) []sending {
	all := make([]sending, 10+r.IntN(30))
	var history []byte
	for i := range all {
		s := sending{text: r.IntN(2) == 0, plain: r.IntN(6) == 0, pings: r.IntN(6) == 0, way: r.IntN(4)}
		sizes := []int{0, 1, 1 + r.IntN(130), 1 + r.IntN(130), r.IntN(3000), r.IntN(3000), r.IntN(3000), r.IntN(70_000)}
		p := randomBytes(r, history, sizes[r.IntN(len(sizes))])
		if s.text {
			for i := range p {
				p[i] &= 0x7f
			}
		}
		history = append(history, p...)
		for parts := r.IntN(4); parts > 0 && r.IntN(2) == 0; parts-- {
			at := r.IntN(len(p) + 1)
			s.parts = append(s.parts, p[:at:at])
			p = p[at:]
		}
		s.parts = append(s.parts, p)
		all[i] = s
	}
	return all
}

func randomBytes(r *rand.Rand, history []byte, n int) []byte {
	p := make([]byte, 0, n)
	for len(p) < n {
		length := 1 + r.IntN(1<<r.IntN(11))
		known := len(history) + len(p)
		switch kind := r.IntN(8); {
		case kind == 0:
			for range length {
				p = append(p, byte(r.Uint32()))
			}
		case kind == 1:
			p = append(p, bytes.Repeat([]byte{byte(r.Uint32())}, length)...)
		case kind < 5 || known == 0:
			for range length {
				p = append(p, "etaoin shrdlu\n"[r.IntN(14)])
			}
		default:
			distance := 1 + r.IntN(known)
			if near := 1<<(8+r.IntN(8)) + r.IntN(7) - 3; kind < 7 && near <= known {
				distance = near
			}
			for range length {
				if at := len(p) - distance; at >= 0 {
					p = append(p, p[at])
				} else {
					p = append(p, history[len(history)+at])
				}
			}
		}
	}
	return p[:n]
}

// steps returns the steps that ws takes.
func (d *dealing) steps() (steps []step) {
	for _, s := range d.come {
		for i, p := range s.parts {
			last := i == len(s.parts)-1
			if last && s.pings {
				steps = append(steps, step{Do: "ping", Text: fmt.Sprint("ping ", i)})
			}
			steps = append(steps, step{
				Do: "send", Binary: &p, As: map[string]any{"binary": !s.text, "fin": last, "compress": !s.plain},
			})
		}
	}
	return steps
}

// write sends our messages.
func (d *dealing) write(conn *websocket.Conn) error {
	if d.level != 0 {
		if err := conn.SetCompressionLevel(d.level); err != nil {
			return err
		}
	}
	for i := range d.sent {
		if err := d.sent[i].write(conn); err != nil {
			return fmt.Errorf("write message %d: %w", i, err)
		}
	}
	return nil
}

func (s *sending) write(conn *websocket.Conn) error {
	messageType := websocket.BinaryMessage
	if s.text {
		messageType = websocket.TextMessage
	}
	conn.EnableWriteCompression(!s.plain)
	if s.queued() {
		encoded, err := websocket.EncodeMessage(messageType, s.parts[0])
		if err != nil {
			return err
		}
		if err := conn.EnqueueContext(context.Background(), websocket.QueueLimit{}, encoded); err != nil {
			return err
		}
		conn.Flush()
		return nil
	}
	if len(s.parts) == 1 && s.way < 3 {
		return conn.WriteMessage(messageType, s.parts[0])
	}
	w, err := conn.NextWriter(messageType)
	if err != nil {
		return err
	}
	for i, p := range s.parts {
		if i == len(s.parts)-1 && s.pings {
			if err := conn.WriteControl(websocket.PingMessage, []byte("and?"), time.Now().Add(patience)); err != nil {
				return err
			}
		}
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return w.Close()
}

// read reads the messages of ws.
func (d *dealing) read(conn *websocket.Conn) error {
	for i := range d.come {
		messageType, p, err := d.come[i].read(conn)
		if err != nil {
			return fmt.Errorf("read message %d: %w", i, err)
		}
		got := binary(p)
		if messageType == websocket.TextMessage {
			got = text(string(p))
		}
		if want := d.come[i].message(); !want.equals(got) {
			return fmt.Errorf("message %d: want %s; got %s", i, want, got)
		}
	}
	return nil
}

func (s *sending) read(conn *websocket.Conn) (messageType int, p []byte, err error) {
	switch s.way {
	case 0:
		return conn.ReadSlice()
	case 1:
		messageType, r, err := conn.NextReader()
		if err != nil {
			return 0, nil, err
		}
		p, err := io.ReadAll(r)
		return messageType, p, err
	default:
		return conn.ReadMessage()
	}
}

// both writes and reads at the same time.
func (d *dealing) both(conn *websocket.Conn) error {
	written := make(chan error, 1)
	go func() {
		err := d.write(conn)
		if err != nil {
			_ = conn.CloseNow() // so that the read ends
		}
		written <- err
	}()
	err := d.read(conn)
	if err != nil {
		_ = conn.CloseNow() // so that the write ends
	}
	if writeErr := <-written; writeErr != nil && err == nil {
		err = writeErr
	}
	return err
}

// requireAsSent fails the test unless ws has got what we sent.
func (d *dealing) requireAsSent(t *testing.T, got []message) {
	t.Helper()
	require.Len(t, got, len(d.sent))
	var queued, written []message
	for i := range d.sent {
		if d.sent[i].queued() {
			queued = append(queued, d.sent[i].message())
		} else {
			written = append(written, d.sent[i].message())
		}
	}
	// possible has how many of the messages so far may be queued ones. Where messages are equal, more than
	// one number is possible.
	possible := map[int]bool{0: true}
	for i, m := range got {
		next := make(map[int]bool)
		for n := range possible {
			if n < len(queued) && queued[n].equals(m) {
				next[n+1] = true
			}
			if i-n < len(written) && written[i-n].equals(m) {
				next[n] = true
			}
		}
		require.NotEmpty(t, next, "message %d is none of the next ones that were sent: %s", i, m)
		possible = next
	}
}

// TestDifferential compares our compression with zlib's, on random connections. INTEROP_FUZZ=10m makes it
// go on for ten minutes. A failure names its seed; INTEROP_SEED repeats the connections from a seed on.
func TestDifferential(t *testing.T) {
	const perRound = 24
	seed := uint64(time.Now().UnixNano())
	if chosen := os.Getenv("INTEROP_SEED"); chosen != "" {
		var err error
		seed, err = strconv.ParseUint(chosen, 10, 64)
		require.NoError(t, err)
	}
	var length time.Duration
	if chosen := os.Getenv("INTEROP_FUZZ"); chosen != "" {
		var err error
		length, err = time.ParseDuration(chosen)
		require.NoError(t, err)
	}
	play, server := packageWS(t), startWS(t)
	for begun := time.Now(); ; seed += perRound {
		dealings := make([]*dealing, perRound)
		for i := range dealings {
			dealings[i] = newDealing(seed+uint64(i), false)
		}
		t.Run(fmt.Sprint("our server, ", seed), func(t *testing.T) { serveDealings(t, play, dealings) })
		t.Run(fmt.Sprint("our client, ", seed), func(t *testing.T) { dialDealings(t, server, seed, perRound) })
		if t.Failed() || time.Since(begun) >= length {
			return
		}
	}
}

// serveDealings plays dealings in which ws is the client.
func serveDealings(t *testing.T, play player, dealings []*dealing) {
	t.Helper()
	var mu sync.Mutex
	failed := make(map[string]error)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := strings.TrimPrefix(r.URL.Path, "/")
		i, err := strconv.Atoi(id)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		d := dealings[i]
		upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
			err := d.both(conn)
			mu.Lock()
			defer mu.Unlock()
			failed[id] = err
			return err
		}))
		upgrader.Compression, upgrader.MaxWindowBits = d.compression, d.windowBits
		upgrader.CompressionThreshold = d.threshold
		upgrader.ServeHTTP(w, r)
	}))
	defer server.Close()
	exchanges := make([]exchange, len(dealings))
	for i, d := range dealings {
		exchanges[i] = exchange{
			URL:     strings.Replace(server.URL, "http", "ws", 1) + "/" + strconv.Itoa(i),
			Options: map[string]any{"perMessageDeflate": d.deflate},
			Steps:   append(d.steps(), receive(len(d.sent))),
		}
	}
	for i, s := range play(t, exchanges, func() {}) {
		t.Run(fmt.Sprint(dealings[i].seed), func(t *testing.T) {
			mu.Lock()
			err, told := failed[strconv.Itoa(i)]
			mu.Unlock()
			require.NoError(t, err, "%+v, agreed on %q; ws: %s", dealings[i].deflate, s.Agreed, s.Error)
			require.True(t, told)
			s.requirePlayed(t)
			dealings[i].requireAsSent(t, s.Messages)
			assert.Equal(t, 1000, s.Closed.Code)
			assert.True(t, strings.HasPrefix(s.Agreed, "permessage-deflate"))
		})
	}
}

// dialDealings plays dealings in which ws is the server.
func dialDealings(t *testing.T, server *process, seed uint64, n int) {
	t.Helper()
	for i := range n {
		d := newDealing(seed+uint64(i), true)
		t.Run(fmt.Sprint(d.seed), func(t *testing.T) {
			compression, err := json.Marshal(d.deflate)
			require.NoError(t, err)
			conn := dial(t, server.at("exchange", t.Name(), "perMessageDeflate", string(compression)), &websocket.DialOptions{
				Compression: d.compression, MaxWindowBits: d.windowBits, CompressionThreshold: d.threshold,
			})
			plan, err := json.Marshal(map[string]any{"steps": d.steps(), "count": len(d.sent)})
			require.NoError(t, err)
			require.NoError(t, conn.WriteMessage(websocket.TextMessage, plan))
			require.NoError(t, d.both(conn), "%s", compression)
			var got []message
			require.NoError(t, conn.ReadJSON(&got))
			d.requireAsSent(t, got)
			requireEndedWith(t, server, conn)
		})
	}
}
