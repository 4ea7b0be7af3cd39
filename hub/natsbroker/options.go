package natsbroker

const (
	defaultPrefix   = "websocket.hub"
	defaultOutgoing = 8 << 20  // bytes
	defaultIncoming = 64 << 10 // messages
)

// Options tunes a [Broker]. The zero value is ready to use.
type Options struct {
	// Prefix is the first part of all subjects: one or more tokens, separated by dots. Hubs
	// with the same prefix form one network. Empty means "websocket.hub".
	Prefix string

	// Outgoing limits the messages, in bytes, that wait because the connection does not
	// accept them. Publish fails with ErrOutgoingFull rather than exceed it. nats.go has a
	// buffer of its own, which it fills first while it is disconnected (see
	// nats.ReconnectBufSize). Zero or less means 8 MiB.
	Outgoing int

	// Incoming limits the number of received messages, of all topics together, that wait for
	// the hub. Further messages are lost, and nats.go calls the connection's error handler with
	// nats.ErrSlowConsumer. Zero or less means 65536, so that a burst of short messages fits;
	// with long messages, this may take much memory.
	Incoming int
}

func orDefault(n, fallback int) int {
	if n <= 0 {
		return fallback
	}
	return n
}
