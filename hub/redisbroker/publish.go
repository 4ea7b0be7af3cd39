package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/redis/go-redis/v9"
)

// A batch is what one pipeline sends: if the connection breaks, it is unknown what of it arrived.
const (
	batchMessages = 1024
	batchBytes    = 1 << 20
)

// A message waits to be published.
type message struct {
	channel string
	data    []byte
	probe   uint64 // its number, if it is one
}

func (m message) size() int { return len(m.channel) + len(m.data) }

// A LostError tells Options.OnError of messages that were published but did not reach Redis, or may
// not have.
type LostError struct {
	Messages int   // their number
	Err      error // why the first is lost
}

func (e *LostError) Error() string {
	return fmt.Sprintf("redisbroker: %d messages are lost, or may be: %v", e.Messages, e.Err)
}

// Unwrap returns the reason.
func (e *LostError) Unwrap() error { return e.Err }

// Publish queues a payload for the hubs of other nodes. It returns nil once the payload is in the
// queue: it is published as soon as Redis accepts it, in the order of the calls. The
// error is one of
//   - [ErrOutgoingFull]
//   - [ErrClosed]
//   - an error that wraps redis.ErrClosed, when the client has been closed
func (b *Broker) Publish(t hub.Topic, payload []byte) error {
	m := message{channel: b.channel(t), data: make([]byte, 0, len(b.self)+len(payload))}
	m.data = append(append(m.data, b.self[:]...), payload...)

	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	if b.bytes+m.size() > b.options.Outgoing {
		return ErrOutgoingFull
	}
	b.messages = append(b.messages, m)
	b.bytes += m.size()
	signal(b.sendWork)
	return nil
}

// send publishes what is queued, until the Broker or the client is closed.
func (b *Broker) send() {
	var wait backoff
	for {
		batch := b.nextBatch()
		if len(batch) == 0 {
			select {
			case <-b.sendWork:
				continue
			case <-b.stop:
			}
			if batch = b.nextBatch(); len(batch) == 0 {
				return
			}
		}
		err := b.sendBatch(batch)
		if err == nil {
			wait.reset()
			b.outages.end("publish")
			continue
		}
		if errors.Is(err, redis.ErrClosed) && errors.Is(b.ping(batch[0].channel), redis.ErrClosed) {
			b.fail()
		}
		select {
		case <-b.stop: // nobody waits for Redis to come back
			return
		default:
		}
		if b.failure() != nil {
			return
		}
		b.outages.begin("publish", err)
		for wait.sleep(b.ctx) {
			if b.ping(b.nextChannel(batch)) == nil { // first: a pipeline that breaks may lose messages
				break
			}
		}
	}
}

// nextBatch returns the first messages of the queue.
func (b *Broker) nextBatch() []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, bytes := 0, 0
	for n < len(b.messages) && n < batchMessages && (n == 0 || bytes+b.messages[n].size() <= batchBytes) {
		bytes += b.messages[n].size()
		n++
	}
	batch := b.messages[:n:n]
	b.messages = b.messages[n:]
	if len(b.messages) == 0 {
		b.messages = nil // so that a long queue does not keep its memory
	}
	return batch
}

// nextChannel returns the channel of the message that is sent next, or else of the last batch.
func (b *Broker) nextChannel(last []message) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.messages) > 0 {
		return b.messages[0].channel
	}
	return last[0].channel
}

// sendBatch publishes messages. With an error, those that Redis did certainly not take are at the head of the
// queue again.
func (b *Broker) sendBatch(batch []message) error {
	var cmds []*redis.IntCmd
	err := recovered(func() (err error) {
		cmds, err = b.pipeline(b.sendCtx, batch)
		return err
	})
	if cmds == nil && err != nil {
		b.putBack(batch, batch)
		return err
	}
	var again []message
	lost := 0
	var reason, failed error
	for i, cmd := range cmds {
		switch err := cmd.Err(); {
		case err == nil:
			if batch[i].probe > 0 {
				b.takenProbes.Store(batch[i].probe)
			}
		case notDone(err):
			again = append(again, batch[i])
			failed = err
		default:
			lost++
			if reason == nil {
				reason = err
			}
			if !refused(err) {
				failed = err
			}
		}
	}
	b.putBack(batch, again)
	if lost > 0 {
		b.lost.Add(uint64(lost))
		b.report(&LostError{Messages: lost, Err: reason})
	}
	return failed
}

// pipeline sends a batch. It returns a nil slice if it was not sent.
func (b *Broker) pipeline(ctx context.Context, batch []message) ([]*redis.IntCmd, error) {
	command, client, err := b.publisher(ctx)
	if err != nil {
		return nil, err
	}
	pipe := client.Pipeline()
	cmds := make([]*redis.IntCmd, len(batch))
	for i, m := range batch {
		cmds[i] = redis.NewIntCmd(ctx, command, m.channel, m.data)
		cmds[i].SetFirstKeyPos(1)
		_ = pipe.Process(ctx, once{cmds[i]})
	}
	_, err = pipe.Exec(ctx) // each command has its own error
	return cmds, err
}

// once is a command that go-redis must not repeat when a connection breaks: Redis may have run it.
type once struct{ *redis.IntCmd }

// NoRetry says so.
func (once) NoRetry() bool { return true }

// putBack ends the sending of a batch. It puts the messages that have to be sent again at the head of the
// queue.
func (b *Broker) putBack(batch, again []message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes == 0 { // fail has emptied the queue
		return
	}
	for _, m := range batch {
		b.bytes -= m.size()
	}
	for _, m := range again {
		b.bytes += m.size()
	}
	if len(again) > 0 {
		b.messages = append(again, b.messages...)
	}
}

// ping reports whether the server of a channel answers.
func (b *Broker) ping(channel string) error {
	return recovered(func() error {
		if b.cluster == nil {
			return b.client.Ping(b.ctx).Err()
		}
		node, err := b.cluster.MasterForKey(b.ctx, channel)
		if err != nil {
			return err
		}
		if err = node.Ping(b.ctx).Err(); err != nil {
			b.cluster.ReloadState(b.ctx)
		}
		return err
	})
}

// notDone reports whether an error means that Redis has certainly not run the command, and may later.
func notDone(err error) bool {
	var op *net.OpError
	var name *net.DNSError
	if errors.As(err, &op) && op.Op == "dial" || errors.As(err, &name) {
		return true
	}
	_, moved := redis.IsMovedError(err)
	_, ask := redis.IsAskError(err)
	return moved || ask ||
		errors.Is(err, redis.ErrClosed) || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted) ||
		redis.IsLoadingError(err) || redis.IsReadOnlyError(err) || redis.IsMasterDownError(err) ||
		redis.IsClusterDownError(err) || redis.IsTryAgainError(err) || redis.IsMaxClientsError(err) ||
		redis.IsNoReplicasError(err) || redis.IsAuthError(err)
}

// refused reports whether an error is an answer of Redis.
func refused(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer)
}
