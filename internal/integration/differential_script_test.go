package integration_test

import (
	"bytes"
	"compress/flate"
	"strings"

	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
)

// A script is the input of a client: frames, most of them valid, made of bytes that a
// fuzzer may choose.
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

// next returns the next choice.
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

// sizes are the payload sizes around which the behavior changes.
var sizes = []int{0, 1, 124, 125, 126, 127, 255, 4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536, 65537, 99_999, 100_000, 100_001}

// texts are UTF-8 with characters of all lengths, but for the last ones, which are invalid.
var texts = []string{"", "x", "hello", "käse", "日本語", "😀😀", strings.Repeat("é", 5000), strings.Repeat("ab", 40_000), "\xff", "ab\xc3", "\xed\xa0\x80"}

const goodTexts = 8

func (s *script) text() string { return texts[s.next()%goodTexts] }

// frames adds one frame, or several that belong together.
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
