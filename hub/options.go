package hub

import "github.com/goyave-contrib/websocket"

// Options tunes a [Hub]. The zero value is ready to use.
type Options struct {
	// Queue limits the messages that wait to be written to one member. The zero value means
	// 2 MiB in any number of messages. A member that reads without delay can always take
	// Queue.Bytes in one burst, whatever its network. A message that is longer by itself is
	// sent to no member: see ErrTooLong.
	Queue websocket.QueueLimit

	// WhenFull says what happens when a member's queue is full, for messages that don't say it
	// themselves: see Message.WhenFull. Zero means Disconnect.
	WhenFull Policy

	// OnFull is called when a member's queue becomes full, and again only after a message has
	// fitted in the meantime. It runs in a goroutine of its own. With Disconnect, the connection
	// is closed when OnFull has returned. A panic counts as a panic of Serve: see
	// [websocket.Conn.Go]. Once Serve has returned, slog's default logger gets it. May be nil;
	// [Hub.Stats] counts in any case.
	OnFull func(*Member)

	// Observer is told who joins and leaves, and which rooms begin and end. May be nil.
	Observer *Observer

	// History says which rooms keep their last messages. Nil: none does.
	History *HistoryOptions

	// Presence switches on who is in a room, on all nodes: see [Hub.Present]. Nil means off.
	Presence *PresenceOptions

	// Broker connects the hub with the hubs of other nodes. Nil means a single node. Shutdown
	// closes the broker.
	Broker Broker
}

// A Policy says what happens when a member's queue is full.
type Policy int

const (
	// Disconnect closes the connection with code 1013 (try again later), so that the client
	// learns that it has missed messages and can connect again.
	Disconnect Policy = iota
	// DropNewest drops the new message and keeps the queued ones, which are older. The client
	// does not learn of it.
	DropNewest
	// DropOldest drops the oldest queued messages that were sent with DropOldest as well and
	// have not begun to be written, until there is room for the new one. Where there are not
	// enough of them, it drops the new one. The client does not learn of it.
	DropOldest
)

func (p Policy) isValid() bool { return p >= Disconnect && p <= DropOldest }
