package integration_test

import (
	"bytes"
	"cmp"
	"compress/flate"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/require"
)

// differentialLimit is the message limit of all the servers, in bytes.
const differentialLimit = 100_000

// A script is what a client sends: frames, most of them good ones, made of bytes
// that a fuzzer may choose.
type script struct {
	choices []byte
	deflate bool
	stream  []byte
}

func newScript(choices []byte) script {
	s := script{choices: choices}
	s.deflate = s.next()%2 == 1
	for n := 0; n < 12 && len(s.choices) > 0 && len(s.stream) < 4*differentialLimit; n++ {
		s.frames()
	}
	return s
}

// next is the next choice.
func (s *script) next() int {
	if len(s.choices) == 0 {
		return 0
	}
	c := s.choices[0]
	s.choices = s.choices[1:]
	return int(c)
}

func (s *script) add(frames ...wstest.Frame) {
	for _, f := range frames {
		s.stream = f.AppendTo(s.stream)
	}
}

// The sizes that something changes at.
var sizes = []int{0, 1, 124, 125, 126, 127, 255, 4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536, 65537, 99_999, 100_000, 100_001}

// texts are UTF-8, of characters of all lengths, but for the last ones.
var texts = []string{"", "x", "hello", "käse", "日本語", "😀😀", strings.Repeat("é", 5000), strings.Repeat("ab", 40_000), "\xff", "ab\xc3", "\xed\xa0\x80"}

const goodTexts = 8

func (s *script) text() string { return texts[s.next()%goodTexts] }

// frames adds a frame or some that belong together.
func (s *script) frames() {
	switch choice := s.next() % 64; {
	case choice < 12:
		s.add(wstest.Text(s.text()))
	case choice < 18:
		s.add(wstest.Binary(bytes.Repeat([]byte{byte(s.next())}, sizes[s.next()%len(sizes)])))
	case choice < 28:
		s.fragmented(testws.Part(wstest.OpText, false, ""), s.text())
	case choice < 34:
		s.add(wstest.Ping(string(rune(s.next()))))
	case choice < 36:
		s.add(wstest.Pong("?"))
	case choice < 46:
		f := testws.Deflated(s.text())
		f.Opcode = byte(1 + s.next()%2)
		s.add(f)
	case choice < 50:
		f := testws.Deflated(s.text())
		s.fragmented(wstest.Frame{RSV: 4, Opcode: wstest.OpText, Masked: true}, string(f.Payload))
	case choice < 53:
		s.add(s.oddlyDeflated())
	case choice < 56:
		codes := []int{1000, 1001, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1014, 1015, 1016, 2999, 3000, 4999, 5000}
		s.add(wstest.Close(codes[s.next()%len(codes)], texts[s.next()%len(texts)%6]))
	case choice < 58:
		s.add(wstest.Text(texts[s.next()%len(texts)]))
	case choice < 60:
		header := []byte{byte(s.next()), byte(s.next())}
		s.stream = append(s.stream, header...)
	case choice < 62 && len(s.stream) > 0:
		s.stream[(s.next()<<8|s.next())%len(s.stream)] ^= 1 << (s.next() % 8)
	default:
		s.add(wstest.Frame{Fin: s.next()%4 != 0, RSV: byte(s.next() % 8 & s.next()), Opcode: byte(s.next() % 16), Masked: s.next()%8 != 0, Payload: []byte{3, 0xe8, 'x'}[:s.next()%4]})
	}
}

// fragmented adds a message in up to four frames, with pings between.
func (s *script) fragmented(first wstest.Frame, payload string) {
	for n := 1 + s.next()%4; n > 0; n-- {
		at := len(payload)
		if n > 1 {
			at = (s.next()<<8 | s.next()) % (at + 1)
		}
		first.Fin, first.Payload = n == 1, []byte(payload[:at])
		s.add(first)
		payload = payload[at:]
		first.RSV, first.Opcode = 0, wstest.OpContinuation
		if n > 1 && s.next()%3 == 0 {
			s.add(wstest.Ping("between"))
		}
	}
}

