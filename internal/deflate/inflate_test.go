package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/goyave-contrib/websocket/internal/wire"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// inflateCut inflates data in pieces of random sizes. At random times it moves the output to other
// memory, or releases the tables. It returns the output, how much of the data is left, and whether
// the end was reached.
func inflateCut(data []byte, random *rand.Rand) (out []byte, left int, ended bool, err error) {
	var f inflater
	defer f.forget()
	p := make([]byte, windowSize+1+random.IntN(windowSize))
	n := 0
	var src []byte
	for rest := data; ; {
		before, room := n, random.IntN(1000)
		m, used, err := f.run(p[:min(len(p), n+room)], n, src)
		out = append(out, p[before:m]...)
		n, src = m, src[used:]
		switch {
		case err != nil:
			return out, 0, false, err
		case f.stage == atEnd:
			return out, f.left() + len(src) + len(rest), true, nil
		case n == len(p):
			n = copy(p, p[n-windowSize:])
		case used == 0 && n == before && random.IntN(2) == 0:
			if len(rest) == 0 && room > 0 {
				return out, 0, false, nil
			}
			k := min(len(rest), random.IntN(20)*random.IntN(20))
			src, rest = append(slices.Clip(src), rest[:k]...), rest[k:]
			if random.IntN(3) == 0 {
				f.forget()
			}
		}
	}
}

// emptyBlock is a final block.
const emptyBlock = "\x01\x00\x00\xff\xff"

// agreeOnInflating checks that data inflates to the same as with package flate.
func agreeOnInflating(t *testing.T, data []byte, seed uint64) {
	t.Helper()
	in := bytes.NewReader(data)
	want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(in), 1<<20))
	if len(want) == 1<<20 {
		return // the output may be a gigabyte
	}
	for range 3 {
		seed++
		got, left, ended, err := inflateCut(data, rand.New(rand.NewPCG(seed, seed)))
		if wantErr != nil {
			require.False(t, ended, "package flate says %v", wantErr)
			continue
		}
		require.NoError(t, err)
		require.True(t, ended)
		require.True(t, bytes.Equal(want, got), "%d and %d bytes", len(want), len(got))
		require.Equal(t, in.Len(), left, "bytes behind the end")
	}
	agreeOnMessages(t, data)
}

// agreeOnMessages checks that a compressed message inflates to the same as with package flate.
func agreeOnMessages(t *testing.T, data []byte) {
	t.Helper()
	inflate := func(last string) (p []byte, left int, err error) {
		in := strings.NewReader(string(data) + Tail + last)
		p, err = io.ReadAll(io.LimitReader(flate.NewReader(in), 1<<20))
		return p, in.Len(), err
	}
	want, left, wantErr := inflate(emptyBlock)
	other, _, otherErr := inflate("\x03\x00")
	slow := iotest.OneByteReader(bytes.NewReader(data))
	if len(data) > 4<<10 { // the Reader releases its memory and gets it again for each piece
		slow = iotest.HalfReader(bytes.NewReader(data))
	}
	for name, z := range map[string]*Reader{
		"in memory": NewBytesReader(data, nil),
		"in parts":  NewReader(source{iotest.HalfReader(bytes.NewReader(data))}, false, nil),
		"kept":      NewReader(source{slow}, true, nil),
	} {
		got, err := inflateAll(z, 1<<20)
		switch {
		case len(want) == 1<<20, wantErr == nil && left != 0 && left != len(emptyBlock) && left != len(emptyBlock)+len(Tail):
		case wantErr != nil, left == 0 && (otherErr != nil || !bytes.Equal(want, other)): // the final block that was added is within another
			require.ErrorIs(t, err, wire.ErrCorrupt, name)
		default:
			require.NoError(t, err, name)
			require.True(t, bytes.Equal(want, got), name)
		}
	}
}

