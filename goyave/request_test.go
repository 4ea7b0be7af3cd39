package websocket_test

import (
	"context"
	"fmt"
	stdslog "log/slog"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"
	"weak"

	"github.com/goyave-contrib/websocket/goyave"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/log"
	"goyave.dev/goyave/v5/middleware/parse"
)

// Serve may change its request while the access log and middleware read theirs. The race detector
// finds shared data; concurrent use of a map is fatal even without it.
func TestServeMayChangeItsRequest(t *testing.T) {
	type key struct{}
	const rounds = 50
	var changing sync.WaitGroup
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.GlobalMiddleware(&log.AccessMiddleware{Formatter: func(ctx *log.Context) (string, []stdslog.Attr) {
			for range 100 {
				look(ctx.Request)
			}
			return log.CombinedLogFormatter(ctx)
		}}, &parse.Middleware{}, &around{after: func(_ *goyave.Response, request *goyave.Request) {
			for range 100 {
				look(request)
			}
			assert.Nil(t, request.Context().Value(key{}))
			assert.Nil(t, request.User)
			assert.Equal(t, "room", request.RouteParams["name"])
		}})
		router.Subrouter("/ws/{name}").Controller(websocket.New(&plain{serve: func(_ *websocket.Conn, request *goyave.Request) error {
			changing.Add(1)
			defer changing.Done()
			same := request.WithContext(context.WithValue(request.Context(), key{}, "own"))
			assert.Same(t, request, same)
			for i := range 100 {
				request.Extra[i] = i
				request.Query["n"] = i
				request.RouteParams["name"] = "another"
				request.Header().Set("Referer", "changed")
				request.URL().Path = "/changed"
			}
			request.User, request.Data, request.Lang, request.Route = "user", "data", nil, nil
			return websocket.NewCloseError(4000, fmt.Sprint(request.Context().Value(key{})))
		}}))
	})
	for range rounds {
		a.dial("/ws/room?name=Ada").ExpectClose(4000, "own")
	}
	a.stop()
	changing.Wait()
	require.Eventually(t, func() bool { return len(a.log.with(`GET "/ws/room?name=Ada" HTTP/1.1" 101 0`)) == rounds }, patience, time.Millisecond)
	assert.Empty(t, a.log.with("changed"))
}

// The copy of the request has all fields, including fields that Goyave may add.
func TestServeReceivesEveryField(t *testing.T) {
	fields := make(chan map[string]any, 2)
	all := func(request *goyave.Request) map[string]any {
		found := map[string]any{}
		value := reflect.ValueOf(request).Elem()
		for i := range value.NumField() {
			if value.Type().Field(i).IsExported() {
				assert.False(t, value.Field(i).IsZero(), value.Type().Field(i).Name)
				found[value.Type().Field(i).Name] = value.Field(i).Interface()
			}
		}
		return found
	}
	a := start(t, func(_ *goyave.Server, router *goyave.Router) {
		router.GlobalMiddleware(&parse.Middleware{}, &around{before: func(_ *goyave.Response, request *goyave.Request) {
			request.User, request.Data = "user", "data"
			request.Extra["key"] = "value"
			fields <- all(request)
		}})
		router.Subrouter("/ws/{room}").Controller(websocket.New(&plain{serve: func(_ *websocket.Conn, request *goyave.Request) error {
			fields <- all(request)
			return nil
		}}))
	})
	a.dial("/ws/1?a=b").ExpectClose(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
	before, served := receive(t, fields), receive(t, fields)
	assert.Equal(t, before, served)
}

// After Open, nothing of the package holds the request, unless OnError may still use it.
func TestMessagesDoNotHoldTheRequest(t *testing.T) {
	for _, handlesErrors := range []bool{false, true} {
		t.Run(fmt.Sprint(handlesErrors), func(t *testing.T) {
			var original, opened weak.Pointer[goyave.Request]
			open := func(conn *websocket.Conn, request *goyave.Request) (websocket.MessageHandler, error) {
				opened = weak.Make(request)
				assert.Equal(t, "room", request.RouteParams["name"])
				return websocket.MessageHandlerFunc(conn.WriteMessage), nil
			}
			var ctrl websocket.MessageController = &byMessage{open: open}
			if handlesErrors {
				ctrl = &toldByMessage{byMessage: byMessage{open: open}, onError: func(*goyave.Request, error) {}}
			}
			a := start(t, func(_ *goyave.Server, router *goyave.Router) {
				router.GlobalMiddleware(log.CombinedLogMiddleware(), &parse.Middleware{}, &around{
					before: func(_ *goyave.Response, request *goyave.Request) { original = weak.Make(request) },
				})
				router.Subrouter("/ws/{name}").Controller(websocket.NewMessages(ctrl))
			})
			client := a.dial("/ws/room")
			client.WriteText("hello")
			client.ExpectText("hello")
			released := func() bool {
				runtime.GC()
				return original.Value() == nil && opened.Value() == nil
			}
			if handlesErrors {
				assert.Never(t, released, 50*time.Millisecond, 10*time.Millisecond)
				assert.NotNil(t, opened.Value())
			} else {
				assert.Eventually(t, released, patience, 10*time.Millisecond)
			}
			client.WriteText("again")
			client.ExpectText("again")
		})
	}
}
