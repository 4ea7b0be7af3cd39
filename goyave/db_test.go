//go:build cgo

package websocket_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
	_ "goyave.dev/goyave/v5/database/dialect/sqlite" // needs cgo
	original "goyave.dev/goyave/v5/websocket"
)

// handledKey is the key, in a request's Extra, of the context of net/http, which
// ends when the handler has returned.
type handledKey struct{}

// counting queries the number of users.
type counting struct {
	goyave.Component
	results chan error
}

// count waits until the HTTP handler has returned, then queries.
func (ctrl *counting) count(request *goyave.Request) {
	handled, _ := request.Extra[handledKey{}].(context.Context)
	<-handled.Done()
	var users int
	err := ctrl.DB().WithContext(request.Context()).Raw("SELECT COUNT(*) FROM users").Scan(&users).Error
	if err == nil && users != 2 {
		err = assert.AnError
	}
	ctrl.results <- err
}

type ourCounting struct{ counting }

func (ctrl *ourCounting) Serve(conn *websocket.Conn, request *goyave.Request) error {
	ctrl.count(request)
	err := echo(conn, request)
	// The connection has ended, and so has its context: later work needs another context.
	if request.Context().Err() == nil {
		err = assert.AnError
	}
	ctrl.results <- ctrl.DB().WithContext(request.Context()).Exec("DELETE FROM users").Error
	ctrl.results <- ctrl.DB().WithContext(context.WithoutCancel(request.Context())).Exec("DELETE FROM users").Error
	ctrl.results <- err
	return err
}

type theirCounting struct{ counting }

func (ctrl *theirCounting) Serve(_ *original.Conn, request *goyave.Request) error {
	ctrl.count(request)
	return nil
}

func TestDatabase(t *testing.T) {
	ours := &ourCounting{counting{results: make(chan error, 4)}}
	theirs := &theirCounting{counting{results: make(chan error, 1)}}
	a := newApp(t, setting{"database.connection", "sqlite3"}, setting{"database.name", t.Name()},
		setting{"database.options", "mode=memory&cache=shared"},
		setting{"database.config.prepareStmt", false}) // its cache has a goroutine that never ends
	require.NoError(t, a.DB().Exec("CREATE TABLE users (name TEXT)").Error)
	require.NoError(t, a.DB().Exec("INSERT INTO users VALUES ('Ada'), ('Grace')").Error)
	a.RegisterRoutes(func(_ *goyave.Server, router *goyave.Router) {
		router.Middleware(&around{before: func(_ *goyave.Response, request *goyave.Request) {
			request.Extra[handledKey{}] = request.Context()
		}})
		router.Subrouter("/ours").Controller(websocket.New(ours))
		router.Subrouter("/theirs").Controller(original.New(theirs))
	})
	a.run()

	client := a.dial("/ours")
	require.NoError(t, receive(t, ours.results))
	client.WriteText("hello")
	client.ExpectText("hello")
	client.Close(websocket.CloseNormalClosure, "")
	require.ErrorIs(t, receive(t, ours.results), context.Canceled)
	require.NoError(t, receive(t, ours.results))
	assert.True(t, websocket.IsCloseError(receive(t, ours.results)))

	their := wstest.Dial(t, a.url, "/theirs", &wstest.Options{Timeout: patience})
	require.ErrorIs(t, receive(t, theirs.results), context.Canceled, "the original's request ends before Serve begins")
	their.ExpectClose(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
	assert.Equal(t, http.StatusSwitchingProtocols, their.Response.StatusCode)
}
