package natsbroker

const (
	defaultPrefix   = "websocket.hub"
	defaultOutgoing = 8 << 20  // bytes
	defaultIncoming = 64 << 10 // messages
)

// Options tunes a [Broker]. The zero value is ready to use.
type Options struct {
	// Prefix begins the subjects: one or more tokens, with dots between them. Hubs that
	// have the same one hear each other. Empty means "websocket.hub".
	Prefix string

	// Outgoing bounds what waits to be published because the connection does not take
	// it, in bytes: Publish fails with ErrOutgoingFull where it would be exceeded. It
	// comes on top of what nats.go keeps itself while it is disconnected (see
	// nats.ReconnectBufSize). Zero or less means 8 MiB.
	Outgoing int

	// Incoming bounds the messages that have come and wait for the hub, those to all
	// topics together. What finds no place is lost, and nats.go tells the connection's
	// error handler of nats.ErrSlowConsumer. Zero or less means 65536, which a burst of
	// short messages may need; of long ones it may be a lot of memory.
	Incoming int
}

func orDefault(n, standard int) int {
	if n <= 0 {
		return standard
	}
	return n
}
