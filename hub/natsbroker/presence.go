package natsbroker

import (
	"context"
	"time"

	"github.com/goyave-contrib/websocket/hub"
)

const (
	// emptyTTL is how long the log of a room without people stays, so that a late call changes nothing.
	emptyTTL = 5 * time.Minute

	// recordSize is about what a server needs for a record besides its entries.
	recordSize = 200

	// freeLog is how large a log may become whatever the size of its snapshot.
	freeLog = 16 << 10
)

// A peopleLog is what a node has put into a room.
type peopleLog struct {
	revision uint64
	people   map[string][]byte
	size     int // of a snapshot of the people
	log      int // of the log in the stream
}

func (l *peopleLog) change(entries []hub.PresenceEntry) {
	for _, e := range entries {
		if old, ok := l.people[e.Key]; ok {
			l.size -= entrySize(e.Key, old)
		}
		if e.Value != nil {
			l.size += entrySize(e.Key, e.Value)
		}
	}
	change(l.people, entries)
}

func (l *peopleLog) snapshot() []hub.PresenceEntry {
	entries := make([]hub.PresenceEntry, 0, len(l.people))
	for key, value := range l.people {
		entries = append(entries, hub.PresenceEntry{Key: key, Value: value})
	}
	return entries
}

// PutPresence changes entries of a node. The hub calls it. The error is [ErrNoLease], or one of those that
// [JetStreamBroker.Append] returns.
func (b *JetStreamBroker) PutPresence(ctx context.Context, room hub.Topic, node string, revision uint64, changes []hub.PresenceEntry) error {
	topic, err := topicTokens(room)
	if err != nil {
		return err
	}
	if err := b.failure(); err != nil {
		return err
	}
	r, late, err := b.state.record(logName{room, node}, revision, changes)
	if err != nil || late {
		return err
	}
	dropped := false
	err = b.withState(ctx, func(ctx context.Context, stream string) error {
		if err := b.putRecords(ctx, stream, b.peopleSubject(topic, token(node)), r); err != nil {
			return err
		}
		last, err := b.last(ctx, stream, b.leaseSubject(token(node)))
		if err != nil {
			return err
		}
		var l lease
		if last != nil {
			l, _ = decodeLease(*last)
		}
		dropped = l.life != r.life
		return nil
	})
	switch {
	case err != nil:
		return err
	case dropped:
		b.state.forget(node)
		return ErrNoLease
	}
	b.state.put(logName{room, node}, r)
	return nil
}

// record returns what is to be put into a log: the changes, or a snapshot in place of the log if that has
// become long or says nothing any more.
func (p *stateStream) record(name logName, revision uint64, changes []hub.PresenceEntry) (r record, late bool, err error) {
	now := p.serverTime()
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.leases[name.node]
	if !l.livesAt(now) {
		return r, false, ErrNoLease
	}
	log := p.logs[name]
	if log == nil {
		log = &peopleLog{people: make(map[string][]byte)}
		p.logs[name] = log
	}
	if revision < log.revision {
		return r, true, nil
	}
	log.revision = revision
	log.change(changes)
	for _, e := range changes {
		log.log += entrySize(e.Key, e.Value)
	}
	log.log += recordSize
	r = record{life: l.life, node: name.node, revision: revision, entries: changes}
	if l.own && (len(log.people) == 0 || log.log > 2*log.size+freeLog) {
		r.snapshot = true
		r.entries = log.snapshot()
	}
	return r, false, nil
}

// put notes that a record is in the stream.
func (p *stateStream) put(name logName, r record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	log := p.logs[name]
	switch {
	case log == nil || !r.snapshot:
	case len(log.people) == 0:
		delete(p.logs, name)
	default:
		log.log = log.size + recordSize
	}
}

// putRecords stores a record, in several messages if it is long.
func (b *JetStreamBroker) putRecords(ctx context.Context, stream, subject string, r record) error {
	limit := maxPart
	if n := int(b.maxPayload.Load()); n > 0 {
		limit = min(limit, n/2)
	}
	parts := r.parts(limit)
	if len(parts) == 1 {
		var options []putOption
		if r.snapshot {
			options = append(options, inPlace)
			if len(r.entries) == 0 {
				options = append(options, expiring(emptyTTL))
			}
		}
		_, err := b.putRecord(ctx, stream, subject, parts[0], options...)
		return err
	}
	var first uint64
	for i, part := range parts {
		seq, err := b.putRecord(ctx, stream, subject, part)
		if err != nil {
			return err
		}
		if i == 0 {
			first = seq
		}
	}
	if !r.snapshot {
		return nil
	}
	_, err := b.purge(ctx, stream, subject, first, 0)
	return err
}

