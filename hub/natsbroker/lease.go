package natsbroker

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/goyave-contrib/websocket/hub"
)

// A lease is the newest message of a node's subject. One without a life is a tombstone.
type lease struct {
	node, life string
	ttl        time.Duration

	seq uint64
	at  time.Time // by the servers' clock
	own bool      // this broker has begun this life, so it knows all that was put in it
}

func (l lease) encode() []byte {
	r := writer(nil).text(l.node).text(l.life).number(uint64(l.ttl)) //nolint:gosec // it is not negative
	return r
}

func decodeLease(m stored) (l lease, ok bool) {
	r := reader{data: m.data}
	l = lease{node: string(r.text()), life: string(r.text()), ttl: time.Duration(r.number()), seq: m.seq, at: m.at} //nolint:gosec // as above
	return l, r.err == nil
}

func (l lease) livesAt(t time.Time) bool { return l.life != "" && !t.After(l.at.Add(l.ttl)) }

// RenewNode says that a node lives. The hub calls it. It returns the errors that [JetStreamBroker.Append]
// returns.
func (b *JetStreamBroker) RenewNode(ctx context.Context, node string, ttl time.Duration) (hub.Lease, error) {
	var result hub.Lease
	isNew := false
	err := b.withState(ctx, func(ctx context.Context, stream string) error {
		renewed, begun, err := b.renew(ctx, stream, node, ttl)
		if err != nil {
			return err
		}
		isNew = isNew || begun
		leases, err := b.leases(ctx, stream)
		if err != nil {
			return err
		}
		mine, ok := leases[token(node)]
		if !ok || mine.life != renewed.life {
			return errBehind // or it was removed
		}
		b.state.ahead.Store(int64(time.Until(mine.at)))
		renewed.at = mine.at
		b.remember(renewed, isNew)
		result = hub.Lease{New: isNew}
		for _, l := range leases {
			if l.life != renewed.life {
				lives, err := b.dropDead(ctx, stream, l, mine.at)
				if err != nil {
					return err
				}
				if !lives {
					continue
				}
			}
			result.Nodes = append(result.Nodes, l.node)
		}
		return nil
	})
	return result, err
}

// renew stores the next message of a lease, or the first of a new life.
func (b *JetStreamBroker) renew(ctx context.Context, stream, node string, ttl time.Duration) (l lease, begun bool, err error) {
	subject := b.leaseSubject(token(node))
	last, err := b.last(ctx, stream, subject)
	if err != nil {
		return l, false, err
	}
	var was lease
	var seq uint64
	if last != nil {
		was, _ = decodeLease(*last)
		seq = last.seq
	}
	l = lease{node: node, life: was.life, ttl: ttl}
	if !was.livesAt(b.state.serverTime()) {
		l.life = rand.Text()
		begun = true
	}
	l.seq, err = b.putRecord(ctx, stream, subject, l.encode(), inPlace, after(seq))
	if hasCode(err, codeWrongLast) { // another call has changed it
		err = fmt.Errorf("%w: %w", errAgain, err)
	}
	return l, begun, err
}

func (b *JetStreamBroker) remember(l lease, begun bool) {
	p := b.state
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.leases[l.node]
	l.own = begun || was.own && was.life == l.life
	if begun || was.life != l.life {
		p.forgetLogs(l.node)
	}
	p.leases[l.node] = l
}

func (p *stateStream) forget(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.leases, node)
	p.forgetLogs(node)
}

func (p *stateStream) forgetLogs(node string) {
	for name := range p.logs {
		if name.node == node {
			delete(p.logs, name)
		}
	}
}

// leases returns all leases, and tombstones, by the token of their node.
func (b *JetStreamBroker) leases(ctx context.Context, stream string) (map[string]lease, error) {
	messages, err := b.all(ctx, stream, b.leaseSubject("*"))
	if err != nil {
		return nil, err
	}
	leases := make(map[string]lease, len(messages))
	for _, m := range messages {
		if l, ok := decodeLease(m); ok {
			leases[lastToken(m.subject)] = l
		}
	}
	return leases, nil
}

// dropDead reports whether a node lives. If its lease has ended, it drops the node for all.
func (b *JetStreamBroker) dropDead(ctx context.Context, stream string, l lease, now time.Time) (lives bool, err error) {
	if l.livesAt(now) {
		return true, nil
	}
	return false, b.drop(ctx, stream, l)
}

// drop puts a tombstone in the place of a lease, and removes all that the node has put, and the tombstone.
// Where it stops in between, whoever sees the tombstone goes on.
func (b *JetStreamBroker) drop(ctx context.Context, stream string, l lease) error {
	subject := b.leaseSubject(token(l.node))
	if l.life != "" {
		seq, err := b.putRecord(ctx, stream, subject, lease{node: l.node}.encode(), inPlace, after(l.seq))
		if hasCode(err, codeWrongLast) { // it was renewed or dropped meanwhile
			return fmt.Errorf("%w: %w", errAgain, err)
		}
		if err != nil {
			return err
		}
		l.seq = seq
	}
	if _, err := b.purge(ctx, stream, b.peopleSubject("*.*", token(l.node)), l.seq, 0); err != nil {
		return err
	}
	_, err := b.purge(ctx, stream, subject, l.seq+1, 0)
	return err
}

// RemoveNode drops a node. The hub calls it. It returns the errors that [JetStreamBroker.Append] returns.
func (b *JetStreamBroker) RemoveNode(ctx context.Context, node string) error {
	b.state.forget(node)
	return b.withState(ctx, func(ctx context.Context, stream string) error {
		last, err := b.last(ctx, stream, b.leaseSubject(token(node)))
		if err != nil || last == nil {
			return err
		}
		l, ok := decodeLease(*last)
		if !ok {
			l = lease{node: node, life: "?", seq: last.seq}
		}
		return b.drop(ctx, stream, l)
	})
}
