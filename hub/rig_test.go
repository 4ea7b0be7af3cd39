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

// A rig is a server whose connections read until they end. Who is in which hub is the
// test's business.
type rig struct {
	t        *testing.T
	upgrader *websocket.Upgrader
	target   any
	conns    chan *websocket.Conn
	told     chan error // what OnError is told
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
	t.Cleanup(func() { // before the servers'
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = r.upgrader.Shutdown(ctx) // it cuts
	})
	return r
}

func (r *rig) connect() (*wstest.Client, *websocket.Conn) {
	r.t.Helper()
	client := wstest.Dial(r.t, r.target, "/", &wstest.Options{Timeout: 20 * time.Second})
	return client, <-r.conns
}

// connectRaw connects a client that answers nothing by itself.
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

// joinSlow is join with a client that reads when it is told to.
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

// nothing expects that nothing was sent to clients so far: what comes next is this.
func nothing(t *testing.T, h *hub.Hub, clients ...*wstest.Client) {
	t.Helper()
	require.NoError(t, h.BroadcastAll(hub.Text("nothing before")))
	for _, client := range clients {
		client.ExpectText("nothing before")
	}
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, time.Millisecond)
}

// flood fills what lies between a member and a client that does not read, until a
// message finds the queue full, and returns how many messages did not.
func flood(t *testing.T, m *hub.Member, size int) int {
	t.Helper()
	return floodWith(t, m, hub.Binary(make([]byte, size)))
}

// floodWith is flood with a message.
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

// noise has goroutines publish again and again, once each of them has.
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
