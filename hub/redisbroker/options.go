package redisbroker

import (
	"log/slog"
	"time"
)

const (
	defaultPrefix       = "websocket.hub"
	defaultOutgoing     = 8 << 20  // bytes
	defaultIncoming     = 32 << 20 // bytes
	defaultPingInterval = 10 * time.Second
)

// Options tunes a [Broker]. The zero value is ready to use.
type Options struct {
	// Prefix is the first part of all channels and keys. Hubs with the same prefix form one network. It
	// consists of printable ASCII characters other than spaces, quotes, backslashes, braces and
	// the wildcards *, ? and []. Empty means "websocket.hub".
	Prefix string

	// Outgoing limits the messages, in bytes, that wait because Redis does not accept them.
	// Publish fails with ErrOutgoingFull rather than exceed it. Zero or less means 8 MiB.
	Outgoing int

	// Incoming limits the received messages, in bytes and of all topics together, that wait for the
	// hub. Further messages are lost: Stats counts them, and OnError is told of ErrIncomingFull.
	// Zero or less means 32 MiB.
	Incoming int

	// PingInterval is how long a connection for subscriptions may be silent before the server has to
	// answer a ping. If it does not within the same time again, the connection is replaced. Zero
	// or less means 10 seconds.
	PingInterval time.Duration

	// Unsharded makes the Broker publish on a Redis Cluster as on a single server: each message goes to all
	// servers of the cluster. It keeps the order of all that a node publishes, not only to one
	// topic, and costs the cluster more. Clusters of version 6 have nothing else. All nodes must
	// have the same setting. It has no effect without a cluster.
	Unsharded bool

	// Logger is told when an outage begins and ends, and of the errors that OnError gets. Nil
	// means slog.Default().
	Logger *slog.Logger

	// OnOutage, if not nil, is called once when an outage begins, with its reason, and once when
	// it has ended, with nil. In between, a connection to Redis is missing, and messages from or to other nodes
	// may be lost. One call follows the other. The caller is a goroutine of the Broker: OnOutage
	// must not wait.
	OnOutage func(reason error)

	// OnError, if not nil, is called with errors that occur after the method has returned: a
	// *LostError, ErrIncomingFull, a panic of the hub. Several goroutines of the Broker may call it at
	// the same time. It must not wait.
	OnError func(err error)
}

func orDefault[N int | time.Duration](n, fallback N) N {
	if n <= 0 {
		return fallback
	}
	return n
}
