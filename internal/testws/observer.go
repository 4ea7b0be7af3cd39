package testws

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/stretchr/testify/require"
)

// Observed records what its Observer receives. Mu guards the fields.
type Observed struct {
	Mu         sync.Mutex
	Conns      []*websocket.Conn
	EndedConns []*websocket.Conn
	endings    []websocket.Ending
	Refusals   []string // path, status and reason of each
}

// Observer returns the observer whose calls are recorded.
func (o *Observed) Observer() *websocket.Observer {
	return &websocket.Observer{UpgradeRefused: o.upgradeRefused, Opened: o.opened, Ended: o.ended}
}

func (o *Observed) upgradeRefused(r *http.Request, status int, reason error) {
	o.Mu.Lock()
	defer o.Mu.Unlock()
	o.Refusals = append(o.Refusals, fmt.Sprint(r.URL.Path, " ", status, " ", reason))
}

func (o *Observed) opened(conn *websocket.Conn) {
	o.Mu.Lock()
	defer o.Mu.Unlock()
	o.Conns = append(o.Conns, conn)
}

func (o *Observed) ended(conn *websocket.Conn, ending websocket.Ending) {
	o.Mu.Lock()
	defer o.Mu.Unlock()
	o.EndedConns = append(o.EndedConns, conn)
	o.endings = append(o.endings, ending)
}

// Only returns the ending of the only connection.
func (o *Observed) Only(t *testing.T) websocket.Ending {
	t.Helper()
	o.Mu.Lock()
	defer o.Mu.Unlock()
	require.Len(t, o.endings, 1)
	require.Equal(t, o.Conns, o.EndedConns)
	return o.endings[0]
}
