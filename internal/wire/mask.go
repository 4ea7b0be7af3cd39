package wire

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
)

// MaskedFrame returns a frame as a client sends it: masked with a new key. The payload is
// copied and not changed.
func MaskedFrame(opcode byte, payload []byte) []byte {
	frame := make([]byte, 0, MaxHeaderSize+len(payload))
	frame = AppendHeader(frame, opcode, len(payload))
	frame[1] |= BitMask
	key := NewMaskKey()
	frame = append(frame, key[:]...)
	size := len(frame)
	frame = append(frame, payload...)
	Mask(frame[size:], key)
	return frame
}

// NewMaskKey returns a key that cannot be predicted (RFC 6455, 5.3).
func NewMaskKey() (key [4]byte) {
	_, _ = rand.Read(key[:]) // never fails
	return key
}

// Mask masks or unmasks a payload in place. The zero key changes nothing.
func Mask(payload []byte, key [4]byte) {
	if len(payload) > wordMaskLimit {
		maskLong(payload, key)
		return
	}
	word := uint64(binary.LittleEndian.Uint32(key[:])) * (1<<32 + 1)
	for len(payload) >= 8 {
		binary.LittleEndian.PutUint64(payload, binary.LittleEndian.Uint64(payload)^word)
		payload = payload[8:]
	}
	for i := range payload {
		payload[i] ^= key[i%4]
	}
}

// wordMaskLimit is the longest payload, in bytes, that is masked word by word. For longer
// ones, preparing a wide pad pays.
const wordMaskLimit = 256

func maskLong(payload []byte, key [4]byte) {
	var pad [256]byte
	for n := copy(pad[:], key[:]); n < len(pad); {
		n += copy(pad[n:], pad[:n])
	}
	for len(payload) > 0 {
		payload = payload[subtle.XORBytes(payload, payload, pad[:min(len(pad), len(payload))]):]
	}
}

// RotateKey returns the key for the payload from its nth byte on.
func RotateKey(key [4]byte, n int) [4]byte {
	return [4]byte{key[n%4], key[(n+1)%4], key[(n+2)%4], key[(n+3)%4]}
}
