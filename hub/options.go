package hub

import "github.com/goyave-contrib/websocket"

// Options tunes a [Hub]. The zero value is ready to use.
type Options struct {
	// Queue bounds what waits for one member: 2 MiB in any number of messages, unless
	// its fields say otherwise. A member that reads at once is never too slow for what
	// fits into Queue.Bytes, whatever its connection is. A message that is longer
	// reaches nobody: see ErrTooLong.
	Queue websocket.QueueLimit

	// WhenFull says what becomes of a member whose queue is full.
	WhenFull Policy

	// OnFull is called when a member's queue is full, once until there is room again,
	// in a goroutine of its own and before the connection is closed, which waits for
	// it. A panic counts as one of Serve: see [websocket.Conn.Go]. Nil means nobody is
	// told but [Hub.Stats].
	OnFull func(*Member)

	// Broker connects the hub with those of other nodes. Nil means there is one node.
	// The hub closes it.
	Broker Broker
}

// A Policy says what becomes of a member whose queue is full.
type Policy int

const (
	// Disconnect closes the connection with code 1013 (try again later): the client
	// knows that it missed something, and connects again.
	Disconnect Policy = iota
	// Drop drops the newest message, and nobody tells the client: it gets what waits
	// before, which is older.
	Drop
)