// ListPresence returns the people in a room. The hub calls it. It returns the errors that
// [JetStreamBroker.Append] returns.
func (b *JetStreamBroker) ListPresence(ctx context.Context, room hub.Topic) ([]hub.NodePresence, error) {
	topic, err := topicTokens(room)
	if err != nil {
		return nil, err
	}
	var list []hub.NodePresence
	err = b.withState(ctx, func(ctx context.Context, stream string) error {
		replays, err := b.replay(ctx, stream, topic)
		if err != nil {
			return err
		}
		list = make([]hub.NodePresence, 0, len(replays))
		for _, p := range replays {
			np := hub.NodePresence{Node: p.node, Revision: p.revision, Entries: make([]hub.PresenceEntry, 0, len(p.people))}
			for key, value := range p.people {
				np.Entries = append(np.Entries, hub.PresenceEntry{Key: key, Value: value})
			}
			list = append(list, np)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// replay returns the people of all nodes that live. It removes what others have left.
func (b *JetStreamBroker) replay(ctx context.Context, stream, topic string) (map[string]*replay, error) {
	messages, err := b.all(ctx, stream, b.peopleSubject(topic, "*"))
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	leases, err := b.livingLeases(ctx, stream) // after the people, so that no lease is missing
	if err != nil {
		return nil, err
	}
	replays, left := make(map[string]*replay), make(map[string]uint64)
	for _, m := range messages {
		node := lastToken(m.subject)
		r, ok := decodeRecord(m.data)
		if !ok || r.life != leases[node].life {
			left[m.subject] = m.seq
			continue
		}
		if replays[node] == nil {
			replays[node] = new(replay)
		}
		replays[node].apply(r)
	}
	for subject, seq := range left {
		if replays[lastToken(subject)] == nil {
			_, _ = b.purge(ctx, stream, subject, seq+1, 0) // it is only about storage
		}
	}
	return replays, nil
}

// livingLeases returns the leases of the nodes that live. It drops the others.
func (b *JetStreamBroker) livingLeases(ctx context.Context, stream string) (map[string]lease, error) {
	leases, err := b.leases(ctx, stream)
	if err != nil {
		return nil, err
	}
	now := b.state.serverTime()
	for node, l := range leases {
		lives, err := b.dropDead(ctx, stream, l, now)
		if err != nil {
			return nil, err
		}
		if !lives {
			delete(leases, node)
		}
	}
	return leases, nil
}

// PresenceRevisions returns the revisions of nodes in rooms. The hub calls it. It returns the errors that
// [JetStreamBroker.Append] returns.
func (b *JetStreamBroker) PresenceRevisions(ctx context.Context, rooms []hub.Topic) ([]map[string]uint64, error) {
	topics := make([]string, len(rooms))
	for i, room := range rooms {
		topic, err := topicTokens(room)
		if err != nil {
			return nil, err
		}
		topics[i] = topic
	}
	var revisions map[string]map[string]uint64 // by topic
	err := b.withState(ctx, func(ctx context.Context, stream string) error {
		revisions = make(map[string]map[string]uint64, len(topics))
		lasts := make([]stored, 0, len(topics))
		for rest := topics; len(rest) > 0; {
			n := min(len(rest), maxTopics)
			some, err := b.lastRecords(ctx, stream, rest[:n])
			if err != nil {
				return err
			}
			lasts, rest = append(lasts, some...), rest[n:]
		}
		leases, err := b.livingLeases(ctx, stream)
		if err != nil {
			return err
		}
		for _, m := range lasts {
			if err := b.addRevision(ctx, stream, revisions, leases, m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	result := make([]map[string]uint64, len(topics))
	for i, topic := range topics {
		result[i] = revisions[topic]
	}
	return result, nil
}

// maxTopics limits the rooms of one request. A server answers with the records of 1024 nodes and rooms
// at most.
const maxTopics = 200

// lastRecords returns the last record of each node in each room.
func (b *JetStreamBroker) lastRecords(ctx context.Context, stream string, topics []string) ([]stored, error) {
	subjects := make([]string, len(topics))
	for i, topic := range topics {
		subjects[i] = b.peopleSubject(topic, "*")
	}
	messages, err := b.lastOf(ctx, stream, 0, subjects...)
	if err != errTooMany { //nolint:errorlint // it is returned as it is
		return messages, err
	}
	if len(topics) == 1 {
		return b.all(ctx, stream, subjects[0]) // the last one of each node is the one that stays
	}
	half := len(topics) / 2
	messages, err = b.lastRecords(ctx, stream, topics[:half])
	if err != nil {
		return nil, err
	}
	more, err := b.lastRecords(ctx, stream, topics[half:])
	return append(messages, more...), err
}

// addRevision adds what the last record of a node in a room says.
func (b *JetStreamBroker) addRevision(ctx context.Context, stream string, revisions map[string]map[string]uint64, leases map[string]lease, m stored) error {
	topic, node := m.subject[len(b.peopleSubject("", ""))-1:], lastToken(m.subject)
	topic = topic[:len(topic)-len(node)-1]
	r, ok := decodeRecord(m.data)
	if !ok || r.life != leases[node].life || r.snapshot && r.last && r.change == "" && len(r.entries) == 0 {
		return nil
	}
	if revisions[topic] == nil {
		revisions[topic] = make(map[string]uint64)
	}
	if r.last {
		revisions[topic][r.node] = r.revision
		return nil
	}
	replays, err := b.replay(ctx, stream, topic) // a change is under way: what is before it counts
	if p := replays[node]; err == nil && p != nil && p.people != nil {
		revisions[topic][r.node] = p.revision
	}
	return err
}
