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
	rest := [][]byte{binaryPayload(newRandom(0), broadcastSize-idSize)}
	return workload{
		name:  fmt.Sprintf("broadcast %d", inFlight),
		table: fmt.Sprintf("Broadcast of %d B to %s connections, %d in flight", broadcastSize, thousands(s.members), inFlight),
		about: "A message of one connection is sent to all, itself too; the next follows when all have it. For each " +
			"delivery.",
		unit: deliveryUnit, mode: broadcast, columns: costColumns(deliveryUnit), conns: s.members,
		first: true, charted: inFlight == 1,
		run: func(ctx context.Context, l *load) (sample, error) {
			return l.broadcast(ctx, inFlight, rest)
		},
	}
}

// broadcast measures broadcasts once the windows are full, if there are any.
func (l *load) broadcast(ctx context.Context, inFlight int, rests [][]byte) (sample, error) {
	b, err := l.newBroadcasts(ctx, inFlight, rests)
	if err != nil {
		return nil, err
	}
	defer b.stop()
	full := uint64(1<<l.mode.WindowBits()) / broadcastSize
	for first := true; first || b.turns[0] < full; first = false {
		if _, err := b.repeat(l.warmup); err != nil {
			return nil, err
		}
	}
	before := b.wireSize.Load()
	var deliveries int64
	s, err := l.cost(func() (_ int64, err error) {
		deliveries, err = b.repeat(l.phase)
		return deliveries, err
	})
	if err != nil {
		return nil, err
	}
	s[replySize] = float64(b.wireSize.Load()-before) / float64(deliveries)
	return s, nil
}

// broadcasts sends messages that every member receives. Each sender has one message in flight.
type broadcasts struct {
	load      *load
	rests     [][]byte    // of the payloads, after the ID; they have turns
	deflaters []*deflater // one for each sender, if there is context takeover
	delivered []atomic.Int64
	wireSize  atomic.Int64    // bytes that were delivered, with the headers of frames
	complete  []chan struct{} // one for each sender, sent to when all members have its message
	turns     []uint64        // number of the current message of each sender, from 0
	stopping  atomic.Bool
	failed    context.Context // canceled by the first failure of a reader
	fail      context.CancelCauseFunc
	readers   sync.WaitGroup
}

func (l *load) newBroadcasts(ctx context.Context, senders int, rests [][]byte) (*broadcasts, error) {
	b := &broadcasts{
		load:      l,
		rests:     rests,
		delivered: make([]atomic.Int64, senders),
		complete:  make([]chan struct{}, senders),
		turns:     make([]uint64, senders),
	}
	b.failed, b.fail = context.WithCancelCause(ctx)
	for i := range b.complete {
		b.complete[i] = make(chan struct{}, 1)
	}
	wire, err := b.wire(0)
	if err != nil {
		return nil, err
	}
	if err := l.connect(ctx, l.members, len(wire)); err != nil {
		return nil, err
	}
	if bits := l.mode.WindowBits(); bits > 0 {
		b.deflaters = make([]*deflater, senders)
		for i := range b.deflaters {
			if b.deflaters[i], err = newDeflater(bits); err != nil {
				return nil, err
			}
		}
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

// wire encodes the next message of a sender. With context takeover, it is called once for each message:
// what it has compressed is in the context from then on.
func (b *broadcasts) wire(sender int) ([]byte, error) {
	payload := make([]byte, 0, broadcastSize)
	payload = binary.BigEndian.AppendUint64(append(payload, byte(sender)), b.turns[sender])
	payload = append(payload, b.rest(b.turns[sender])...)
	first := byte(finalBit | opBinary)
	if b.deflaters != nil {
		compressed, err := b.deflaters[sender].deflate(payload)
		if err != nil {
			return nil, err
		}
		first, payload = first|compressedBit, compressed
	}
	return appendFrame(nil, first, payload, maskingKey(newRandom(sender), b.load.im.raw)), nil
}

// rest returns the payload of a turn, after the ID.
func (b *broadcasts) rest(turn uint64) []byte { return b.rests[turn%uint64(len(b.rests))] }

// repeat broadcasts from all senders for the time d. It returns the number of deliveries, all
// of which are complete then.
func (b *broadcasts) repeat(d time.Duration) (int64, error) {
	end := time.Now().Add(d)
	var messages atomic.Int64
	err := parallel(len(b.turns), func(sender int) error {
		for turn := 0; turn == 0 || time.Now().Before(end); turn++ {
			wire, err := b.wire(sender)
			if err != nil {
				return err
			}
			if _, err := b.load.clients[sender].nc.Write(wire); err != nil {
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
		if op != opBinary || len(payload) != broadcastSize {
			return fmt.Errorf("wrong message: type %d, %d bytes", op, len(payload))
		}
		sender, turn := int(payload[0]), binary.BigEndian.Uint64(payload[1:])
		switch {
		case sender >= len(next) || turn != next[sender]:
			return fmt.Errorf("message %d of sender %d came out of order", turn, sender)
		case !bytes.Equal(payload[idSize:], b.rest(turn)):
			return fmt.Errorf("wrong message: %d bytes, but not the payload of turn %d", len(payload), turn)
		}
		next[sender]++
		b.wireSize.Add(int64(c.wireSize))
		if b.deflaters != nil {
			c.remember(payload)
		}
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
