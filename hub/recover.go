package hub

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/goyave-contrib/websocket"
)

// A recoveringBroker turns panics of a Broker into errors. A panic would otherwise escape with
// locks held, in any goroutine in which a member leaves, or out of Shutdown.
type recoveringBroker struct{ broker Broker }

var (
	_ Broker             = recoveringBroker{}
	_ SubscriptionWaiter = recoveringBroker{}
)

func (b recoveringBroker) Open(receive func(t Topic, payload []byte)) { b.broker.Open(receive) } // a panic is for the caller of New

func (b recoveringBroker) Publish(t Topic, payload []byte) (err error) {
	defer recoverTo(&err)
	return b.broker.Publish(t, payload)
}

func (b recoveringBroker) Subscribe(t Topic) (err error) {
	defer recoverTo(&err)
	return b.broker.Subscribe(t)
}

func (b recoveringBroker) Unsubscribe(t Topic) (err error) {
	defer recoverTo(&err)
	return b.broker.Unsubscribe(t)
}

func (b recoveringBroker) AwaitSubscribed(ctx context.Context) (err error) {
	defer recoverTo(&err)
	if waiter, ok := b.broker.(SubscriptionWaiter); ok {
		return waiter.AwaitSubscribed(ctx)
	}
	return nil
}

// A recoveringHistory turns panics of a HistoryBroker into errors.
type recoveringHistory struct{ HistoryBroker }

func (b recoveringHistory) Append(ctx context.Context, t Topic, payload []byte, keep Keep) (e Entry, err error) {
	defer recoverTo(&err)
	return b.HistoryBroker.Append(ctx, t, payload, keep)
}

func (b recoveringHistory) Read(ctx context.Context, t Topic, after Position, limit int) (entries []Entry, newest Position, err error) {
	defer recoverTo(&err)
	return b.HistoryBroker.Read(ctx, t, after, limit)
}

func (b recoveringBroker) Close() (err error) {
	defer recoverTo(&err)
	return b.broker.Close()
}

// A recoveringPresence is a recoveringBroker for a [PresenceBroker].
type recoveringPresence struct {
	recoveringBroker
	keeper PresenceBroker
}

var _ PresenceBroker = recoveringPresence{}

func (b recoveringPresence) RenewNode(ctx context.Context, node string, ttl time.Duration) (lease Lease, err error) {
	defer recoverTo(&err)
	return b.keeper.RenewNode(ctx, node, ttl)
}

func (b recoveringPresence) PutPresence(ctx context.Context, room Topic, node string, revision uint64, changes []PresenceEntry) (err error) {
	defer recoverTo(&err)
	return b.keeper.PutPresence(ctx, room, node, revision, changes)
}

func (b recoveringPresence) ListPresence(ctx context.Context, room Topic) (list []NodePresence, err error) {
	defer recoverTo(&err)
	return b.keeper.ListPresence(ctx, room)
}

func (b recoveringPresence) PresenceRevisions(ctx context.Context, rooms []Topic) (revisions []map[string]uint64, err error) {
	defer recoverTo(&err)
	return b.keeper.PresenceRevisions(ctx, rooms)
}

func (b recoveringPresence) RemoveNode(ctx context.Context, node string) (err error) {
	defer recoverTo(&err)
	return b.keeper.RemoveNode(ctx, node)
}

// logFailure tells slog's default logger of a failure that no caller receives. A panic of the logger
// ends here.
func logFailure(message string, failure error) {
	var err error
	defer recoverTo(&err)
	slog.Default().Error(message, "error", failure)
}

// recoverTo turns a panic into an error. It must be deferred.
func recoverTo(err *error) {
	if p := recover(); p != nil {
		*err = &websocket.PanicError{Value: p, Stack: debug.Stack()}
	}
}
