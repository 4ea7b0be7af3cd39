package transport

import "sync/atomic"

// counters are those of one connection. An Endpoint sums them up when it is asked, so that
// its connections do not contend for shared ones.
type counters struct {
	MessagesReceived, MessagesSent atomic.Uint64
	BytesReceived, BytesSent       atomic.Uint64
	CloseSent                      atomic.Int32 // code of our close frame; 0: none

	backlogTaken atomic.Uint32 // bytes that the peer had at the last noteBacklog, modulo 2^32; here, where it takes no room
}
