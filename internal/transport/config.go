package transport

import (
	"sync"
	"time"
)

// Config is the settings of a transport, resolved: those of all connections of an Endpoint,
// or of one Dial. It must not be changed once a transport points to it.
type Config struct {
	WriteTimeout time.Duration // without progress; 0: unlimited
	CloseTimeout time.Duration // that a connection begins with; 0: no waiting

	Client bool // we are the client

	Panics *Panics // of the net.Conn beneath

	// KeepSentAt has the age kept at which the last message left, for heartbeats.
	KeepSentAt bool

	SkipUTF8Validation bool // text that is read need not be UTF-8

	CompressionThreshold int // bytes from which on a whole message is compressed, if any is

	// WriteBufferSize is how much of a streamed message is collected for a frame, in
	// bytes. Zero or less means 4 KiB.
	WriteBufferSize int

	// ReadBuffers is a pool of the buffers to read into, which may be shared by
	// connections with buffers of other sizes.
	ReadBuffers *sync.Pool

	// ReadBufferSize is the size of these buffers in bytes. Zero or less means the
	// default for the kind of connection.
	ReadBufferSize int
}
