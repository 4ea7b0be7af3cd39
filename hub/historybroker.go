package hub

import (
	"context"
	"errors"
	"time"
)

// A HistoryBroker is a [Broker] that keeps the last messages of rooms. The hub calls its methods
// from any goroutine, concurrently, and holds no lock. The package brokertest has tests for these
// rules.
type HistoryBroker interface {
	Broker

	// OpenHistory is called once, after Open and before any other method. From then on, the broker
	// calls receive with the entries that any hub appends to the topics that this hub has
	// subscribed to. It may leave out entries that this hub appends. Receive waits for no
	// connection and does not retain the payload. Several goroutines may call it, but only one at
	// a time for each topic.
	//
	// The broker need not repeat an entry that is lost on its way: the hub notices that Previous
	// does not fit, and reads what is missing. Nor need it remove entries that arrive twice.
	OpenHistory(receive func(t Topic, e Entry))

	// Append adds a payload to the history of a topic and returns its entry. The entry is kept
	// when Append returns nil; after an error, it may be kept all the same. Entries of one
	// topic have one order, the same for all hubs. Append drops the entries that keep does not
	// allow. The hub does not change the payload afterwards, and the broker may retain it but
	// must not change it.
	Append(ctx context.Context, t Topic, payload []byte, keep Keep) (Entry, error)

	// Read returns at most limit of the entries after a position, the oldest first. The zero
	// Position asks for the oldest that are kept. Any other is answered exactly: if its epoch is
	// not the topic's, its offset is greater than that of the newest entry, or an entry after it
	// is kept no more, the error is ErrHistoryLost, whatever the limit. An offset of 0 in the
	// topic's epoch is before the first entry. With a limit of 0 there are no entries.
	//
	// The second result is the position of the newest entry that the topic ever had, kept or not.
	// Its offset is 0 if there was none. Its epoch is never empty: the broker begins one for a
	// topic that has none yet.
	Read(ctx context.Context, t Topic, after Position, limit int) ([]Entry, Position, error)
}

// A Position names an entry in the history of a room. The zero value names none.
type Position struct {
	// Epoch changes when the history begins anew and offsets can no longer be compared, for
	// example because a broker has lost its data. As long as a hub is subscribed to the topic,
	// it changes for no other reason. It is any string of at most 128 bytes.
	Epoch string
	// Offset grows from entry to entry of a room, not always by one. The first is at least 1.
	Offset uint64
}

// An Entry is a message in the history of a room.
type Entry struct {
	Position
	// Previous is the offset of the entry before this one, kept or not; 0 if there was none.
	Previous uint64
	Payload  []byte
}

// Keep says how many messages the history of a room keeps. The zero value keeps none.
type Keep struct {
	// Messages is the most messages that are kept. It must be positive for a room with history.
	Messages int
	// Age is how long a message is kept at most. Zero means 24 hours. A broker may keep it a
	// little longer.
	Age time.Duration
}

const defaultAge = 24 * time.Hour

func (k Keep) age() time.Duration {
	if k.Age <= 0 {
		return defaultAge
	}
	return k.Age
}

// ErrNoHistory is the error of a room that has no history: Options.History keeps nothing of it, or the
// Broker is no [HistoryBroker]. A HistoryBroker that can keep none, because of how it is set up, returns
// it from Append and Read, wrapped or not.
var ErrNoHistory = errors.New("hub: no history is kept of this room")

// ErrHistoryLost is the error of a position whose continuation can't be had: it is of another epoch,
// or messages after it are no longer kept.
var ErrHistoryLost = errors.New("hub: history since this position is not kept any more")
