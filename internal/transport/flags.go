package transport

import "sync/atomic"

// An ioFlag is something that holds for the read or the write under way, or for later ones.
type ioFlag uint32

const (
	readByContext     ioFlag = 1 << iota // a context bounds the read; of the reading goroutine
	writeByContext                       // a context bounds the write; of the holder of frameLock
	writeUntimed                         // the connection has refused the deadline of the write; likewise
	writeStreamed                        // the message is written piece by piece; of the holder of messageLock
	writeUncompressed                    // nothing is compressed, though that was agreed on; of later writes
)

// ioFlags is a set of flags.
type ioFlags struct{ bits atomic.Uint32 }

func (f *ioFlags) has(flag ioFlag) bool { return ioFlag(f.bits.Load())&flag != 0 }

func (f *ioFlags) set(flag ioFlag) { f.bits.Or(uint32(flag)) }

// clear reports whether the flag was set.
func (f *ioFlags) clear(flag ioFlag) bool { return ioFlag(f.bits.And(^uint32(flag)))&flag != 0 }
