package deflate

import (
	"bytes"
	"compress/flate"
	"io"
	"math/bits"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Each length and each distance has the symbol and the extra bits that lead back to it.
func TestSymbols(t *testing.T) {
	check := func(n uint16, e entry, extra uint, value uint64) {
		base, want := int(e>>16), uint(e>>8&0xff)
		assert.Equal(t, want, extra, n)
		assert.Less(t, value, uint64(1)<<extra, n)
		assert.Equal(t, int(n), base+int(value), n) //nolint:gosec // small
	}
	for length := uint16(minCopy); length <= maxCopy; length++ {
		symbol, extra, value := lengthSymbol(length)
		check(length, literalSymbols[symbol], extra, value)
	}
	for distance := uint16(1); distance <= windowSize; distance++ {
		symbol, extra, value := distanceSymbol(distance)
		check(distance, distanceSymbols[symbol], extra, value)
	}
}

// writeRare writes a block with codes of all lengths, for which the rarest copies have the rarest
// lengths and distances. It returns what the block stands for.
func (w *blockWriter) writeRare(rare int) []byte {
	message := bytes.Repeat([]byte{1}, windowSize)
	sequences := appendLiterals(nil, len(message))
	for i := range rare { // so that what follows begins at other bits
		message = append(message, byte(200+i))
		sequences = appendLiterals(sequences, 1)
	}
	for i := 1; i < 1<<16; i++ {
		rarity := bits.TrailingZeros(uint(i)) //nolint:gosec // not negative
		message = append(message, byte(min(rarity, 8)))
		length, distance := min(minCopy+1<<((rarity+1)/2), maxCopy-1), min(1+1<<rarity, windowSize)
		for range length {
			message = append(message, message[len(message)-distance])
		}
		sequences = appendCopy(sequences, 1, length, distance)
	}
	_, extra := w.measure(sequences, message)
	w.huffman.build(&w.literals, maxLiterals, maxCodeLength)
	w.huffman.build(&w.distances, maxDistances, maxCodeLength)
	w.header.make(w)
	w.add(0b100, 3)
	w.header.write(w)
	w.coded(sequences, message, w.literals.size()+w.distances.size()+extra, &w.literals.codes, &w.distances.codes)
	w.flush()
	return message
}

// What belongs to one code may be longer than what a decoder has at hand.
func TestLongestCodes(t *testing.T) {
	for rare := range 16 {
		var w blockWriter
		message := w.writeRare(rare)
		w.out = append(w.out, Tail...)
		got, err := io.ReadAll(flate.NewReader(bytes.NewReader(append(w.out, "\x01\x00\x00\xff\xff"...))))
		require.NoError(t, err)
		require.True(t, bytes.Equal(message, got))

		z := NewBytesReader(bytes.TrimSuffix(w.out, []byte(Tail)), nil)
		for err == nil {
			_, err = z.Next()
		}
		require.Equal(t, io.EOF, err)
		out := z.Take()
		require.True(t, bytes.Equal(message, out.Bytes()))
		out.Release()
		z.Close()
	}
}
