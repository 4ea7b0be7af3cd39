package hub

import "github.com/goyave-contrib/websocket/hub/internal/roster"

// presence joins what the roster knows of people with the members of the hub: it tells the roster which
// members have which keys in which rooms, and the members what the roster knows (presentroom.go).
type presence struct {
	hub     *Hub
	options PresenceOptions
	roster  *roster.Roster
}

// newPresence returns nil if the hub keeps no presence.
func newPresence(h *Hub, options *PresenceOptions, broker Broker) *presence {
	if options == nil {
		return nil
	}
	p := &presence{hub: h, options: options.withDefaults()}
	o := roster.Options{
		Node:  h.node,
		Grace: p.options.Grace,
		TTL:   p.options.TTL,
		NewOwner: func(r *roster.Room) roster.Owner {
			return &presentRoom{presence: p, room: r}
		},
		Off: ErrNoPresence,
		Log: logFailure,
	}
	if broker != nil {
		keeper, ok := broker.(PresenceBroker)
		if !ok {
			logFailure("hub: Options.Presence has no effect: the Broker is no PresenceBroker", ErrNoPresence)
			return nil
		}
		o.Broker = rosterBroker{h, recoveringPresence{recoveringBroker{broker}, keeper}}
	}
	p.roster = roster.New(o)
	return p
}

// wants reports whether a room has presence, as far as the application decides that.
func (p *presence) wants(t Topic) (wanted bool) {
	if p == nil || t.Kind != KindRoom {
		return false
	}
	if p.options.Rooms == nil || p.roster.Room(t.Name) != nil {
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
	return p != nil && t.Kind == KindRoom && p.roster.Room(t.Name) != nil
}

// add adds a membership to its group. If that is a room with presence, add returns what the member is to
// get before all that is sent to the room. The caller holds the hub's mu and the member's mutex.
func (p *presence) add(ms *membership, wanted bool) (welcome []Message) {
	g, key := ms.group, ""
	if old := ms.member.memberships.key(); old != nil {
		key = old.group.topic.Name
	}
	var r *roster.Room
	if g.topic.Kind == KindRoom {
		r = p.roster.Enter(g.topic.Name, wanted)
	}
	if r == nil {
		g.add(ms)
		if g.topic.Kind == KindKey {
			p.moveKey(ms.member, key, g.topic.Name)
		}
		return nil
	}
	welcome = toldIn(r).add(ms)
	r.Join(key)
	return welcome
}

// toldIn returns what has been told in a room of the roster.
func toldIn(r *roster.Room) *presentRoom {
	return r.Owner().(*presentRoom) //nolint:errcheck,forcetypeassert // NewOwner makes no other
}

// leaving records that a member leaves groups, which are all of its groups if its connection ends.
// The caller holds the hub's mu and the member's mutex, and has removed the memberships from the
// groups.
func (p *presence) leaving(m *Member, list []*membership) {
	ends := len(list) > 0 && list[0] == &m.everyone
	key := ""
	if ms := m.memberships.key(); ms != nil {
		key = ms.group.topic.Name
	}
	for _, ms := range list {
		switch t := ms.group.topic; {
		case t.Kind == KindRoom:
			p.leavingRoom(t.Name, key, ends)
		case t.Kind == KindKey && !ends: // the member has no key any more
			p.moveKey(m, key, "")
		}
	}
	if ends && key != "" {
		p.roster.MoveKey(nil, key, "")
	}
}

func (p *presence) leavingRoom(name, key string, ends bool) {
	r := p.roster.Room(name)
	if r == nil {
		return
	}
	if key != "" {
		r.Leave(key, ends)
	}
	if p.hub.rooms[name] != nil {
		return
	}
	toldIn(r).setGroup(nil)
	r.Vacate()
}

// moveKey gives a member another key; each may be empty. The caller holds the hub's mu and the member's
// mutex.
func (p *presence) moveKey(m *Member, from, to string) {
	var rooms []string
	for ms := range m.memberships.all() {
		if t := ms.group.topic; t.Kind == KindRoom {
			rooms = append(rooms, t.Name)
		}
	}
	p.roster.MoveKey(rooms, from, to)
}

// prepare makes the list of a room anew if a member that is about to enter would get many changes with
// it.
func (p *presence) prepare(t Topic) {
	if p == nil || t.Kind != KindRoom || p.options.List == nil {
		return
	}
	if r := p.roster.Room(t.Name); r != nil {
		toldIn(r).renewList(0)
	}
}

// checked returns a message that can be sent, or the zero Message. It logs why a message can't be sent.
func (p *presence) checked(name string, m Message) Message {
	if m.encoded == nil && m.err == nil {
		return Message{}
	}
	if err := p.hub.check(m); err != nil {
		logFailure("hub: the message of Options.Presence."+name+" can't be sent", err)
		return Message{}
	}
	return m
}
