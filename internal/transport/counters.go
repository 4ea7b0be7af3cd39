package transport

import "sync/atomic"

// counters are those of one connection. An Endpoint sums them up when it is asked, so that
// its connections do not contend for shared ones.
type counters struct {
	messagesReceived, messagesSent atomic.Uint64
	bytesReceived, bytesSent       atomic.Uint64
	closeSent                      atomic.Int32 // code of our close frame; 0: none

	backlogTaken atomic.Uint32 // bytes that the peer had at the last noteBacklog, modulo 2^32; here, where it takes no room
}

// Counts is what one connection has counted until now.
type Counts struct {
	// MessagesReceived and MessagesSent are text and binary messages whose last frame has
	// come or left.
	MessagesReceived, MessagesSent uint64

	// BytesReceived and BytesSent are what the network has seen: all frames, with their
	// headers, before decompression.
	BytesReceived, BytesSent uint64

	// CloseReceived and CloseSent are the codes of the close frames, 1005 for an empty one.
	// Zero means that there was none.
	CloseReceived, CloseSent int
}

// Counts returns what was counted. It may be called from any goroutine.
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
