package brokertest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/hub"
)

// A SoakBroker has all that a hub can use of a broker.
type SoakBroker interface {
	hub.HistoryBroker
	hub.PresenceBroker
	hub.SubscriptionWaiter
}

// A SoakRig is the network that [Soak] puts hubs on. One goroutine at a time calls its functions.
type SoakRig struct {
	// Node returns a broker for one more node, connected with those of all earlier calls.
	Node func() SoakNode

	// Faults happen to the whole network, one after the other.
	Faults []SoakFault

	// IsExtra says that another rig has the same broker: a short run has each fault of the network once,
	// and no other trouble.
	IsExtra bool
}

// A SoakNode is a broker and its connection to the network.
type SoakNode struct {
	Broker SoakBroker // which is not opened yet

	// Cut cuts the broker off from the network, and Restore connects it again. After the last Cut of a
	// node that dies there is no Restore.
	Cut, Restore func()

	// Release is called once the broker is closed. May be nil.
	Release func()
}

// A SoakFault is something that happens to a network for a while.
type SoakFault struct {
	Name string

	// Begin and End are the fault. When End has returned, the network works again, or will do so within
	// a few seconds. End may be nil.
	Begin, End func()

	// LosesHistory says that all messages that the network has kept may be lost.
	LosesHistory bool

	// LosesNewest says that the newest of these messages may be lost, though the history goes on.
	LosesNewest bool
}

const (
	soakNodes   = 3
	soakPlayers = 12
	soakTime    = 4 * time.Second // unless HUB_SOAK_TIME says otherwise
	soakKeep    = 5000            // messages in a room with history

	soakTTL        = 2 * time.Second
	soakGrace      = 100 * time.Millisecond
	soakCheck      = 300 * time.Millisecond
	soakGapTimeout = 2 * time.Second
	soakCall       = time.Second // the most that a call for history takes
	soakClose      = 5 * time.Second

	// soakBound is how long it takes after the last fault until everyone knows everything: what the
	// documentation of the options promises, and some seconds for the broker to find its network again.
	soakBound = 5*soakTTL/2 + soakGapTimeout + 2*soakCheck + 15*time.Second
)

// soakQuiet is a room with history to which players send nothing.
const soakQuiet = "kept and quiet"

var (
	soakKept  = []string{"kept 1", "kept 2", soakQuiet}
	soakPlain = []string{"plain 1", "plain 2"}
	soakRooms = append(append([]string(nil), soakKept...), soakPlain...)
)

// Soak runs three hubs with history and presence on a network with faults, for some seconds, or for the
// time that the environment variable HUB_SOAK_TIME says, such as 20m. Players connect to any of the hubs,
// join and leave rooms, resume where they were, send messages, and change what others see of them. Some
// read slowly. Nodes are shut down and replaced, are cut off for a while, and die. Soak compares what each
// player has received with what was acknowledged:
//   - In a room with history, each player gets all messages from the position at which it resumed, each
//     once, in the one order of the room, until it leaves, is disconnected, or is told that they are lost.
//   - Other messages arrive at most once, in the order in which one node has sent them.
//   - No change of the people in a room contradicts what a player was told before.
//   - The last message before a quiet time reaches all, though it is lost on its way to the other nodes.
//   - Once the faults have ended, all players in a room get the missing messages, and all players and
//     nodes know the people in it, within the bounds that the hub's options promise. The same holds when
//     a person leaves afterwards: its node is shut down, its node dies, or its message is lost.
//   - Hubs and players end in time.
//
// Soak logs the seed of its choices. The caller checks that no goroutines are left.
func Soak(t testing.TB, rig SoakRig) {
	t.Helper()
	length, isBrief := soakTime, rig.IsExtra
	if isBrief {
		length = 0
	}
	if text := os.Getenv("HUB_SOAK_TIME"); text != "" {
		isBrief = false
		var err error
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal("HUB_SOAK_TIME:", err)
		}
	}
	seed := rand.Uint64()
	s := &soak{t: t, rig: rig, isBrief: isBrief, seed: seed, random: rand.New(rand.NewPCG(seed, 0)), ledger: newSoakLedger(), over: make(chan struct{}), final: make(map[string]hub.Position)} //nolint:gosec // a test
	s.ledger.failf = s.failf
	s.late.begin()
	defer s.late.end()
	for i := range s.nodes {
		s.nodes[i] = s.startNode()
	}
	for i := range soakPlayers {
		p := newSoakPlayer(s, i)
		s.players = append(s.players, p)
		s.running.Go(p.play)
	}
	s.sendEnds(time.Now()) // once the network is ready
	s.trouble(length)
	s.settle()
	s.quiet()
	close(s.over)
	s.running.Wait()
	for _, n := range s.nodes {
		n.shutdown()
	}
	s.ending.Wait()
	s.checkStays()
	s.tell(length)
}

