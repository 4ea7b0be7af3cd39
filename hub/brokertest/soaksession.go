package brokertest

import (
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

// A soakSession is one connection of a player.
type soakSession struct {
	*soakPlayer
	node   *soakNode
	client *websocket.Conn
	conn   *websocket.Conn // the server's end
	member *hub.Member
	from   string // the sender of its messages
	sent   int
	marks  chan int // the stays whose end the client has been told of
	ending atomic.Bool

	reading sync.WaitGroup

	stayMu sync.Mutex
	stays  map[string]*soakStay // by room: those that have begun, on the server

	last map[string]int // of each sender and plain room, the number of the last message

	seenMu sync.Mutex
	seen   map[string]*soakStay // by room, those that the client knows
}

func (s *soakSession) stay(room string) *soakStay {
	s.stayMu.Lock()
	defer s.stayMu.Unlock()
	return s.stays[room]
}

func (s *soakSession) begin(stay *soakStay) {
	s.stayMu.Lock()
	defer s.stayMu.Unlock()
	s.stays[stay.room] = stay
	s.soakPlayer.stays = append(s.soakPlayer.stays, stay)
}

// end ends a stay of which nothing more arrives.
func (s *soakSession) end(room string) {
	s.stayMu.Lock()
	defer s.stayMu.Unlock()
	stay := s.stays[room]
	delete(s.stays, room)
	if n := len(stay.got); n > 0 {
		s.since[room] = hub.Position{Epoch: stay.epoch, Offset: stay.got[n-1]}
	}
}

// read reads until the connection ends.
func (s *soakSession) read() {
	for {
		_, p, err := s.client.ReadMessage()
		if err != nil {
			s.readEnded(err)
			return
		}
		if s.isSlow && !s.soak.calm.Load() && s.number%2 == s.sessions%2 {
			time.Sleep(10 * time.Millisecond)
		}
		f, ok := parseFrame(p)
		if !ok {
			s.soak.failf("%s got %.100q", s.from, p)
			continue
		}
		s.seenMu.Lock()
		s.receive(f)
		s.seenMu.Unlock()
	}
}

// readEnded expects that the player, the node or the hub had a reason to end the connection.
func (s *soakSession) readEnded(err error) {
	var closed *websocket.CloseError
	isClose := errors.As(err, &closed)
	switch {
	case s.ending.Load() || s.node.ended.Load():
	case isClose && closed.Code == websocket.CloseTryAgainLater && closed.Text == "missed messages":
		s.soak.lost.Add(1)
	case isClose && closed.Code == websocket.CloseTryAgainLater:
		s.soak.tooSlow.Add(1)
	default:
		s.soak.failf("%s on %s has ended: %v", s.from, s.node.name, err)
	}
}

// receive checks a frame and records it.
func (s *soakSession) receive(f soakFrame) {
	if f.Kind == frameEnter {
		if s.seen == nil {
			s.seen = make(map[string]*soakStay)
		}
		s.seen[f.Room] = s.stay(f.Room)
		return
	}
	stay := s.seen[f.Room]
	if stay == nil {
		s.soak.failf("%s is not in %q and got %+v", s.from, f.Room, f)
		return
	}
	switch f.Kind {
	case frameLeft:
		delete(s.seen, f.Room)
		s.marks <- f.Stay
	case frameList:
		s.receiveList(stay, f)
	case frameChanges:
		s.receiveChanges(stay, f)
	default:
		s.receiveMessage(stay, f)
	}
}

func (s *soakSession) receiveMessage(stay *soakStay, f soakFrame) {
	if f.Except == s.key {
		s.soak.failf("%s got what is not for %q: %+v", s.from, s.key, f)
	}
	if !stay.isKept {
		sender := f.Room + " " + f.From
		if f.Number <= s.last[sender] {
			s.soak.failf("%s got %d of %q after %d", s.from, f.Number, sender, s.last[sender])
		}
		s.last[sender] = f.Number
		s.plain++
		return
	}
	s.soak.ledger.record(f.Room, f.At, f.soakMessage)
	if stay.epoch == "" {
		stay.epoch = f.At.Epoch
		if before := stay.since.Epoch; before != "" && before != f.At.Epoch {
			s.soak.failf("%s got %v of %q, which it had resumed since %v", s.from, f.At, f.Room, stay.since)
		}
	}
	last := stay.since.Offset
	if n := len(stay.got); n > 0 {
		last = stay.got[n-1]
	}
	if f.At.Epoch != stay.epoch || f.At.Offset <= last {
		s.soak.failf("%s got %v of %q after %d in %s", s.from, f.At, f.Room, last, stay.epoch)
	}
	stay.got = append(stay.got, f.At.Offset)
}

func (s *soakSession) receiveList(stay *soakStay, f soakFrame) {
	if stay.people != nil {
		s.soak.failf("%s got a second list of %q", s.from, f.Room)
	}
	stay.people = make(map[string]string)
	for _, p := range f.People {
		stay.people[p.Key] = string(p.Value)
	}
}

func (s *soakSession) receiveChanges(stay *soakStay, f soakFrame) {
	if stay.people == nil {
		s.soak.failf("%s got changes of %q before a list: %v", s.from, f.Room, f.Changes)
		return
	}
	for _, c := range f.Changes {
		old, present := stay.people[c.Key]
		isSame := present && old == string(c.Value)
		fits := c.Kind == "joined" && !present || c.Kind == "updated" && present && !isSame || c.Kind == "left" && isSame
		if !fits {
			s.soak.failf("%s was told in %q that %s %s with %q; before, present: %v, with %q", s.from, f.Room, c.Key, c.Kind, c.Value, present, old)
		}
		if c.Kind == "left" {
			delete(stay.people, c.Key)
		} else {
			stay.people[c.Key] = string(c.Value)
		}
	}
}

// newest returns the position of the last message of a room that the client has received.
func (s *soakSession) newest(room string) hub.Position {
	s.seenMu.Lock()
	defer s.seenMu.Unlock()
	stay := s.seen[room]
	switch {
	case stay == nil:
		return hub.Position{}
	case len(stay.got) == 0:
		return stay.since
	default:
		return hub.Position{Epoch: stay.epoch, Offset: stay.got[len(stay.got)-1]}
	}
}

// people returns who is in a room, as the client was told.
func (s *soakSession) people(room string) map[string]string {
	s.seenMu.Lock()
	defer s.seenMu.Unlock()
	people := make(map[string]string)
	if stay := s.seen[room]; stay != nil {
		maps.Copy(people, stay.people)
	}
	return people
}

// hasFrom reports whether the client has received a message of a sender in a plain room.
func (s *soakSession) hasFrom(room, sender string) bool {
	s.seenMu.Lock()
	defer s.seenMu.Unlock()
	return s.last[room+" "+sender] > 0
}
