package natsbroker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	defaultMessages = 1000
	defaultAge      = 24 * time.Hour
	minAge          = time.Second
)

var (
	// ErrKeep is the error of Append for a room that shall keep more than
	// JetStreamOptions.Messages or JetStreamOptions.Age allow, or nothing.
	ErrKeep = errors.New("natsbroker: the options do not allow what the room shall keep")

	// ErrNoJetStream is the error of a call that ended before a server with JetStream answered: it is away,
	// elects a leader, or JetStream is not enabled.
	ErrNoJetStream = errors.New("natsbroker: no server answers for JetStream")

	// ErrNoLease is the error of PutPresence for a node that has no lease.
	ErrNoLease = errors.New("natsbroker: the node has no lease")

	// ErrHistoryBegan tells the connection's error handler that the stream with the history had lost
	// messages, and that history begins anew, with a new epoch.
	ErrHistoryBegan = errors.New("natsbroker: history was lost and begins anew")

	errRooms   = errors.New("natsbroker: only rooms have history and presence")
	errOptions = errors.New("natsbroker: invalid options")
)

// JetStreamOptions tunes a [JetStreamBroker]. The zero value is ready to use. All nodes must have the
// same options, except during a deployment that makes Messages or Age larger.
type JetStreamOptions struct {
	Options

	// Streams is the first part of the names of the streams. Empty means the Prefix with an
	// underscore for each dot.
	Streams string

	// Replicas is the number of servers that keep each stream, from 1 to 5. Zero means 1. The
	// broker applies it when it creates a stream and leaves existing streams as they are.
	Replicas int

	// Storage says where servers keep messages. The zero value means files. The broker applies it
	// when it creates a stream and leaves existing streams as they are.
	Storage jetstream.StorageType

	// Messages is the largest hub.Keep.Messages of all rooms. Zero or less means 1000.
	Messages int

	// Age is the longest hub.Keep.Age of all rooms, at least 1 second. Zero or less means 24 hours.
	// Servers keep messages for twice this time, so that a room keeps its position while it is
	// quiet.
	Age time.Duration

	// Bytes limits the size of the history of all rooms together. When the history is full, the
	// oldest messages of all rooms are dropped. Zero or less means no limit but that of the
	// account.
	Bytes int64
}

// A JetStreamBroker is a [Broker] that also keeps history and presence, in streams of NATS JetStream.
// Its methods may be called from any goroutine. Append, Read and the methods of presence wait for the
// servers until their context ends. While servers are away or elect a leader, these methods try again.
// The servers must be of version 2.11 or later.
type JetStreamBroker struct {
	*Broker
	js        jetstream.JetStream
	apiPrefix string
	options   JetStreamOptions

	ctx    context.Context // ends when Close begins
	cancel context.CancelCauseFunc
	slots  chan struct{} // limits the requests under way

	history historyStream
	state   *stateStream

	appending struct {
		sync.Mutex
		waiting map[string]chan entryBefore // by message ID
	}
	receiveEntry func(hub.Topic, hub.Entry) // nil until OpenHistory
}

var (
	_ hub.HistoryBroker  = (*JetStreamBroker)(nil)
	_ hub.PresenceBroker = (*JetStreamBroker)(nil)
)

// maxRequests limits the requests under way. More of them wait.
const maxRequests = 256

// NewJetStream returns a broker with history and presence, on the connection of js. It follows the rules
// of [New], creates its streams when they are first used, and never deletes one, except when a stream
// has lost messages that were acknowledged: see [ErrHistoryBegan].
func NewJetStream(js jetstream.JetStream, options JetStreamOptions) (*JetStreamBroker, error) {
	if js == nil {
		return nil, fmt.Errorf("natsbroker: %w", nats.ErrConnectionClosed)
	}
	if options.Replicas < 0 || options.Replicas > 5 {
		return nil, fmt.Errorf("%w: Replicas is %d", errOptions, options.Replicas)
	}
	if options.Age > 0 && options.Age < minAge {
		return nil, fmt.Errorf("%w: Age is %v, the least is %v", errOptions, options.Age, minAge)
	}
	core, err := New(js.Conn(), options.Options)
	if err != nil {
		return nil, err
	}
	options.Prefix = core.prefix
	options.Streams = cmp.Or(options.Streams, strings.ReplaceAll(core.prefix, ".", "_"))
	if strings.ContainsAny(options.Streams, `.*>/\ `) || strings.ContainsFunc(options.Streams, unsafe) {
		return nil, fmt.Errorf("%w: Streams is %q", errOptions, options.Streams)
	}
	options.Replicas = max(options.Replicas, 1)
	options.Messages = orDefault(options.Messages, defaultMessages)
	if options.Age <= 0 {
		options.Age = defaultAge
	}
	if options.Bytes <= 0 {
		options.Bytes = -1
	}
	b := &JetStreamBroker{
		Broker:    core,
		js:        js,
		apiPrefix: apiPrefix(js.Options()),
		options:   options,
		slots:     make(chan struct{}, maxRequests),
		history:   historyStream{lock: make(chan struct{}, 1)},
		state:     newStateStream(),
	}
	b.ctx, b.cancel = context.WithCancelCause(context.Background())
	b.appending.waiting = make(map[string]chan entryBefore)
	core.entry = b.receiveStored
	return b, nil
}

func apiPrefix(options jetstream.JetStreamOptions) string {
	switch {
	case options.Domain != "":
		return "$JS." + options.Domain + ".API."
	case options.APIPrefix != "":
		return strings.TrimSuffix(options.APIPrefix, ".") + "."
	default:
		return "$JS.API."
	}
}

// Close ends requests under way and then does what [Broker.Close] does.
func (b *JetStreamBroker) Close() error {
	b.cancel(ErrClosed)
	return b.Broker.Close()
}

// topicTokens returns the last tokens of the subjects of a topic that has history or presence.
func topicTokens(t hub.Topic) (string, error) {
	switch t.Kind {
	case hub.KindRoom:
		return "room." + token(t.Name), nil
	case hub.KindKey:
		return "key." + token(t.Name), nil
	default:
		return "", errRooms
	}
}
