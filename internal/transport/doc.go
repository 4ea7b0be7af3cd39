// Package transport is the engine: one connection of the WebSocket protocol (RFC 6455), frame
// by frame. It reads and writes messages, keeps deadlines, performs the closing handshake and
// records how the connection ended. It knows no HTTP, no controller and no log: it reports to
// the layer above by [Events].
//
// # The life of a Conn
//
// [New] takes the connection over, with what the peer sent early. [Conn.SetEvents] connects it to
// the layer above. A server then writes its 101 with [Conn.WriteResponse]; a client has read it
// before. [Conn.Open] ends the opening handshake. When the socket is closed, [Conn.StopBackground]
// waits for what the Conn runs by itself. Only the calls that close need to be made: Conn has no
// finalizer.
//
// # Goroutines
//
// One goroutine at a time may read: [Conn.ReadMessage], [Conn.ReadOrPark], [Conn.NextReader], the
// [Reader] of a message, and [GorillaView.Read]. It is called the reading goroutine. The methods of
// Events that it calls, Control and PeerClosed, run on it.
//
// One goroutine at a time may use a message that [Conn.NextWriter] returned, and the writing
// half of a GorillaView. The caller of UseDeflate and SetEvents must be the only one that has the
// Conn. One goroutine does the opening handshake, to Open; others may only end the Conn
// meanwhile. All other methods may be called from any goroutine at any time.
//
// # Locks
//
// Three locks may be held during I/O. They are of type [xsync.Lock]: a goroutine that waits for
// one gives up when the socket is closed, and a writer also at its deadline and when its
// context ends.
//
//   - messageLock: a message that is written, from its first frame to its last.
//   - reading.lock: the read buffer, the loan, and what is known of the frame and the message
//     that are read. It is held for one read, and free while the caller, or a handler of the
//     layer above, works with what was read.
//   - frameLock: one frame that is written, the cork, and the write deadline of the socket.
//
// Mutexes (state.mu, readDeadlines.mu, queue.mu, watch.mu) guard memory. No mutex is held while
// the connection is read from or written to.
//
// The order is: messageLock, reading.lock, frameLock, a mutex. The holder of reading.lock takes
// frameLock only within a bound of its own (the close frame after a violation), or if it is
// free (the cork). What only the reading goroutine uses has no lock.
//
// # Files
//
// The connection and its end:
//
//   - conn.go: Conn, from New to the closing of the socket
//   - config.go, settings.go, counters.go, error.go, events.go, flags.go: its parts
//   - state.go: how it ends, as a table of transitions
//   - close.go: the closing handshake
//   - expiry.go: timers that bound the end
//   - hangup.go: what a peer that hung up had sent
//   - violation.go: what follows a violation of the protocol by the peer
//   - nodeadline.go: networks that cannot set deadlines
//   - allocated.go: what an idle connection holds, for tests
//
// Reading:
//
//   - read.go: the read lock, the wait for the peer, and what a failed read means
//   - read_deadline.go: deadlines and contexts of reads
//   - park.go: connections that wait without a goroutine
//   - buffer.go: the read buffer
//   - socket_unix.go, socket_other.go: reading from a socket without holding memory
//   - frame.go: headers, control frames, the peer's close frame
//   - payload.go: the payload of a message, whatever frames it has
//   - arrival.go: memory for a payload that is read whole
//   - content.go: the limit and UTF-8
//   - message.go: whole messages
//   - inflate.go: compressed messages
//   - message_reader.go, reader.go: messages that are read piece by piece
//
// Writing:
//
//   - write.go: whole messages and frames
//   - write_deadline.go, write_lock.go: what bounds a write, and waiting for its locks
//   - send.go, send_deadline.go: bytes to the socket, and the deadline that it has
//   - progress.go, watch.go, unsent_linux.go, unsent_other.go: peers that take their time
//   - backlog.go: whether a ping has to wait in the kernel
//   - cork.go: small frames that leave together
//   - writer.go: messages that are written piece by piece
//   - own.go: pings, pongs and heartbeats
//   - queue.go, replace.go, index.go, flush.go: messages that are enqueued
//   - deflate.go: which messages are compressed
//
// Both:
//
//   - gorilla.go, gorilla_write.go: the view for gorilla's connection
package transport
