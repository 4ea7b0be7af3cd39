package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	broadcastSize = 512 // bytes
	idSize        = 9   // the numbers of the sender and of its message
)

func broadcastWorkload(s scale, inFlight int) workload {
	return workload{
		name:  fmt.Sprintf("broadcast %d", inFlight),
		table: fmt.Sprintf("Broadcast of %d B to %s connections, %d in flight", broadcastSize, thousands(s.members), inFlight),
		about: "A message of one connection is sent to all, itself too; the next follows when all have it. For each " +
			"delivery.",
		unit: deliveryUnit, mode: broadcast, columns: costColumns(deliveryUnit), conns: s.members, charted: inFlight == 1,
		run: func(ctx context.Context, l *load) (sample, error) {
			b, err := l.newBroadcasts(ctx, inFlight)
			if err != nil {
				return nil, err
			}
			defer b.stop()
			if _, err := b.repeat(l.warmup); err != nil {
				return nil, err
			}
			return l.cost(func() (int64, error) { return b.repeat(l.phase) })
		},
	}
}

// broadcasts sends messages that every member receives. Each sender has one message in flight.
type broadcasts struct {
	load      *load
	rest      []byte // of the payload, after the ID
	delivered []atomic.Int64
	complete  []chan struct{} // one for each sender, sent to when all members have its message
	turns     []uint64        // number of the current message of each sender, from 0
	stopping  atomic.Bool
	failed    context.Context // canceled by the first failure of a reader
	fail      context.CancelCauseFunc
	readers   sync.WaitGroup
}

func (l *load) newBroadcasts(ctx context.Context, senders int) (*broadcasts, error) {
	b := &broadcasts{
		load:      l,
		rest:      binaryPayload(newRandom(0), broadcastSize-idSize),
		delivered: make([]atomic.Int64, senders),
		complete:  make([]chan struct{}, senders),
		turns:     make([]uint64, senders),
	}
	b.failed, b.fail = context.WithCancelCause(ctx)
	for i := range b.complete {
		b.complete[i] = make(chan struct{}, 1)
	}
	if err := l.connect(ctx, l.members, len(b.wire(0))); err != nil {
		return nil, err
	}
	// A server may add a connection to its members after it has answered the handshake, but
	// does so before it reads from the connection.
	if !l.im.raw {
		if err := l.each(func(_ int, c *client) error { return c.ping() }); err != nil {
			return nil, err
		}
	}
	for i, c := range l.clients {
		b.readers.Go(func() {
			if err := b.receive(c); !b.stopping.Load() {
				b.fail(fmt.Errorf("connection %d: %w", i, err))
			}
		})
	}
	return b, nil
}

// wire encodes the next message of a sender.
func (b *broadcasts) wire(sender int) []byte {
	payload := make([]byte, 0, broadcastSize)
	payload = binary.BigEndian.AppendUint64(append(payload, byte(sender)), b.turns[sender])
	payload = append(payload, b.rest...)
	return appendFrame(nil, finalBit|opBinary, payload, maskingKey(newRandom(sender), b.load.im.raw))
}

// repeat broadcasts from all senders for the time d. It returns the number of deliveries, all
// of which are complete then.
func (b *broadcasts) repeat(d time.Duration) (int64, error) {
	end := time.Now().Add(d)
	var messages atomic.Int64
	err := parallel(len(b.turns), func(sender int) error {
		for turn := 0; turn == 0 || time.Now().Before(end); turn++ {
			if _, err := b.load.clients[sender].nc.Write(b.wire(sender)); err != nil {
				return err
			}
			select {
			case <-b.complete[sender]:
			case <-b.failed.Done():
				return context.Cause(b.failed)
			}
			b.turns[sender]++
			messages.Add(1)
		}
		return nil
	})
	return messages.Load() * int64(len(b.load.clients)), err
}

// receive reads the messages of all senders and checks that each sender's are complete and in
// order. It returns why the connection ended or which message was wrong.
func (b *broadcasts) receive(c *client) error {
	next := make([]uint64, len(b.turns))
	for {
		op, payload, err := c.read()
		if err != nil {
			return err
		}
		if op != opBinary || len(payload) != broadcastSize || !bytes.Equal(payload[idSize:], b.rest) {
			return fmt.Errorf("wrong message: type %d, %d bytes", op, len(payload))
		}
		sender := int(payload[0])
		if turn := binary.BigEndian.Uint64(payload[1:]); sender >= len(next) || turn != next[sender] {
			return fmt.Errorf("message %d of sender %d came out of order", turn, sender)
		}
		next[sender]++
		if b.delivered[sender].Add(1) == int64(len(b.load.clients)) {
			b.delivered[sender].Store(0)
			b.complete[sender] <- struct{}{}
		}
	}
}

func (b *broadcasts) stop() {
	b.stopping.Store(true)
	b.fail(nil)
	b.load.hangUp()
	b.readers.Wait()
}