// oddlyDeflated is a compressed message of an unusual kind.
func (s *script) oddlyDeflated() wstest.Frame {
	f := testws.Deflated(s.text())
	switch s.next() % 7 {
	case 0:
		f = testws.Deflated(strings.Repeat("\x00", differentialLimit-1+s.next()%3))
	case 1:
		f.Payload = nil
	case 2:
		f.Payload = f.Payload[:len(f.Payload)/2]
	case 3:
		f.Payload[s.next()%len(f.Payload)] ^= 1 << (s.next() % 8)
	case 4:
		var b bytes.Buffer
		w, _ := flate.NewWriter(&b, flate.BestSpeed)
		_, _ = w.Write([]byte(s.text())) // to memory
		_ = w.Close()
		b.WriteString([]string{"", "\x00", string(f.Payload), "\x07"}[s.next()%4])
		f.Payload = b.Bytes()
	case 5:
		f = testws.Deflated(texts[s.next()%len(texts)])
	default:
		f.Payload = []byte{1}
	}
	return f
}

// An exception is a reason for which readers may differ. What comes behind is not
// looked at.
type exception struct {
	ours    bool // our own readers may differ, too
	because string
}

// A scan is how far exception has come in the frames of a script.
type scan struct {
	deflate              bool // agreed on
	open, deflated, text bool // the message
	payload              []byte
}

// exception finds the first reason why gorilla does otherwise than we do on
// purpose. The zero value is none.
func (s *script) exception() exception {
	m := scan{deflate: s.deflate}
	for r := bytes.NewReader(s.stream); ; {
		at := s.stream[len(s.stream)-r.Len():]
		if len(at) < 2 || m.breach(at) {
			return m.ended()
		}
		if e := m.header(at); e != (exception{}) {
			return e
		}
		f, err := wstest.ReadFrame(r)
		control := at[0]&0x8 != 0
		switch {
		case err != nil:
			return m.unfinished(at)
		case f.Opcode == wstest.OpClose:
			return cmp.Or(closeException(f), m.ended())
		case control:
			continue
		}
		if f.Opcode != wstest.OpContinuation {
			m.deflated, m.text, m.payload = f.RSV != 0, f.Opcode == wstest.OpText, nil
		}
		m.open = !f.Fin
		m.payload = append(m.payload, f.Payload...)
		e := m.plain()
		if m.deflated {
			e = m.compressed()
		}
		if e != (exception{}) || len(m.payload) > differentialLimit {
			return e
		}
	}
}

// breach reports whether a frame's first two bytes are what all refuse.
func (m *scan) breach(at []byte) bool {
	opcode, rsv1, length := at[0]&0xf, at[0]&0x40 != 0, at[1]&0x7f
	if at[1]&0x80 == 0 || at[0]&0x30 != 0 || rsv1 && !m.deflate {
		return true
	}
	if opcode >= wstest.OpClose {
		return opcode > wstest.OpPong || length > 125 || at[0]&0x80 == 0
	}
	return opcode > wstest.OpBinary || m.open != (opcode == wstest.OpContinuation)
}

func (m *scan) header(at []byte) exception {
	opcode := at[0] & 0xf
	switch {
	case at[0]&0x40 != 0 && (opcode >= wstest.OpClose || opcode == wstest.OpContinuation):
		return exception{because: "gorilla takes RSV1 on control and continuation frames (RFC 7692, 6.1)"}
	case at[1]&0x7f == 127 && len(at) >= 10 && at[2]&0x80 != 0:
		return exception{because: "gorilla sends no close frame for a length with the top bit set"}
	default:
		return exception{}
	}
}

// ended is about a message whose end never comes.
func (m *scan) ended() exception {
	if m.open && m.deflated {
		return exception{because: "gorilla sends no close frame for what was bad in it, we do"}
	}
	return exception{}
}

// unfinished is about a frame that is cut by the end.
func (m *scan) unfinished(at []byte) exception {
	opcode := at[0] & 0xf
	switch {
	case opcode >= wstest.OpClose:
		return exception{}
	case m.deflated && m.open:
		return m.ended()
	case at[0]&0x40 != 0:
		return exception{ours: true, because: "a compressed frame that is cut may be found bad before its end, or not"}
	case opcode == wstest.OpText, m.open && m.text:
		return exception{because: "we check the part of a text that has come"}
	default:
		return exception{}
	}
}

