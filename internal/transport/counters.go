package transport

import "sync/atomic"

// counters count the traffic of one connection. An Endpoint adds up the counters of its
// connections when it is asked, because shared counters would be contended.
type counters struct {
	messagesReceived, messagesSent atomic.Uint64
	bytesReceived, bytesSent       atomic.Uint64
	closeSent                      atomic.Int32 // code of our close frame, zero without one

	// backlogTaken is the number of bytes, modulo 2^32, that had left the kernel when NoteBacklog
	// was last called. It is here because it fills a gap.
	backlogTaken atomic.Uint32
}

// Counts is the traffic of one connection until now.
type Counts struct {
	// MessagesReceived and MessagesSent count text and binary messages whose last frame was
	// read or written.
	MessagesReceived, MessagesSent uint64

	// BytesReceived and BytesSent count bytes on the network: all frames with their headers,
	// as they are compressed.
	BytesReceived, BytesSent uint64

	// CloseReceived and CloseSent are the codes of the close frames, 1005 for an empty one.
	// Zero means that there was none.
	CloseReceived, CloseSent int
}

// Counts returns the counts of this moment.
func (t *Conn) Counts() Counts {
	return Counts{
		MessagesReceived: t.counts.messagesReceived.Load(),
		MessagesSent:     t.counts.messagesSent.Load(),
		BytesReceived:    t.counts.bytesReceived.Load(),
		BytesSent:        t.counts.bytesSent.Load(),
		CloseReceived:    t.closeReceived(),
		CloseSent:        int(t.counts.closeSent.Load()),
	}
}
