package hub_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A rig is a server whose connections read until they end. The test joins them to hubs.
type rig struct {
	t        *testing.T
	upgrader *websocket.Upgrader
	target   any
	conns    chan *websocket.Conn
	told     chan error // the errors of OnError
}

func (r *rig) Serve(conn *websocket.Conn, _ *http.Request) error {
	r.conns <- conn
	for {
		if _, _, err := conn.ReadMessage(); err != nil {
			return err
		}
	}
}

func (r *rig) OnError(_ *http.Request, err error) {
	select {
	case r.told <- err:
	default:
	}
}

func newRig(t *testing.T, n testws.Network, options websocket.Options) *rig {
	r := &rig{t: t, conns: make(chan *websocket.Conn, 1), told: make(chan error, 100)}
	r.upgrader = websocket.New(r)
	r.upgrader.Options = options
	r.upgrader.Logger = testws.Silent
	r.target = n.Serve(t, r.upgrader)
	t.Cleanup(func() { // runs before the cleanup of the server
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.upgrader.Shutdown(ctx) // it aborts the connections at once
	})
	return r
}

func (r *rig) connect() (*wstest.Client, *websocket.Conn) {
	r.t.Helper()
	client := wstest.Dial(r.t, r.target, "/", &wstest.Options{Timeout: 20 * time.Second})
	return client, <-r.conns
}

// connectRaw connects a client that does not answer control frames by itself.
func (r *rig) connectRaw() (*wstest.Raw, *websocket.Conn) {
	r.t.Helper()
	client := wstest.DialRaw(r.t, r.target, "/", &wstest.Options{Timeout: 20 * time.Second})
	return client, <-r.conns
}

func (r *rig) join(h *hub.Hub, rooms ...string) (*wstest.Client, *hub.Member) {
	r.t.Helper()
	client, conn := r.connect()
	member, err := h.Join(conn, rooms...)
	require.NoError(r.t, err)
	return client, member
}

// joinSlow is join with a client that reads only on demand.
func (r *rig) joinSlow(h *hub.Hub, rooms ...string) (*wstest.Client, *hub.Member) {
	r.t.Helper()
	client := wstest.Dial(r.t, r.target, "/", &wstest.Options{ReadOnDemand: true, Timeout: 20 * time.Second})
	member, err := h.Join(<-r.conns, rooms...)
	require.NoError(r.t, err)
	return client, member
}

func expect(t *testing.T, client *wstest.Client, texts ...string) {
	t.Helper()
	for _, text := range texts {
		client.ExpectText(text)
	}
}

// nothing expects that no message is on its way to the clients: the next one is its own.
func nothing(t *testing.T, h *hub.Hub, clients ...*wstest.Client) {
	t.Helper()
	require.NoError(t, h.To(hub.Everyone()).Send(hub.Text("nothing before")))
	for _, client := range clients {
		client.ExpectText("nothing before")
	}
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, time.Millisecond)
}

// flood sends messages to a member whose client does not read until one does not fit into the
// queue. It returns the number of messages that did fit.
func flood(t *testing.T, m *hub.Member, size int) int {
	t.Helper()
	return floodWith(t, m, hub.Binary(make([]byte, size)))
}

// floodWith is flood with a given message.
func floodWith(t *testing.T, m *hub.Member, message hub.Message) int {
	t.Helper()
	for i := range 1 << 22 {
		if err := m.Send(message); err != nil {
			require.ErrorIs(t, err, websocket.ErrQueueFull)
			return i
		}
	}
	require.Fail(t, "the queue does not fill")
	return 0
}

func numbers(prefix string, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprint(prefix, i)
	}
	return texts
}

// noise starts goroutines that publish until stop. It returns when each has published once.
func noise(t *testing.T, publish func() error) (stop func()) {
	t.Helper()
	const publishers = 4
	stopped, begun := make(chan struct{}), make(chan struct{}, publishers)
	var publishing sync.WaitGroup
	for range publishers {
		publishing.Go(func() {
			err := publish()
			begun <- struct{}{}
			for err == nil {
				select {
				case <-stopped:
					return
				default:
					err = publish()
				}
			}
			t.Error(err)
		})
	}
	for range publishers {
		<-begun
	}
	return func() {
		close(stopped)
		publishing.Wait()
	}
}
