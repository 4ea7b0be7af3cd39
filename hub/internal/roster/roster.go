package roster

import (
	"sync"
	"time"
)

// Options of a [Roster]. All are required but Broker.
type Options struct {
	Node   string        // the name of this node
	Grace  time.Duration // how long a person stays whose last connection has ended; zero: not at all
	TTL    time.Duration // of the lease of this node
	Broker Broker        // nil on a single node: then nothing is put, listed or published

	// NewOwner returns the owner of a room that this node begins to follow. It is called with a lock
	// held, so it must not call the roster or the room.
	NewOwner func(r *Room) Owner

	// Off is the error of a Broker that keeps nothing, for good. The roster returns it from then on.
	Off error

	// Log receives a failure that no caller does.
	Log func(message string, failure error)
}

// A Roster is what one node knows of the people in rooms. [New] makes one; its methods, and those of its
// rooms, may be called from any goroutine. Three goroutines at most work for it, besides the callers: one
// calls the broker (serve.go), one calls the owners (changes.go), one is that of the timer for people who
// may come back (grace.go).
type Roster struct {
	options Options
	broker  Broker // that of the options

	mu      sync.Mutex    // it is held over no call of the broker or an owner
	closed  bool          // Shutdown has begun
	ended   chan struct{} // closed when Shutdown has ended it; nil before it has begun
	rooms   map[string]*Room
	persons map[string]*localPerson
	clock   uint64         // the newest time of a value that is known
	work    sync.WaitGroup // serve and tell

	telling bool    // tell is running
	toTell  []*Room // the rooms whose owners are to be told

	grace graceQueue
	serving
}

// A Room is a room that a node follows, because members of this node are in it or people of this node
// have not left it yet. The roster's mutex guards it.
type Room struct {
	roster *Roster
	owner  Owner
	name   string
	number uint64 // of all rooms, in the order in which they were followed
	begun  bool   // Join has been called

	occupied bool // by members of this node, with keys or without

	people  map[string]*person
	present int // how many people have copies
	locals  int // how many people have a copy of this node

	told    bool      // the owner has been told who is here; from then on it is told of changes
	changed []*person // those of whom the owner may not have been told the last
	telling bool      // it is in Roster.toTell

	remote remoteRoom
}

// A person has a copy for each node with members with the key in the room.
type person struct {
	key    string
	copies []personCopy
	shown  *stamped // what the owner has been told of last; nil if that was that the person is not here

	local   *localPerson // nil if there is no copy of this node
	index   int          // in local.persons
	members int          // of this node
	until   time.Time    // when the copy of this node ends, if there are no members

	isChanged bool // it is in Room.changed
	isToPut   bool // it is in remoteRoom.toPut
}

type personCopy struct {
	node       *roomNode // nil for this node
	value      *stamped
	generation uint64 // of the list that had it last
}

// New returns a Roster, which follows no room yet. Call [Roster.Shutdown] to release it.
func New(options Options) *Roster {
	p := &Roster{
		options: options,
		broker:  options.Broker,
		rooms:   make(map[string]*Room),
		persons: make(map[string]*localPerson),
	}
	if p.broker != nil {
		p.serving.init()
	}
	return p
}

// Room returns a room that this node follows, nil for others. A room stays followed while members of
// this node are in it.
func (p *Roster) Room(name string) *Room {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rooms[name]
}

// Enter records that members of this node are in a room, until [Room.Vacate]. It returns the room, which
// it begins to follow if that is wanted; nil if the node does not follow it. For each member, the caller
// calls [Room.Join] after that.
func (p *Roster) Enter(name string, wanted bool) *Room {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rooms[name]
	if r == nil && wanted && !p.closed && !p.disabled {
		r = p.follow(name)
	}
	if r == nil {
		return nil
	}
	r.occupied = true
	if p.disabled { // the room is about to end
		return nil
	}
	return r
}

// follow begins to follow a room. The caller holds mu.
func (p *Roster) follow(name string) *Room {
	p.followed++
	r := &Room{roster: p, name: name, number: p.followed, people: make(map[string]*person)}
	r.owner = p.options.NewOwner(r)
	p.rooms[name] = r
	return r
}

// begin has the room listed, or the owner told. The caller holds mu.
func (r *Room) begin() {
	r.begun = true
	if r.roster.broker == nil {
		r.remote.listed = true
		r.roster.queueTell(r)
	} else {
		r.roster.queueList(r)
	}
}

// Name returns the name of the room.
func (r *Room) Name() string { return r.name }

// Owner returns what Options.NewOwner has returned for the room.
func (r *Room) Owner() Owner { return r.owner }

// Vacate records that no member of this node is in the room any more, with a key or without.
func (r *Room) Vacate() {
	p := r.roster
	p.mu.Lock()
	defer p.mu.Unlock()
	r.occupied = false
	p.settle(r)
}

// End ends the room if members and people of this node have left it and nothing remains to be put or
// told, or if the roster is off. It reports whether the subscription, which the room had, is no longer
// needed. The caller makes sure that nobody enters the room meanwhile.
func (r *Room) End() bool {
	p := r.roster
	p.mu.Lock()
	defer p.mu.Unlock()
	r.remote.isToEnd = false
	if p.rooms[r.name] != r || p.closed || !p.disabled && !r.canEnd() {
		return false
	}
	delete(p.rooms, r.name)
	return !r.occupied
}

// person returns the person with a key, which it makes if necessary.
func (r *Room) person(key string) *person {
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
func (p *Roster) setCopy(r *Room, who *person, node *roomNode, value *stamped, generation uint64) {
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
func (p *Roster) removeCopy(r *Room, who *person, node *roomNode) {
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
func (p *Roster) change(r *Room, who *person) {
	if !who.isChanged {
		who.isChanged = true
		r.changed = append(r.changed, who)
	}
	p.queueTell(r)
}

// forget deletes a person of whom nothing is known or to be said any more. The caller holds mu.
func (r *Room) forget(who *person) {
	if len(who.copies) == 0 && who.shown == nil && !who.isChanged && !who.isToPut && r.people[who.key] == who {
		delete(r.people, who.key)
	}
}

// settle stops following a room if no member and nobody of this node is in it and nothing remains to
// be put or told. The caller holds mu.
func (p *Roster) settle(r *Room) {
	if !r.canEnd() || p.rooms[r.name] != r {
		return
	}
	if p.broker == nil {
		delete(p.rooms, r.name)
		return
	}
	p.queueEnd(r)
}

func (r *Room) canEnd() bool {
	return !r.occupied && r.locals == 0 && len(r.remote.toPut) == 0 && !r.remote.putting &&
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