func closeException(f wstest.Frame) exception {
	switch {
	case len(f.Payload) == 1:
		return exception{because: "gorilla takes a close payload of one byte for none (RFC 6455, 5.5.1)"}
	case f.CloseCode() == websocket.CloseBadGateway:
		return exception{because: "gorilla does not know code 1014, which IANA has registered"}
	case !utf8.ValidString(f.CloseReason()):
		return exception{because: "gorilla answers a reason that is not UTF-8 with 1002, we do with 1007"}
	default:
		return exception{}
	}
}

// plain is about what has come of a message, whole frames.
func (m *scan) plain() exception {
	if m.text && !beginsText(m.payload, m.open) {
		return exception{because: "gorilla does not check text (RFC 6455, 8.1)"}
	}
	return exception{}
}

// beginsText reports whether p is text or, where more is to come, its beginning, which
// may be cut within a character.
func beginsText(p []byte, more bool) bool {
	cut := 0
	for more && cut < min(utf8.UTFMax-1, len(p)) && !utf8.Valid(p[:len(p)-cut]) {
		cut++
	}
	whole, rest := p[:len(p)-cut], p[len(p)-cut:]
	return utf8.Valid(whole) && (cut == 0 || !utf8.FullRune(rest))
}

// compressed is plain for what is to be inflated.
func (m *scan) compressed() exception {
	message, left, err := inflate(m.payload, "\x01\x00\x00\xff\xff")
	long, invalid := len(message) > differentialLimit, m.text && !utf8.Valid(message)
	switch {
	case !m.open && err == nil && left > 0 && left != 5 && left != 9:
		return exception{because: "gorilla drops what comes after a last block (RFC 7692, 7.2.3.4)"}
	case !m.open && err == nil && goesOn(m.payload, message):
		return exception{because: "gorilla takes the last block that it adds for a part of the message"}
	case !m.open && long && invalid:
		return exception{ours: true, because: "a message that is too long and no text may be called either"}
	case !m.open && long, len(m.payload) > differentialLimit:
		return exception{because: "we count what is inflated, gorilla what is on the wire"}
	case m.open:
		return exception{}
	case invalid:
		return exception{because: "gorilla does not check text (RFC 6455, 8.1)"}
	case err != nil:
		return exception{because: "gorilla sends no close frame for corrupt data"}
	default:
		return exception{}
	}
}

// goesOn reports whether the message that a payload was inflated to has something of the
// last block behind it: another one makes another message.
func goesOn(payload, message []byte) bool {
	other, _, err := inflate(payload, "\x03\x00")
	return err != nil || !bytes.Equal(message, other)
}

// inflate has the standard library inflate a payload with a last block behind. It tells
// how much is left behind the first last block, of the tail and that one too.
func inflate(payload []byte, last string) (message []byte, left int, err error) {
	in := strings.NewReader(string(payload) + "\x00\x00\xff\xff" + last)
	message, err = io.ReadAll(io.LimitReader(flate.NewReader(in), 10*differentialLimit))
	return message, in.Len(), err
}

// An outcome is what became of a script.
type outcome struct {
	Messages []string // that the server read
	Err      string   // of its last read
	Frames   []string // that the client got: an answer to each message, pongs, the close frame
}

// describe tells messages apart. The answer to each is small, so that it may be
// held back.
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

// readers are the ways to read one message. A mixed one abandons some; what it
// has read of them is not told.
var readers = map[string]func(conn *websocket.Conn, random *rand.Rand) (int, []byte, error){
	"ReadMessage": func(conn *websocket.Conn, _ *rand.Rand) (int, []byte, error) { return conn.ReadMessage() },
	"ReadSlice":   func(conn *websocket.Conn, _ *rand.Rand) (int, []byte, error) { return conn.ReadSlice() },
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
	ours.Log = testws.Silent
	ours.MaxMessageSize = differentialLimit
	ours.CompressionLevel = -1
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
			read = readers[[]string{"ReadMessage", "ReadSlice", "NextReader"}[random.IntN(3)]]
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

// play sends a script, cut at random, and returns what became of it.
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
	same("mixed", s.play(t, s.tcp, &script, "mixed", seed+6))
	if !script.deflate { // gorilla does not look into compressed messages that nobody wants
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
