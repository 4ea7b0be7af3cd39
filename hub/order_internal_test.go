package hub

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var lobby = Room("lobby")

// A stage is two hubs and a member of the first. A test holds that member's mutex to block the
// passes of its room for as long as it likes.
type stage struct {
	t          *testing.T
	hub, other *Hub
	upgrader   *websocket.Upgrader
	server     *httptest.Server
	conns      chan served
	returns    map[*Member]chan<- error
	stuck      *Member
}

// served is a connection; its Serve returns the error that is sent to returns.
type served struct {
	conn    *websocket.Conn
	returns chan error
}

func newStage(t *testing.T) *stage {
	var memory Memory
	s := &stage{t: t, conns: make(chan served), returns: make(map[*Member]chan<- error)}
	s.hub, s.other = New(Options{Broker: memory.Node()}), New(Options{Broker: memory.Node()})
	s.upgrader = websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		conn.Go(func(context.Context) error {
			for {
				if _, _, err := conn.ReadMessage(); err != nil {
					return nil //nolint:nilerr // the connection ends
				}
			}
		})
		returns := make(chan error)
		s.conns <- served{conn, returns}
		select {
		case err := <-returns:
			return err
		case <-conn.Context().Done():
			return nil
		}
	}))
	s.server = httptest.NewServer(s.upgrader)
	t.Cleanup(s.server.Close)
	client, stuck := s.join()
	s.stuck = stuck
	go testws.Drain(client)
	return s
}

func (s *stage) join() (*wstest.Client, *Member) {
	s.t.Helper()
	client := wstest.Dial(s.t, s.server, "/", &wstest.Options{Timeout: 20 * time.Second})
	connection := <-s.conns
	m, err := s.hub.Join(connection.conn, "lobby")
	require.NoError(s.t, err)
	s.returns[m] = connection.returns
	require.NoError(s.t, m.SetKey(client.LocalAddr().String()))
	return client, m
}

// hold starts a pass with a first message and blocks it until release.
func (s *stage) hold(topic Topic) (release func()) {
	s.t.Helper()
	g := s.hub.group(topic)
	await := func(passing bool) {
		require.Eventually(s.t, func() bool {
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.passing == passing
		}, 20*time.Second, time.Millisecond)
	}
	await(false)
	s.stuck.mu.Lock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		assert.NoError(s.t, s.hub.To(topic).Send(Text("first")))
	}()
	await(true)
	return func() {
		s.stuck.mu.Unlock()
		<-done
	}
}

func (s *stage) down() {
	s.t.Helper()
	require.NoError(s.t, s.upgrader.Shutdown(s.t.Context()))
	require.NoError(s.t, s.hub.Shutdown(s.t.Context()))
	require.NoError(s.t, s.other.Shutdown(s.t.Context()))
}

// A message that is sent during a pass goes to exactly the members of that moment. A member that
// leaves, or whose connection ends, receives it first.
func TestRunningPassDelaysNoLeave(t *testing.T) {
	for name, end := range map[string]func(s *stage, m *Member){
		"leaves":                  func(_ *stage, m *Member) { m.Leave("lobby"); require.NoError(t, m.Send(Text("left"))) },
		"is closed":               func(_ *stage, m *Member) { go m.Conn().Close(4000, "") }, //nolint:errcheck // the frame shows it
		"returns from Serve":      func(s *stage, m *Member) { s.returns[m] <- websocket.NewCloseError(4000, "") },
		"is disconnected":         func(s *stage, m *Member) { require.NoError(t, s.hub.To(Key(m.Key())).Disconnect(4000, "")) },
		"is disconnected by node": func(s *stage, m *Member) { require.NoError(t, s.other.To(Key(m.Key())).Disconnect(4000, "")) },
		"has its Upgrader shut down": func(s *stage, _ *Member) {
			go func() { assert.NoError(t, s.upgrader.Shutdown(context.Background())) }()
		},
		"has its hub shut down": func(s *stage, _ *Member) {
			go func() { assert.NoError(t, s.hub.Shutdown(context.Background())) }()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			client, member := s.join()
			release := s.hold(lobby)
			require.NoError(t, s.hub.To(Room("lobby")).Send(Text("second")))
			require.NoError(t, s.hub.To(Room("lobby")).Except(member).Send(Text("for others")))
			require.NoError(t, s.other.To(Room("lobby")).Send(Text("of another node")))
			late, _ := s.join()
			end(s, member)
			for _, text := range []string{"first", "second", "of another node"} {
				client.ExpectText(text)
			}
			if name == "leaves" {
				client.ExpectText("left")
			} else {
				_, _, err := client.ReadMessage()
				assert.Contains(t, []int{4000, websocket.CloseGoingAway}, websocket.CloseStatus(err))
				require.NoError(t, s.hub.To(Room("lobby")).Send(Text("last")))
			}
			release()
			if name == "leaves" {
				require.NoError(t, s.hub.To(Room("lobby")).Send(Text("last")))
				require.NoError(t, member.Send(Text("nothing before")))
				client.ExpectText("nothing before")
			}
			go func() {
				for {
					_, text, err := late.ReadMessage()
					if err != nil {
						return
					}
					assert.Equal(t, "last", string(text), "a late member receives later messages only")
				}
			}()
			go testws.Drain(client)
			s.down()
		})
	}
}

