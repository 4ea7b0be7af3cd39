package roster

import "time"

// A graceQueue has what ends unless somebody comes back in time. All wait for the same time, so they
// are in order.
type graceQueue struct {
	items []graceItem
	timer *time.Timer // nil until it is needed; it is running if there are items
}

// A graceItem is the copy of this node of a person without members, or another node that has been
// shut down.
type graceItem struct {
	at     time.Time
	room   *Room
	person *person
	node   *peer // nil for a person
}

// addGrace adds an item. The caller holds mu.
func (p *Roster) addGrace(item graceItem) {
	q := &p.grace
	q.items = append(q.items, item)
	if len(q.items) > 1 {
		return
	}
	if q.timer == nil {
		q.timer = time.AfterFunc(time.Until(item.at), p.endGrace)
	} else {
		q.timer.Reset(time.Until(item.at))
	}
}

// endGrace ends what has not come back in time.
func (p *Roster) endGrace() {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, now := &p.grace, time.Now()
	ended := 0
	for ; ended < len(q.items) && !q.items[ended].at.After(now); ended++ {
		switch item := q.items[ended]; {
		case p.closed:
		case item.node != nil:
			if p.peers[item.node.name] == item.node && item.node.leaves {
				p.dropPeer(item.node)
			}
		case item.person.local != nil && item.person.members == 0 && item.person.until.Equal(item.at):
			p.removeLocal(item.room, item.person)
			p.settle(item.room)
		}
	}
	rest := q.items[ended:]
	q.items = append(make([]graceItem, 0, len(rest)), rest...)
	if len(q.items) > 0 && !p.closed {
		q.timer.Reset(time.Until(q.items[0].at))
	}
}

// stopGrace stops the timer. The caller holds mu.
func (p *Roster) stopGrace() {
	if p.grace.timer != nil {
		p.grace.timer.Stop()
	}
	p.grace.items = nil
}
