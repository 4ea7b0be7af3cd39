package hub

import (
	"bytes"
	"sync"
	"time"
)

// presence is what a hub knows of the people in rooms. Three goroutines at most work for it, besides
// those that call the hub and those in which the broker calls receive: one calls the broker
// (presenceserve.go), one calls the application and sends lists and changes (presencetell.go), one is
// that of the timer for people who may come back (presencegrace.go).
type presence struct {
	hub     *Hub
	options PresenceOptions
	broker  PresenceBroker // nil on a single node: then nothing is put, listed or published

	// mu is locked after Hub.mu and before the mutex of a group or of the events. It is held over no
	// call of the application or the broker.
	mu      sync.Mutex
	closed  bool          // Shutdown has begun to end it
	ended   chan struct{} // closed when Shutdown has ended it; nil before it has begun
	rooms   map[string]*presentRoom
	persons map[string]*localPerson
	clock   uint64         // the newest time of a value that is known
	work    sync.WaitGroup // serve and tell

	telling bool           // tell is running
	toTell  []*presentRoom // the rooms that have something to tell

	grace graceQueue
	serving
}

// A presentRoom is a room that this node follows: it is subscribed to the room, because members of
// this node are in it, or people of this node have not left it yet.
type presentRoom struct {
	name   string
	number uint64 // of all rooms, in the order in which they were followed
	group  *group // nil if no member of this node is in the room

	people  map[string]*person
	present int // how many people have copies
	locals  int // how many people have a copy of this node

	told    bool      // members have been told who is here; from then on they are told of changes
	changed []*person // those of whom members may not have been told the last
	telling bool      // it is in presence.toTell
	list    listState

	remote remoteRoom
}

// A person has a copy for each node with members with the key in the room.
type person struct {
	key    string
	copies []personCopy
	shown  *stamped // what members of this node have been told of last; nil if that was that the person is not here

	local   *localPerson // nil if there is no copy of this node
	index   int          // in local.persons
	members int          // of this node
	until   time.Time    // when the copy of this node ends, if there are no members

	isChanged bool // it is in presentRoom.changed
	isToPut   bool // it is in remoteRoom.toPut
}

type personCopy struct {
	node       *roomNode // nil for this node
	value      *stamped
	generation uint64 // of the list that had it last
}

// newPresence returns nil if the hub keeps no presence.
func newPresence(h *Hub, options *PresenceOptions, broker Broker) *presence {
	if options == nil {
		return nil
	}
	p := &presence{
		hub:     h,
		options: options.withDefaults(),
		rooms:   make(map[string]*presentRoom),
		persons: make(map[string]*localPerson),
	}
	if broker != nil {
		keeper, ok := broker.(PresenceBroker)
		if !ok {
			logFailure("hub: Options.Presence has no effect: the Broker is no PresenceBroker", ErrNoPresence)
			return nil
		}
		p.broker = recoveringPresence{recoveringBroker{broker}, keeper}
		p.serving.init()
	}
	return p
}

// wants reports whether a room has presence, as far as the application decides that.
func (p *presence) wants(t Topic) (wanted bool) {
	if p == nil || t.Kind != KindRoom {
		return false
	}
	p.mu.Lock()
	followed := p.rooms[t.Name] != nil
	p.mu.Unlock()
	if followed || p.options.Rooms == nil {
		return true
	}
	p.call("Options.Presence.Rooms", func() { wanted = p.options.Rooms(t.Name) })
	return wanted
}

// call calls a function of the application. A panic is logged.
func (p *presence) call(name string, f func()) {
	err := func() (err error) {
		defer recoverTo(&err)
		f()
		return nil
	}()
	if err != nil {
		logFailure("hub: "+name+" failed", err)
	}
}