// inflateAll returns all output, or its first most bytes and a little more.
func inflateAll(z *Reader, most int) (p []byte, err error) {
	defer z.Close()
	for err == nil && len(p) <= most {
		var piece []byte
		piece, err = z.Next()
		p = append(p, piece...)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err == nil && z.keepAll && len(p) <= most {
		kept := z.Take()
		defer kept.Release()
		if !bytes.Equal(p, kept.Bytes()) {
			return nil, errors.New("what is kept is something else")
		}
	}
	return p, err
}

// A source never has a piece that was received already.
type source struct{ io.Reader }

func (source) HasMore() bool { return false }

// samples are contents of different kinds, of different lengths.
func samples() (all [][]byte) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, size := range []int{0, 1, 2, 10, 257, 258, 259, 1000, 5000, 40_000, 100_000} {
		same, noise, words, runs := make([]byte, size), make([]byte, size), make([]byte, 0, size+10), make([]byte, size)
		for i := range noise {
			noise[i] = byte(random.Uint32())
			runs[i] = byte(i / 300 * 7)
		}
		for len(words) < size {
			words = fmt.Appendf(words, "word%d ", random.IntN(300))
		}
		far := append(append(noise[:size:size], same...), noise...)
		all = append(all, same, noise, words, runs, sevenBits(size), far)
	}
	return all
}

func TestInflate(t *testing.T) {
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		for i, sample := range samples() {
			if len(sample) > 10_000 && level != flate.HuffmanOnly && level%3 != 0 {
				continue // long ones take too much time
			}
			var b bytes.Buffer
			w, err := flate.NewWriter(&b, level)
			require.NoError(t, err)
			for half := range bytes.SplitAfterSeq(sample, sample[:len(sample)/2]) {
				_, _ = w.Write(half) // to memory
				_ = w.Flush()
			}
			_ = w.Close()
			agreeOnInflating(t, append(b.Bytes(), "behind"...), uint64(i))
			if b.Len() > 3 {
				agreeOnInflating(t, b.Bytes()[:b.Len()*2/3], uint64(i))
			}
		}
	}
}

// Valid data is changed in one place.
func TestInflateSpoiledData(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for i, sample := range samples() {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, 1+i%9)
		require.NoError(t, err)
		_, _ = w.Write(sample[:min(len(sample), 3000)]) // to memory
		_ = w.Close()
		for range 40 { // FuzzInflate has more
			data := bytes.Clone(b.Bytes())
			at := random.IntN(min(len(data), 1+random.IntN(len(data))))
			data[at] ^= 1 << random.IntN(8)
			agreeOnInflating(t, data, random.Uint64())
		}
	}
}

// A Reader that waits for the peer has no tables, and no more memory than its output.
func TestInflationThatWaitsIsSmall(t *testing.T) {
	text := sevenBits(10_000)
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, 9)
	require.NoError(t, err)
	_, _ = w.Write(text) // to memory
	_ = w.Close()
	compressed := b.Bytes()
	for come := range 500 {
		var got int
		stop := &stopping{data: compressed[:come]}
		z := NewReader(source{stop}, false, nil)
		stop.stopped = func() {
			assert.Nil(t, z.inflater.own, "%d bytes", come)
			assert.Nil(t, z.inflater.codes, "%d bytes", come)
			if z.out.Memory != nil {
				assert.LessOrEqual(t, len(*z.out.Memory), max(512, 2*got), "%d bytes", come)
			}
		}
		for {
			p, err := z.Next()
			require.True(t, bytes.Equal(text[got:got+len(p)], p))
			if got += len(p); err != nil {
				require.ErrorIs(t, err, errStopped)
				break
			}
		}
		z.Close()
	}
}

// A stopping has some data, and then waits.
type stopping struct {
	data    []byte
	stopped func()
}

var errStopped = fmt.Errorf("stopped")

func (s *stopping) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		s.stopped()
		return 0, errStopped
	}
	n := copy(p, s.data)
	s.data = s.data[n:]
	return n, nil
}

func FuzzInflate(f *testing.F) {
	for i, sample := range samples() {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, i%11-1)
		require.NoError(f, err)
		_, _ = w.Write(sample[:min(len(sample), 2000)]) // to memory
		_ = w.Close()
		f.Add(b.Bytes(), uint64(i))
	}
	f.Add([]byte{0x05, 0xe0, 0x81, 0x08, 0, 0, 0, 0, 0x20, 0x7f, 0xeb, 0x0b, 0, 0}, uint64(1)) // a single distance code
	f.Fuzz(agreeOnInflating)
}

// sevenBits returns text with hardly a repetition.
func sevenBits(n int) []byte {
	random := rand.New(rand.NewPCG(5, 6))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(random.Uint32() % 128)
	}
	return p
}
