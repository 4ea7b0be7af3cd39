// Package deflate is the codec of permessage-deflate (RFC 7692). A [Writer] compresses a message
// piece by piece, [Compress] one that is in memory. A [Reader] inflates either. Its inflater (RFC
// 1951) can stop at any bit, and needs little memory while the caller waits for the peer.
package deflate

import (
	"encoding/binary"

	"github.com/goyave-contrib/websocket/internal/wire"
)

// windowSize is the greatest distance of a copy, in bytes (RFC 1951, section 2).
const windowSize = 32 << 10

// An inflater inflates data (RFC 1951) that arrives in pieces, cut anywhere. It can stop at any bit,
// and release the tables of codes while the caller waits for more: a reader of package flate keeps
// 40 KiB, however little has arrived.
type inflater struct {
	bits  uint64 // taken from the input and not decoded yet, the next one lowest
	nbits uint

	stage  inflaterStage
	final  bool   // the block has BFINAL
	fixed  bool   // the block has the fixed codes
	stored int    // bytes left of a stored block
	codes  *codes // tables of the block; nil: they are to be built again
	own    *codes // memory for tables that are not the fixed ones, or nil

	literals, distances int // numbers of lengths, of the codes of the block
	lengths             [maxLiterals + maxDistances]uint8

	copyLength, copyDistance int // the rest of a copy for which there was no room

	past *ReceiveWindow // what came before the output; nil for nothing
}

type inflaterStage uint8

const (
	atBlock  inflaterStage = iota // before the header of a block
	inStored                      // in a stored block
	inCoded                       // in a block of Huffman codes
	atEnd                         // after the final block
)

// run inflates src into p, behind n bytes of earlier output: all of it, or a window at least. It
// returns the number of bytes in p then, and how many bytes of src it used. If it does not reach
// the end, either p is full, or the rest of src is not enough to continue with: the caller must
// pass it again, followed by more.
func (f *inflater) run(p []byte, n int, src []byte) (out, used int, err error) {
	for more := true; more && f.stage != atEnd; {
		var m int
		switch f.stage {
		case atBlock:
			m, more, err = f.beginBlock(src[used:])
		case inStored:
			n, m, more = f.copyStored(p, n, src[used:])
		default:
			n, m, more, err = f.decode(p, n, src[used:])
		}
		used += m
	}
	return n, used, err
}

// left returns the number of whole bytes that were taken from the input and not decoded.
func (f *inflater) left() int { return int(f.nbits / 8) } //nolint:gosec // less than 8

// betweenBlocks reports whether a block has ended that is not the final one, and no bit after it
// was taken.
func (f *inflater) betweenBlocks() bool { return f.stage == atBlock && f.nbits == 0 }

// restart continues after a final block, with the next byte.
func (f *inflater) restart() {
	f.align()
	f.stage, f.final = atBlock, false
}

// align drops the bits up to the next byte.
func (f *inflater) align() {
	f.bits >>= f.nbits % 8
	f.nbits -= f.nbits % 8
}

// forget releases the tables, which can be built again.
func (f *inflater) forget() {
	if f.own != nil {
		codesPool.Put(f.own)
	}
	f.own, f.codes = nil, nil
}

func (f *inflater) endBlock() {
	f.stage = atBlock
	if f.final {
		f.stage = atEnd
	}
}

// copyStored copies bytes of a stored block (RFC 1951, 3.2.4).
func (f *inflater) copyStored(p []byte, n int, src []byte) (out, used int, ended bool) {
	for ; f.nbits > 0 && f.stored > 0 && n < len(p); n++ {
		p[n] = byte(f.bits)
		f.bits >>= 8
		f.nbits -= 8
		f.stored--
	}
	if f.nbits == 0 {
		used = copy(p[n:], src[:min(len(src), f.stored)])
		f.stored -= used
	}
	if f.stored == 0 {
		f.endBlock()
	}
	return n + used, used, f.stored == 0
}

// decode decodes a block of Huffman codes. It uses a code only if all that belongs to it has
// arrived: its bits, its extra bits, and the distance after a length.
//
//nolint:funlen // this loop runs once for each code of a message: a call in it would cost too much
func (f *inflater) decode(p []byte, n int, src []byte) (out, used int, ended bool, err error) {
	if n = f.finishCopy(p, n); f.copyLength > 0 {
		return n, 0, false, nil
	}
	codes := f.tables()
	n, pos := f.decodeFast(codes, p, n, src)
	bits, nbits := f.bits, f.nbits
	for {
		if nbits < 48 { // the most that belongs to one code
			if pos+8 <= len(src) { // some bits are taken twice, with the same values
				bits |= binary.LittleEndian.Uint64(src[pos:]) << nbits
				pos += int(63-nbits) >> 3 //nolint:gosec // less than 8
				nbits |= 56
			} else {
				for bits &= 1<<nbits - 1; nbits < 56 && pos < len(src); pos++ {
					bits |= uint64(src[pos]) << nbits
					nbits += 8
				}
			}
		}
		e := codes.literal(bits)
		length := uint(e & entryLength)
		if length > nbits {
			break
		}
		if e == 0 {
			return n, pos, false, wire.ErrCorrupt
		}
		if e&kindLiteral != 0 {
			if n == len(p) {
				break
			}
			p[n] = byte(e >> 16)
			n++
			bits >>= length
			nbits -= length
			continue
		}
		if e&entryKind == kindEnd {
			bits >>= length
			nbits -= length
			f.endBlock()
			ended = true
			break
		}
		extra := uint(e >> 8 & 0xff)
		rest, nrest := bits>>length>>extra, nbits-length-extra
		if length+extra > nbits {
			break
		}
		d := codes.distance(rest)
		dlength, dextra := uint(d&entryLength), uint(d>>8&0xff)
		if dlength == 0 {
			return n, pos, false, wire.ErrCorrupt
		}
		if dlength+dextra > nrest {
			break
		}
		f.copyLength = int(e>>16) + int(bits>>length&(1<<extra-1))     //nolint:gosec // it fits
		f.copyDistance = int(d>>16) + int(rest>>dlength&(1<<dextra-1)) //nolint:gosec // it fits
		bits, nbits = rest>>dlength>>dextra, nrest-dlength-dextra
		if f.copyDistance > n && f.copyDistance-n > f.past.length() {
			return n, pos, false, wire.ErrCorrupt
		}
		if n = f.finishCopy(p, n); f.copyLength > 0 {
			break
		}
	}
	f.bits, f.nbits = bits&(1<<nbits-1), nbits
	return n, pos, ended, nil
}

