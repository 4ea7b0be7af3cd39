package hub_test

import (
	"testing"
	"testing/synctest"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// panickyBroker panics in one of its methods.
type panickyBroker struct{ method string }

func (b *panickyBroker) call(method string) error {
	if b.method == method {
		panic("a panic of " + method)
	}
	return nil
}

func (*panickyBroker) Open(func(hub.Topic, []byte))      {}
func (b *panickyBroker) Publish(hub.Topic, []byte) error { return b.call("Publish") }
func (b *panickyBroker) Subscribe(t hub.Topic) error {
	if t.Kind == hub.KindNode { // without it there are no members
		return nil
	}
	return b.call("Subscribe")
}
func (b *panickyBroker) Unsubscribe(hub.Topic) error { return b.call("Unsubscribe") }
func (b *panickyBroker) Close() error                { return b.call("Close") }

// A panic of a broker becomes the error of the call, if the call returns one. Members still leave,
// in any goroutine, and no lock stays locked.
func TestPanickingBroker(t *testing.T) {
	for _, method := range []string{"Publish", "Subscribe", "Unsubscribe", "Close"} {
		t.Run(method, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				check := func(of string, err error) {
					t.Helper()
					if of != method {
						require.NoError(t, err)
						return
					}
					var panicked *websocket.PanicError
					require.ErrorAs(t, err, &panicked)
					require.Equal(t, "a panic of "+method, panicked.Value)
					require.Contains(t, string(panicked.Stack), "panickyBroker")
				}
				h := hub.New(hub.Options{Broker: &panickyBroker{method: method}})
				r := newRig(t, testws.Memory, websocket.Options{})
				gone, member := r.join(h)
				kicked, other := r.join(h)
				_, third := r.join(h)
				for _, m := range []*hub.Member{member, other, third} {
					check("Subscribe", m.Join("lobby"))
					check("Subscribe", m.Join("lobby", m.Conn().RemoteAddr().String()))
					check("Subscribe", m.SetKey("ann"))
				}
				check("Publish", h.To(hub.Everyone()).Send(hub.Text("hello")))
				expect(t, gone, "hello")
				member.Leave("lobby")
				gone.Close(1000, "")
				synctest.Wait()
				assert.Equal(t, 2, h.Stats().Members)

				check("Publish", h.To(hub.Key("ann")).Disconnect(4000, ""))
				if method != "Subscribe" {
					expect(t, kicked, "hello")
					kicked.ExpectClose(4000, "")
				}
				check("Close", h.Shutdown(t.Context()))
				check("Close", h.Shutdown(t.Context()))
				assert.Equal(t, hub.Stats{}, h.Stats())
			})
		})
	}
}
