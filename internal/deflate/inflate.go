// Package deflate is the codec of permessage-deflate (RFC 7692): it compresses whole messages, and inflates
// messages that are in memory and messages that come in pieces. Its inflater (RFC 1951) can stop at any bit, and
// keeps little memory while the peer is waited for.
package deflate

import (
	"encoding/binary"

	"github.com/goyave-contrib/websocket/internal/wire"
)

// WindowSize is how far back a copy may reach, in bytes.
const WindowSize = 32 << 10

// An inflater is what is known of compressed data (RFC 1951) that comes in pieces, cut
// anywhere. It can stop at any bit, and give back the tables of codes while it waits: a
// reader of package flate keeps 40 KiB, whatever has come.
type inflater struct {
	bits  uint64 // that were taken and not used yet, the next one lowest
	nbits uint

	stage  inflaterStage
	last   bool   // the block is the last one
	fixed  bool   // it has the fixed codes
	stored int    // bytes of it that are to come as they are
	codes  *codes // of it; nil: they are to be made again
	own    *codes // memory for those that are not fixed, or nil

	literals, distances int // of the codes that are not fixed, there are so many lengths
	lengths             [maxLiterals + maxDistances]uint8

	copyLength, copyDistance int // of a copy for which there was no room
}

type inflaterStage uint8

const (
	atBlock  inflaterStage = iota // a block is to begin
	inStored                      // within one that comes as it is
	inCoded                       // within one of codes
	atEnd                         // the last one has ended
)

// run inflates src to p, behind n bytes that came out before, a window of them at least.
// It returns how many there are then, and how many bytes of src are used. Unless the end
// is reached, there is no room any more, or the rest of src, which must come again, is not
// enough to go on with.
func (f *inflater) run(p []byte, n int, src []byte) (out, used int, err error) {
	for goOn := true; goOn && f.stage != atEnd; {
		var m int
		switch f.stage {
		case atBlock:
			m, goOn, err = f.beginBlock(src[used:])
		case inStored:
			n, m, goOn = f.copyStored(p, n, src[used:])
		default:
			n, m, goOn, err = f.decode(p, n, src[used:])
		}
		used += m
	}
	return n, used, err
}

// left is the number of whole bytes that were taken and not used.
func (f *inflater) left() int { return int(f.nbits / 8) } //nolint:gosec // less than 8

// betweenBlocks reports whether a block has ended, not the last one, and no bit behind it
// is known.
func (f *inflater) betweenBlocks() bool { return f.stage == atBlock && f.nbits == 0 }

// restart goes on behind the last block, with the next byte.
func (f *inflater) restart() {
	f.align()
	f.stage, f.last = atBlock, false
}

func (f *inflater) align() {
	f.bits >>= f.nbits % 8
	f.nbits -= f.nbits % 8
}

// forget gives back what can be made again.
func (f *inflater) forget() {
	if f.own != nil {
		codesPool.Put(f.own)
	}
	f.own, f.codes = nil, nil
}

func (f *inflater) endBlock() {
	f.stage = atBlock
	if f.last {
		f.stage = atEnd
	}
}

// copyStored copies bytes of a block that comes as it is.
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

// decode decodes a block of codes. Codes are used as long as all that belongs to one has
// come: its bits, those that follow, and the distance behind a length.
//
//nolint:funlen // it is the loop over every code of a message: a call in it would cost too much
func (f *inflater) decode(p []byte, n int, src []byte) (out, used int, ended bool, err error) {
	if n = f.finishCopy(p, n); f.copyLength > 0 {
		return n, 0, false, nil
	}
	codes := f.makeCodes()
	bits, nbits, pos := f.bits, f.nbits, 0
	for {
		if nbits < 48 { // all that belongs to one code
			if pos+8 <= len(src) { // some bits are taken twice, and are the same
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
		if e&entryKind == kindLiteral {
			if length == 0 {
				return n, pos, false, wire.ErrCorrupt
			}
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
		if f.copyDistance > n {
			return n, pos, false, wire.ErrCorrupt
		}
		if n = f.finishCopy(p, n); f.copyLength > 0 {
			break
		}
	}
	f.bits, f.nbits = bits&(1<<nbits-1), nbits
	return n, pos, ended, nil
}

// finishCopy copies what came out before, as far as there is room.
func (f *inflater) finishCopy(p []byte, n int) int {
	length, distance := f.copyLength, f.copyDistance
	if distance >= 8 && n+length+8 <= len(p) && length <= 64 { // a little too much, which comes again
		for from, to := n-distance, n; to < n+length; from, to = from+8, to+8 {
			binary.LittleEndian.PutUint64(p[to:], binary.LittleEndian.Uint64(p[from:]))
		}
		f.copyLength = 0
		return n + length
	}
	f.copyLength = max(0, n+length-len(p))
	end := min(n+length, len(p))
	for from := n - distance; n < end; { // what was copied is there to be copied
		n += copy(p[n:end], p[from:n])
	}
	return n
}

// makeCodes returns the tables of the block.
func (f *inflater) makeCodes() *codes {
	switch {
	case f.codes != nil:
	case f.fixed:
		f.codes = fixedCodes()
	default:
		f.buildCodes() // they were found good before
	}
	return f.codes
}

// buildCodes makes the tables from the lengths, and reports whether these are of any.
func (f *inflater) buildCodes() bool {
	f.takeOwn()
	f.codes = f.own
	return f.codes.build(f.lengths[:f.literals], f.lengths[f.literals:f.literals+f.distances])
}

func (f *inflater) takeOwn() {
	if f.own == nil {
		f.own = codesPool.Get().(*codes) //nolint:errcheck // it is
	}
}
