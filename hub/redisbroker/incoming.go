package redisbroker

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/goyave-contrib/websocket/hub"
)

// An arrival is a message that Redis has sent.
type arrival struct{ channel, data string }

// overhead is about what an arrival takes besides its data, in bytes.
const overhead = 64

func (a arrival) size() int64 { return int64(len(a.channel) + len(a.data) + overhead) }

// incoming is the queue of what the hub has to receive.
type incoming struct {
	limit int64 // bytes
	bytes atomic.Int64
	work  chan struct{} // buffers one signal: list is not empty

	mu   sync.Mutex
	list []arrival
	full bool // messages have been dropped since the queue was empty
}

// put adds an arrival. It reports whether there was no room for it, and whether it is the first such since
// the queue was empty.
func (q *incoming) put(a arrival) (dropped, first bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if bytes := q.bytes.Load(); bytes > 0 && bytes+a.size() > q.limit {
		first = !q.full
		q.full = true
		return true, first
	}
	q.bytes.Add(a.size())
	q.list = append(q.list, a)
	signal(q.work)
	return false, false
}

// take returns all that waits. The arrivals count until done is called for them. The queue uses the
// memory of the spare slice.
func (q *incoming) take(spare []arrival) []arrival {
	q.mu.Lock()
	defer q.mu.Unlock()
	list := q.list
	q.list = spare[:0]
	if len(list) == 0 {
		q.full = false
	}
	return list
}

func (q *incoming) done(a arrival) { q.bytes.Add(-a.size()) }

// arrived queues what a connection has received.
func (b *Broker) arrived(a arrival) {
	dropped, first := b.incoming.put(a)
	if dropped {
		b.dropped.Add(1)
	}
	if first {
		b.report(ErrIncomingFull)
	}
}

const (
	maxSpare   = 4096     // arrivals
	maxScratch = 64 << 10 // bytes
)

// receive passes what has arrived to the hub. One goroutine does it for all topics, which
// keeps the messages in order and makes rooms cheap.
func (b *Broker) receive(receive func(t hub.Topic, payload []byte)) {
	var spare []arrival
	var scratch []byte // the payload: the hub does not keep it
	for {
		list := b.incoming.take(spare)
		if len(list) == 0 {
			spare = list
			select {
			case <-b.incoming.work:
				continue
			case <-b.stop:
				return
			}
		}
		for i, a := range list {
			select {
			case <-b.stop:
				return
			default:
			}
			scratch = b.deliver(a, receive, scratch)
			b.incoming.done(a)
			list[i] = arrival{} // for the garbage collector
		}
		spare = list
		if cap(spare) > maxSpare {
			spare = nil
		}
		if cap(scratch) > maxScratch {
			scratch = nil
		}
	}
}

// deliver passes one message to the hub. It returns the memory of its payload.
func (b *Broker) deliver(a arrival, receive func(t hub.Topic, payload []byte), scratch []byte) []byte {
	s := b.wanted(a.channel)
	if s == nil || len(a.data) < len(b.self) || a.data[:len(b.self)] == string(b.self[:]) {
		return scratch
	}
	if strings.HasPrefix(a.data, entryMark) {
		b.deliverEntry(s, a.data[len(entryMark):])
		return scratch
	}
	scratch = append(scratch[:0], a.data[len(b.self):]...)
	b.report(recovered(func() error {
		receive(s.topic, scratch)
		return nil
	}))
	return scratch
}

// deliverEntry passes an entry of a history to the hub. It ignores malformed ones.
func (b *Broker) deliverEntry(s *subscription, data string) {
	receive := b.receiveEntry.Load()
	e, ok := parseEntry(data)
	if receive == nil || !ok {
		return
	}
	b.keepsHistory(s.channel)
	b.report(recovered(func() error {
		(*receive)(s.topic, e)
		return nil
	}))
}
