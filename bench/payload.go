package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"unicode/utf8"
)

// variants is the number of different messages of one kind. They are sent in turn, so that a
// late reply, or the reply to another connection, does not match.
const variants = 8

// largeVariants is the same for large messages, which take long to make.
const largeVariants = 2

func variantsOf(size int) int {
	if size > 64<<10 {
		return largeVariants
	}
	return variants
}

// messages returns variants of a message of the given size. The masking key for raw TCP is
// zero, because that server returns the payload as it is.
func messages(op byte, size int, raw bool) []message {
	all := make([]message, variantsOf(size))
	for i := range all {
		random := newRandom(i)
		var payload []byte
		if op == opText {
			payload = textPayload(random, size)
		} else {
			payload = binaryPayload(random, size)
		}
		all[i] = newMessage(op, payload, nil, maskingKey(random, raw))
	}
	return all
}

// compressedMessages returns variants of a JSON text, compressed on its own.
func compressedMessages(size int) ([]message, error) {
	all := make([]message, variantsOf(size))
	for i := range all {
		random := newRandom(i)
		payload := jsonPayload(random, size)
		compressed, err := deflated(payload)
		if err != nil {
			return nil, err
		}
		all[i] = newMessage(opText, payload, compressed, maskingKey(random, false))
	}
	return all, nil
}

func newRandom(variant int) *rand.Rand { return rand.New(rand.NewPCG(uint64(variant), 6455)) }

func maskingKey(random *rand.Rand, raw bool) (key [4]byte) {
	if !raw {
		for i := range key {
			key[i] = byte(random.Uint32())
		}
	}
	return key
}

func binaryPayload(random *rand.Rand, size int) []byte {
	b := make([]byte, 0, size+8)
	for len(b) < size {
		b = binary.LittleEndian.AppendUint64(b, random.Uint64())
	}
	return b[:size]
}

// textPayload is mostly ASCII with some characters of two to four bytes, like text in European
// languages.
func textPayload(random *rand.Rand, size int) []byte {
	others := []rune("äéßçñœ€漢🚀")
	b := make([]byte, 0, size+utf8.UTFMax)
	for len(b) < size {
		if random.IntN(20) == 0 {
			b = utf8.AppendRune(b, others[random.IntN(len(others))])
		} else {
			b = append(b, byte('a'+random.IntN(26)))
		}
	}
	return fill(b, size)
}

// jsonPayload is a list of small objects, as an application would send.
func jsonPayload(random *rand.Rand, size int) []byte {
	states := []string{"open", "paid", "shipped", "returned"}
	var b bytes.Buffer
	b.WriteString(`{"orders":[`)
	for b.Len() < size-200 {
		fmt.Fprintf(&b, `{"id":%d,"customer":"c-%08x","state":%q,"total":%d.%02d,"gift":%t},`,
			random.IntN(1_000_000), random.Uint32(), states[random.IntN(len(states))], random.IntN(500), random.IntN(100),
			random.IntN(2) == 0)
	}
	b.WriteString(`{}]}`)
	return fill(b.Bytes(), size)
}

// fill cuts b between two characters and fills it up with spaces.
func fill(b []byte, size int) []byte {
	if len(b) > size {
		end := size
		for !utf8.RuneStart(b[end]) {
			end--
		}
		b = b[:end]
	}
	return append(b, bytes.Repeat([]byte(" "), size-len(b))...)
}