// A soak is one run of Soak.
type soak struct {
	t       testing.TB
	rig     SoakRig
	isBrief bool
	seed    uint64
	random  *rand.Rand // of the goroutine of the test
	ledger  *soakLedger
	players []*soakPlayer

	running sync.WaitGroup // the players
	ending  sync.WaitGroup // the nodes that have died
	calm    atomic.Bool    // there are no more faults: players settle
	loses   atomic.Bool    // what has the lostMark is lost on its way
	late    lateness
	over    chan struct{} // closed when players end

	failures      atomic.Int64
	faults        int // how many there were
	ends          int // how many messages nodes have sent
	losses        int // of history
	newestLosses  int
	tooSlow, lost atomic.Int64 // how many connections have ended because of that
	resumed       atomic.Int64 // how many stays are the continuation of another
	settled       time.Duration
	final         map[string]hub.Position // of the newest message in each room

	mu      sync.Mutex
	nodes   [soakNodes]*soakNode
	started int
}

// failf fails the test, and ends the trouble. Further failures are most often consequences.
func (s *soak) failf(format string, arguments ...any) {
	if s.failures.Add(1) <= 10 {
		s.t.Errorf("%s (seed %d)", fmt.Sprintf(format, arguments...), s.seed)
	}
}

// A soakTrouble is one thing that happens in the run.
type soakTrouble struct {
	name string
	run  func()
}

// trouble makes trouble of all kinds, in random order, until the time has passed, each kind has occurred,
// and a player has resumed. On a busy machine that may take longer, but not longer than another minute.
func (s *soak) trouble(length time.Duration) {
	all := []soakTrouble{
		{"a node is cut off for a moment", func() { s.cutOff(s.between(50, 300)) }},
		{"a node is cut off for long", func() { s.cutOff(s.between(1000, 3000)) }},
		{"a node is shut down and replaced", func() { s.replace((*soakNode).shutdown) }},
		{"a node dies and is replaced", func() { s.replace((*soakNode).die) }},
		{"the last message of a quiet room is lost", func() { s.loseLast(soakQuiet, soakBound) }},
	}
	if s.isBrief {
		all = nil
	}
	for _, f := range s.rig.Faults {
		all = append(all, soakTrouble{f.Name, func() { s.fault(f) }})
	}
	begun := time.Now()
	isOver := func() bool {
		took := time.Since(begun)
		return took >= length+time.Minute || took >= length && s.resumed.Load() > 0
	}
	time.Sleep(s.between(200, 400)) // what there is to lose
	for round := 0; round == 0 || !isOver(); round++ {
		s.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, trouble := range all {
			if s.failures.Load() > 0 || round > 0 && isOver() {
				return
			}
			s.faults++
			at := time.Since(begun)
			trouble.run()
			if length <= time.Minute {
				s.t.Logf("%6.2fs: %s, for %.2fs", at.Seconds(), trouble.name, (time.Since(begun) - at).Seconds())
			}
			time.Sleep(s.between(50, 300))
		}
	}
}

// between returns a random duration between two numbers of milliseconds.
func (s *soak) between(least, most int64) time.Duration {
	return time.Duration(least+s.random.Int64N(most-least+1)) * time.Millisecond
}

func (s *soak) cutOff(d time.Duration) {
	n := s.pick(s.random)
	n.Cut()
	time.Sleep(d)
	n.Restore()
}

func (s *soak) replace(end func(*soakNode)) {
	slot := s.random.IntN(soakNodes)
	end(s.nodes[slot])
	time.Sleep(s.between(0, 200))
	n := s.startNode()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[slot] = n
}

func (s *soak) fault(f SoakFault) {
	if f.LosesHistory {
		s.losses++
	}
	if f.LosesNewest {
		s.newestLosses++
	}
	f.Begin()
	time.Sleep(s.between(50, 1200))
	if f.End != nil {
		f.End()
	}
	if f.LosesNewest {
		s.readAll(time.Now())
	}
}

// pick returns a node, which may be ending.
func (s *soak) pick(random *rand.Rand) *soakNode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[random.IntN(soakNodes)]
}

// tell logs what has happened, and fails the test if that was too little to be worth anything.
func (s *soak) tell(length time.Duration) {
	s.t.Helper()
	resumed, joined, plain := s.resumed.Load(), 0, 0
	for _, p := range s.players {
		plain += p.plain
		joined += len(p.stays)
	}
	kept, epochs := s.ledger.count()
	s.t.Logf("%v and %v to settle: %d faults, %d nodes, %d messages kept in %d epochs, %d stays of which %d resumed, %d other messages received, "+
		"%d connections too slow, %d without all messages, %d positions lost, late by %v at most",
		length, s.settled.Round(time.Millisecond), s.faults, s.started, kept, epochs, joined, resumed, plain, s.tooSlow.Load(), s.lost.Load(), s.ledger.lostCount(), time.Duration(s.late.worst.Load()).Round(time.Millisecond))
	if s.failures.Load() == 0 && (resumed == 0 || kept == 0 || plain == 0) {
		s.failf("nothing was tested")
	}
}
