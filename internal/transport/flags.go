package transport

import "sync/atomic"

// An ioFlag is a property of the read or the write in progress, or of later ones.
type ioFlag uint32

const (
	readByContext     ioFlag = 1 << iota // a context bounds the read; set by the reading goroutine
	writeByContext                       // a context bounds the write; set by the holder of frameLock
	writeUntimed                         // the network did not set the deadline of the write; likewise
	writeStreamed                        // a message is written piece by piece; set by the holder of messageLock
	socketShown                          // the application has the connection beneath, and may close it
	writeUncompressed                    // later messages are not compressed, although that was negotiated
	moreBuffered                         // the read buffer contains another whole frame
)

// ioFlags is a set of flags that several goroutines may change at the same time.
type ioFlags struct{ bits atomic.Uint32 }

func (f *ioFlags) has(flag ioFlag) bool { return ioFlag(f.bits.Load())&flag != 0 }

func (f *ioFlags) set(flag ioFlag) { f.bits.Or(uint32(flag)) }

// clear clears a flag and reports whether it was set.
func (f *ioFlags) clear(flag ioFlag) bool { return ioFlag(f.bits.And(^uint32(flag)))&flag != 0 }
