package websocket_test

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
)

// talker serves a member of a room of its server's hub. At the end it broadcasts a goodbye with the
// reason.
type talker struct {
	goyave.Component
	t    *testing.T
	room string
}

func (ctrl *talker) Serve(conn *websocket.Conn, request *goyave.Request) error {
	rooms := websocket.HubOf(ctrl)
	member, err := rooms.Join(conn, ctrl.room)
	if err != nil {
		return err
	}
	defer func() {
		why := context.Cause(request.Context())
		assert.NoError(ctrl.t, rooms.To(hub.Room(ctrl.room)).Send(hub.Text("goodbye: "+why.Error())))
	}()
	if err := member.Send(hub.Text("welcome")); err != nil {
		return err
	}
	for {
		_, text, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := rooms.To(hub.Room(ctrl.room)).Except(member).Send(hub.Text(string(text))); err != nil {
			return err
		}
	}
}

// caller is a controller without WebSockets that sends to members of the hub.
type caller struct {
	goyave.Component
}

func (ctrl *caller) RegisterRoutes(router *goyave.Router) { router.Post("/rooms/{room}", ctrl.call) }

func (ctrl *caller) call(response *goyave.Response, request *goyave.Request) {
	rooms := websocket.HubOf(ctrl)
	room := request.RouteParams["room"]
	if err := rooms.To(hub.Room(room)).Send(hub.Text("dinner is ready")); err != nil {
		response.Error(err)
		return
	}
	response.String(http.StatusOK, strconv.Itoa(rooms.CountIn(room)))
}

// startTalk runs an application with a hub with the given options.
func startTalk(t *testing.T, options hub.Options) *app {
	t.Helper()
	a := newApp(t)
	a.RegisterService(websocket.NewHubService(a.Server, options))
	a.RegisterRoutes(func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter("/lobby").Controller(websocket.New(&talker{t: t, room: "lobby"}))
		router.Subrouter("/side-door").Controller(websocket.New(&talker{t: t, room: "lobby"}))
		router.Subrouter("/cellar").Controller(websocket.New(&talker{t: t, room: "cellar"}))
		router.Controller(&caller{})
	})
	a.run()
	return a
}

// welcomed connects and expects the welcome message.
func (a *app) welcomed(path string) *wstest.Client {
	a.t.Helper()
	client := a.dial(path)
	client.ExpectText("welcome")
	return client
}

func TestEveryControllerFindsTheHub(t *testing.T) {
	a := startTalk(t, hub.Options{})
	ada, bob, cid := a.welcomed("/lobby"), a.welcomed("/side-door"), a.welcomed("/cellar")
	ada.WriteText("hello")
	bob.ExpectText("hello")

	answer, body := a.answer(http.MethodPost, "/rooms/lobby")
	assert.Equal(t, http.StatusOK, answer.StatusCode)
	assert.Equal(t, "2", body)
	ada.ExpectText("dinner is ready")
	bob.ExpectText("dinner is ready")

	bob.Close(websocket.CloseNormalClosure, "")
	ada.ExpectText("goodbye: websocket: close 1000 (normal)")
	_, body = a.answer(http.MethodPost, "/rooms/cellar")
	assert.Equal(t, "1", body)
	cid.ExpectText("dinner is ready") // the first message to the cellar
}

// diary is a broker that records its calls in order.
type diary struct {
	mu      sync.Mutex
	entries []string
}

func (d *diary) add(entry string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, entry)
	return nil
}

func (d *diary) all() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.entries)
}

func (d *diary) Open(func(hub.Topic, []byte)) { _ = d.add("open") }

func (d *diary) Publish(t hub.Topic, payload []byte) error {
	return d.add("publish " + t.Name + ": " + string(payload[3:]))
}

func (d *diary) Subscribe(t hub.Topic) error   { return d.add("subscribe " + t.Name) }
func (d *diary) Unsubscribe(t hub.Topic) error { return d.add("unsubscribe " + t.Name) }
func (d *diary) Close() error                  { return d.add("close") }