// A member that changes its key receives the messages that were sent to the old key.
func TestChangedKeyInAPass(t *testing.T) {
	s := newStage(t)
	client, member := s.join()
	require.NoError(t, s.stuck.SetKey("ann"))
	require.NoError(t, member.SetKey("ann"))
	release := s.hold(Key("ann"))
	require.NoError(t, s.hub.To(Key("ann")).Send(Text("second")))
	require.NoError(t, member.SetKey("bob"))
	require.NoError(t, s.hub.To(Key("ann")).Send(Text("for others")))
	require.NoError(t, s.hub.To(Key("bob")).Send(Text("third")))
	for _, text := range []string{"first", "second", "third"} {
		client.ExpectText(text)
	}
	release()
	go testws.Drain(client)
	s.down()
}

// Positions wrap around.
func TestPositionsWrapAround(t *testing.T) {
	s := newStage(t)
	s.stuck.Leave("lobby")
	g := newGroup(s.hub, lobby)
	g.logStart = 1<<32 - 100
	s.hub.mu.Lock()
	s.hub.rooms["lobby"] = g
	s.hub.mu.Unlock()
	require.NoError(t, s.stuck.Join("lobby"))
	client, member := s.join()
	for range 20 {
		release := s.hold(lobby)
		for range 9 {
			require.NoError(t, s.hub.To(Room("lobby")).Send(Text("next")))
		}
		another, m := s.join()
		require.NoError(t, s.hub.To(Room("lobby")).Send(Text("last")))
		m.Leave("lobby")
		another.ExpectText("last")
		member.Leave("lobby")
		require.NoError(t, member.Join("lobby"))
		client.ExpectText("first")
		for range 9 {
			client.ExpectText("next")
		}
		client.ExpectText("last")
		release()
		require.NoError(t, m.Conn().CloseNow())
	}
	g.mu.Lock()
	assert.Less(t, g.logStart, uint32(1<<31), "the positions have wrapped around")
	g.mu.Unlock()
	go testws.Drain(client)
	s.down()
}

// A Join that the hub's Shutdown overtakes returns ErrShutdown, and not the error of the connection
// that the shutdown has closed.
func TestJoinOvertakenByShutdown(t *testing.T) {
	s := newStage(t)
	client := wstest.Dial(t, s.server, "/", &wstest.Options{Timeout: 20 * time.Second})
	conn := (<-s.conns).conn
	go testws.Drain(client)
	m := &Member{hub: s.hub, conn: conn} // the first step of Join
	_, err := m.enter(Everyone())
	require.NoError(t, err)
	require.NoError(t, s.hub.Shutdown(t.Context()))
	require.ErrorContains(t, context.Cause(conn.Context()), "1001")
	require.ErrorIs(t, m.leaveBeforeClose(), websocket.ErrShutdown)
	s.down()
}

// What is sent to two rooms comes behind what was sent to either before, also if the pass of one
// of them is held up, and once.
func TestUnionInAPass(t *testing.T) {
	s := newStage(t)
	client, member := s.join()
	outside, other := s.join()
	other.Leave("lobby")
	require.NoError(t, member.Join("chess"))
	require.NoError(t, other.Join("chess"))
	release := s.hold(lobby)
	require.NoError(t, s.hub.To(Room("chess")).Send(Text("chess 1")))
	require.NoError(t, s.hub.To(lobby, Room("chess"), Room("nobody's")).Send(Text("both 1")))
	require.NoError(t, s.hub.To(lobby).Send(Text("lobby 2")))
	require.NoError(t, s.other.To(Room("chess"), lobby).Except(other).Send(Text("both 2")))
	require.NoError(t, s.hub.To(lobby).Except(Room("chess")).Send(Text("not for chess")))
	require.NoError(t, s.hub.To(Room("chess"), member).Send(Text("chess 2")))
	require.NoError(t, s.hub.To(member).Except(lobby).Send(Text("not for the lobby")))
	require.NoError(t, s.hub.To(member, other).Except(Room("garden")).Send(Text("to the two")))
	require.NoError(t, s.hub.To(lobby).Send(Text("lobby 3")))
	require.NoError(t, s.hub.To(lobby, Room("chess")).Send(Text("both 3")))
	member.Leave("lobby", "chess")
	require.NoError(t, member.Join("lobby"))
	for _, text := range []string{"chess 1", "first", "both 1", "lobby 2", "both 2", "chess 2", "to the two", "lobby 3", "both 3"} {
		client.ExpectText(text)
	}
	release()
	for _, text := range []string{"chess 1", "both 1", "chess 2", "to the two", "both 3"} {
		outside.ExpectText(text)
	}
	require.NoError(t, s.hub.To(lobby, other).Send(Text("last")))
	client.ExpectText("last")
	outside.ExpectText("last")
	go testws.Drain(client)
	go testws.Drain(outside)
	s.down()
}

// A member that is named itself receives what was sent to the other targets before, though that
// does not fit into its queue together: its socket accepts it.
func TestDirectBehindMuch(t *testing.T) {
	s := newStage(t)
	s.hub.options.Queue = websocket.QueueLimit{Bytes: 64 << 10}
	client, m := s.join()
	release := s.hold(lobby)
	const messages = 20
	for range messages {
		require.NoError(t, s.hub.To(lobby).Send(Binary(make([]byte, 16<<10))))
	}
	require.NoError(t, s.hub.To(lobby, m).Send(Text("to it")))
	release()
	client.ExpectText("first")
	for range messages {
		client.ExpectBinary(make([]byte, 16<<10))
	}
	client.ExpectText("to it")
	assert.Zero(t, s.hub.Stats().Dropped)
	s.down()
}