// follows reports whether this node is subscribed to a topic for the sake of presence. The caller
// holds the hub's mu.
func (p *presence) follows(t Topic) bool {
	if p == nil || t.Kind != KindRoom {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rooms[t.Name] != nil
}

// add adds a membership to its group. If that is a room with presence, add returns what the member is to
// get before all that is sent to the room. The caller holds the hub's mu and the member's mutex.
func (p *presence) add(ms *membership, wanted bool) (welcome []Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, key := ms.group, ""
	if old := ms.member.memberships.key(); old != nil {
		key = old.group.topic.Name
	}
	if g.topic.Kind != KindRoom {
		g.add(ms)
		if g.topic.Kind == KindKey {
			p.swapKey(ms.member, key, g.topic.Name)
		}
		return nil
	}
	r := p.rooms[g.topic.Name]
	if r == nil && wanted && !p.closed && !p.disabled {
		r = p.follow(g.topic.Name)
	}
	g.add(ms)
	if r == nil {
		return nil
	}
	r.group = g
	if r.told {
		welcome = r.list.welcome()
	}
	if key != "" {
		p.join(r, key)
	}
	return welcome
}

// follow begins to follow a room. The caller holds mu.
func (p *presence) follow(name string) *presentRoom {
	r := &presentRoom{name: name, people: make(map[string]*person)}
	p.rooms[name] = r
	p.followed++
	r.number = p.followed
	if p.broker == nil {
		r.remote.listed = true
		p.queueTell(r)
	} else {
		p.queueList(r)
	}
	return r
}

// person returns the person with a key, which it makes if necessary.
func (r *presentRoom) person(key string) *person {
	who := r.people[key]
	if who == nil {
		who = &person{key: key}
		r.people[key] = who
	}
	return who
}

// value returns the newest value of a person, nil if it is not present.
func (who *person) value() *stamped {
	var value *stamped
	for i := range who.copies {
		if c := &who.copies[i]; value == nil || value.isBefore(c.value) {
			value = c.value
		}
	}
	return value
}

// setCopy sets the copy of a node, nil for this one. The caller holds mu.
func (p *presence) setCopy(r *presentRoom, who *person, node *roomNode, value *stamped, generation uint64) {
	p.clock = max(p.clock, value.time)
	for i := range who.copies {
		if c := &who.copies[i]; c.node == node {
			same := c.value == value || c.value.time == value.time && c.value.node == value.node
			c.generation = generation
			if !same {
				c.value = value
				p.change(r, who)
			}
			return
		}
	}
	if len(who.copies) == 0 {
		r.present++
	}
	who.copies = append(who.copies, personCopy{node, value, generation})
	p.change(r, who)
}

// removeCopy removes the copy of a node, nil for this one. The caller holds mu.
func (p *presence) removeCopy(r *presentRoom, who *person, node *roomNode) {
	for i := range who.copies {
		if who.copies[i].node != node {
			continue
		}
		last := len(who.copies) - 1
		who.copies[i] = who.copies[last]
		who.copies[last] = personCopy{}
		who.copies = who.copies[:last]
		if last == 0 {
			r.present--
			who.copies = nil
		}
		p.change(r, who)
		return
	}
}

// change records that members may have to be told of a person.
func (p *presence) change(r *presentRoom, who *person) {
	if !who.isChanged {
		who.isChanged = true
		r.changed = append(r.changed, who)
	}
	p.queueTell(r)
}

// forget deletes a person of whom nothing is known or to be said any more. The caller holds mu.
func (r *presentRoom) forget(who *person) {
	if len(who.copies) == 0 && who.shown == nil && !who.isChanged && !who.isToPut && r.people[who.key] == who {
		delete(r.people, who.key)
	}
}

// settle stops following a room if no member and nobody of this node is in it and nothing remains to
// be put or told. The caller holds mu.
func (p *presence) settle(r *presentRoom) {
	if !r.canEnd() || p.rooms[r.name] != r {
		return
	}
	if p.broker == nil {
		delete(p.rooms, r.name)
		return
	}
	p.queueEnd(r)
}

func (r *presentRoom) canEnd() bool {
	return r.group == nil && r.locals == 0 && len(r.remote.toPut) == 0 && !r.remote.putting &&
		(!r.told || len(r.changed) == 0 && !r.telling)
}

func (who *person) copyOfThisNode() *stamped {
	for i := range who.copies {
		if who.copies[i].node == nil {
			return who.copies[i].value
		}
	}
	return unset
}

func sameValue(a, b *stamped) bool { return a == b || bytes.Equal(a.value, b.value) }
