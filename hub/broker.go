package hub

import "context"

// A Broker carries what the hubs of several nodes tell each other. Delivery is at most once: the hub
// does not repeat what the broker loses. What one hub publishes to one topic must arrive in order.
// What it publishes to different topics should arrive in order, too. Otherwise a message to several
// targets may overtake an earlier message to a single room or key, or be overtaken by a later one.
//
// The hub calls all methods except Open from any goroutine, concurrently. It holds locks that
// receive needs when it calls Subscribe and Unsubscribe: they must wait neither for the network
// nor for a call of receive, which may itself call them. The hub recovers a panic of any method
// except Open and treats it as the method's error, a *websocket.PanicError. The package brokertest
// has tests for these rules.
type Broker interface {
	// Open is called once, before any other method. From then on, the broker calls receive
	// with what other hubs publish to Everyone and to the topics that this hub has subscribed
	// to, but never with what this hub itself publishes. Receive waits for no connection and
	// does not retain the payload. Several goroutines may call it, but only one at a time for
	// each topic.
	Open(receive func(t Topic, payload []byte))
	// Publish sends a payload to the other hubs. The hub does not change the payload
	// afterwards, and the broker may retain it but must not change it.
	Publish(t Topic, payload []byte) error
	// Subscribe is called when a room or a key gets its first member on this node, and for the
	// node when it gets its first member. With an error, the member does not enter.
	Subscribe(t Topic) error
	// Unsubscribe is called when a room, a key or the node has lost its last member on this
	// node. Receive may still be called for what was on its way. The error is ignored.
	Unsubscribe(t Topic) error
	// Close ends the broker. Once it has returned, receive is not called any more, and
	// Publish and Subscribe return errors.
	Close() error
}

// A SubscriptionWaiter is a [Broker] that knows when its subscriptions have taken effect.
// [Member.JoinContext] and [Member.TakeKey] wait for that; with other brokers they do not.
type SubscriptionWaiter interface {
	// AwaitSubscribed returns nil when all subscriptions that the hub asked for before the call
	// are in effect: what any hub publishes to their topics from now on reaches receive. If ctx
	// ends first, or they can take effect no more, it returns an error. The hub holds no
	// lock when it calls it, from any goroutine, concurrently.
	AwaitSubscribed(ctx context.Context) error
}

// A Topic names members: those in a room, those with a key, or all. [Room], [Key] and [Everyone]
// return one. A [Broker] sees one more kind of topic: some members of one node.
type Topic struct {
	Kind Kind
	Name string // of the room or the node, or the key; any string; empty for Everyone
}

// A Kind says what a [Topic] names.
type Kind int

// The kinds of topics. The values are fixed: brokers may send them over the network.
const (
	KindEveryone Kind = iota // all members
	KindRoom                 // the members in a room
	KindKey                  // the members with a key
	KindNode                 // some members of one node; only the hub itself uses it

	kindMember // one member; no broker sees it as a topic
)