// fastRoom is how many bytes decodeFast writes at most in one turn: literals, a copy, and what is
// written behind it.
const fastRoom = 2 + maxCopy + 8

// decodeFast decodes as decode does, as long as there is so much input and so much room that
// nothing needs to be checked. It leaves the end of the block, and data that is corrupt, to decode.
func (f *inflater) decodeFast(codes *codes, p []byte, n int, src []byte) (out, used int) {
	bits, nbits, pos := f.bits, f.nbits, 0
	for pos+8 <= len(src) && n+fastRoom <= len(p) {
		bits |= load64(src, pos) << (nbits & 63)
		pos += int(63-nbits) >> 3 //nolint:gosec // less than 8
		nbits |= 56
		e := codes.literals[bits&(1<<literalBits-1)]
		if e&kindLiteral != 0 {
			p[n] = byte(e >> 16)
			n++
			bits >>= e & entryLength
			nbits -= uint(e & entryLength)
			if e = codes.literals[bits&(1<<literalBits-1)]; e&kindLiteral != 0 {
				p[n] = byte(e >> 16)
				n++
				bits >>= e & entryLength
				nbits -= uint(e & entryLength)
				continue
			}
		}
		if e&entryKind == kindLong {
			if e = codes.literal(bits); e&kindLiteral != 0 {
				p[n] = byte(e >> 16)
				n++
				bits >>= e & entryLength
				nbits -= uint(e & entryLength)
				continue
			}
		}
		if e&entryKind != kindLength {
			break
		}
		length, extra := uint(e&entryLength), uint(e>>8&0xff)
		rest := bits >> (length & 63) >> (extra & 63)
		d := codes.distance(rest)
		dlength, dextra := uint(d&entryLength), uint(d>>8&0xff)
		if length+extra+dlength+dextra > nbits {
			continue // with more bits
		}
		copyLength := int(e>>16) + int(bits>>(length&63)&(1<<(extra&63)-1))
		distance := int(d>>16) + int(rest>>(dlength&63)&(1<<(dextra&63)-1))
		if d == 0 || distance > n && distance-n > f.past.length() {
			break
		}
		bits = rest >> (dlength & 63) >> (dextra & 63)
		nbits -= length + extra + dlength + dextra
		if distance < 8 || distance > n {
			f.copyLength, f.copyDistance = copyLength, distance
			n = f.finishCopy(p, n)
			continue
		}
		end := n + copyLength
		for from := n - distance; n < end; from, n = from+8, n+8 { // some bytes too many, which are overwritten later
			binary.LittleEndian.PutUint64(p[n:], load64(p, from))
		}
		n = end
	}
	f.bits, f.nbits = bits&(1<<nbits-1), nbits
	return n, pos
}

// finishCopy copies earlier output, as far as there is room. It returns the number of bytes in p.
func (f *inflater) finishCopy(p []byte, n int) int {
	if f.copyDistance > n && f.copyLength > 0 {
		copied := f.past.copyTo(p[n:min(len(p), n+f.copyLength)], f.copyDistance-n)
		n += copied
		f.copyLength -= copied
	}
	length, distance := f.copyLength, f.copyDistance
	if distance >= 8 && n+length+8 <= len(p) && length <= 64 { // some bytes too many, which are overwritten later
		for from, to := n-distance, n; to < n+length; from, to = from+8, to+8 {
			binary.LittleEndian.PutUint64(p[to:], binary.LittleEndian.Uint64(p[from:]))
		}
		f.copyLength = 0
		return n + length
	}
	f.copyLength = max(0, n+length-len(p))
	end := min(n+length, len(p))
	for from := n - distance; n < end; { // a copy may overlap its own output
		n += copy(p[n:end], p[from:n])
	}
	return n
}

// tables returns the tables of the block, which it builds if forget has released them.
func (f *inflater) tables() *codes {
	switch {
	case f.codes != nil:
	case f.fixed:
		f.codes = fixedCodes()
	default:
		f.buildCodes() // beginBlock has found them valid
	}
	return f.codes
}

// buildCodes builds the tables from the lengths, and reports whether those are valid.
func (f *inflater) buildCodes() bool {
	f.ensureOwn()
	f.codes = f.own
	return f.codes.build(f.lengths[:f.literals], f.lengths[f.literals:f.literals+f.distances])
}

// ensureOwn gets memory for tables, if there is none.
func (f *inflater) ensureOwn() {
	if f.own == nil {
		f.own = codesPool.Get().(*codes) //nolint:errcheck // it is
	}
}