// The broker is closed last, so that the last messages of Serve still reach other nodes.
func TestHubShutsDownAfterTheUpgraders(t *testing.T) {
	broker := &diary{}
	a := startTalk(t, hub.Options{Broker: broker})
	clients := []*wstest.Client{a.welcomed("/lobby"), a.welcomed("/cellar")}
	a.begin()
	for _, client := range clients {
		client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	}
	receive(t, a.stopped)
	require.NotEmpty(t, broker.entries)
	last := len(broker.entries) - 1
	assert.Equal(t, "close", broker.entries[last])
	assert.Contains(t, broker.entries[:last], "publish lobby: goodbye: "+websocket.ErrShutdown.Error())
	assert.Contains(t, broker.entries[:last], "publish cellar: goodbye: "+websocket.ErrShutdown.Error())
	assert.Contains(t, broker.entries[:last], "unsubscribe lobby")
	for _, line := range a.log.with("") {
		assert.Equal(t, "DEBUG", line["level"], "%v", line)
	}
}

// stubborn is a broker that can't be closed.
type stubborn struct{ diary }

func (*stubborn) Close() error { panic("stuck") }

// Errors and panics of the broker's Close are logged, and the server still stops.
func TestBrokerThatPanicsAtTheEnd(t *testing.T) {
	a := startTalk(t, hub.Options{Broker: &stubborn{}})
	a.stop()
	line := a.log.wait(t, "stuck")
	assert.Equal(t, "ERROR", line["level"])
	assert.Contains(t, line["stack"], "stubborn")
}

// Slow members get their queued messages, and then 1001.
func TestHubSendsWhatIsQueuedBeforeTheShutdown(t *testing.T) {
	const messages, size = 16, 1 << 20 // more than the buffers of the socket hold
	a := startTalk(t, hub.Options{Queue: websocket.QueueLimit{Bytes: 2 * messages * size}})
	client := a.welcomed("/lobby")
	rooms := websocket.HubOf(a.Server)
	long := hub.Text(strings.Repeat("a", size))
	for range messages {
		require.NoError(t, rooms.To(hub.Room("lobby")).Send(long))
	}
	queued, _ := rooms.In("lobby")[0].Conn().Queued()
	require.Positive(t, queued)
	a.begin()
	for range messages {
		_, message, err := client.ReadMessage()
		require.NoError(t, err)
		require.Len(t, message, size)
	}
	client.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	receive(t, a.stopped)
}

// news is a second hub.
type news struct {
	*websocket.HubService
}

func (news) Name() string { return "news" }

func TestTwoHubs(t *testing.T) {
	broker := &diary{}
	a := newApp(t)
	a.RegisterService(websocket.NewHubService(a.Server, hub.Options{}))
	a.RegisterService(news{websocket.NewHubService(a.Server, hub.Options{Broker: broker})})
	second, ok := a.Service("news").(news)
	require.True(t, ok)
	assert.NotSame(t, websocket.HubOf(a.Server).Hub, second.Hub)
	a.run()
	a.stop()
	assert.Equal(t, []string{"open", "close"}, slices.Clone(broker.entries))
}

// Servers of one process have hubs of their own.
// The service passes on what the hub knows of the people in rooms.
func TestHubKeepsPresence(t *testing.T) {
	a := startTalk(t, hub.Options{Presence: &hub.PresenceOptions{}})
	_ = a.welcomed("/lobby")
	rooms := websocket.HubOf(a.Server)
	member := rooms.In("lobby")[0]
	require.NoError(t, member.SetKey("ada"))
	require.NoError(t, member.SetPresence([]byte("here")))
	people, err := rooms.Present(t.Context(), "lobby")
	require.NoError(t, err)
	assert.Equal(t, []hub.Person{{Key: "ada", Value: []byte("here")}}, people)
	a.stop()
}

func TestHubsOfTwoServers(t *testing.T) {
	one, two := startTalk(t, hub.Options{}), startTalk(t, hub.Options{})
	first, second, third := one.welcomed("/lobby"), two.welcomed("/lobby"), two.welcomed("/lobby")
	one.begin()
	first.ExpectClose(websocket.CloseGoingAway, shuttingDown)
	receive(t, one.stopped)
	second.WriteText("still here")
	third.ExpectText("still here")
}

func TestHubThatIsNotThere(t *testing.T) {
	a := newApp(t)
	assert.PanicsWithError(t, `service "goyave-contrib.websocket.hub" does not exist`, func() { websocket.HubOf(a.Server) })
	a.RegisterService(impostor{})
	assert.PanicsWithError(t, `websocket: another service is named "goyave-contrib.websocket.hub"`, func() { websocket.HubOf(a.Server) })
}

type impostor struct{}

func (impostor) Name() string { return websocket.HubServiceName }
