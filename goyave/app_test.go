package websocket_test

import (
	"bytes"
	"encoding/json"
	"io"
	stdslog "log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/config"
	"goyave.dev/goyave/v5/slog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is a limit that is generous even on a slow machine.
const patience = 20 * time.Second

// records is a log, one JSON object for each record.
type records struct {
	mu  sync.Mutex
	all []map[string]any
}

func (r *records) Write(p []byte) (int, error) {
	var record map[string]any
	if err := json.NewDecoder(bytes.NewReader(p)).Decode(&record); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, record)
	return len(p), nil
}

// with returns the records whose message contains text.
func (r *records) with(text string) []map[string]any {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.all), func(record map[string]any) bool {
		message, _ := record["msg"].(string)
		return !strings.Contains(message, text)
	})
}

// wait returns the first record whose message contains text.
func (r *records) wait(t *testing.T, text string) map[string]any {
	t.Helper()
	require.Eventually(t, func() bool { return len(r.with(text)) > 0 }, patience, time.Millisecond, "not logged: %s", text)
	return r.with(text)[0]
}

// app is a running application.
type app struct {
	*goyave.Server
	t       *testing.T
	url     string
	log     *records
	stopped chan struct{} // closed when Start has returned
}

type setting struct {
	key   string
	value any
}

// start runs an application on a free port, without app.debug, and stops it
// when the test ends.
func start(t *testing.T, register func(*goyave.Server, *goyave.Router), settings ...setting) *app {
	t.Helper()
	a := newApp(t, settings...)
	a.RegisterRoutes(register)
	a.run()
	return a
}

// newApp returns an application that is not started yet.
func newApp(t *testing.T, settings ...setting) *app {
	t.Helper()
	cfg := config.LoadDefault()
	cfg.Set("server.port", 0)
	cfg.Set("app.debug", false)
	for _, s := range settings {
		cfg.Set(s.key, s.value)
	}
	a := &app{t: t, log: &records{}, stopped: make(chan struct{})}
	logger := slog.New(stdslog.NewJSONHandler(a.log, &stdslog.HandlerOptions{Level: stdslog.LevelDebug}))
	server, err := goyave.New(goyave.Options{Config: cfg, Logger: logger})
	require.NoError(t, err)
	a.Server = server
	return a
}

func (a *app) run() {
	a.t.Helper()
	ready := make(chan struct{})
	a.RegisterStartupHook(func(*goyave.Server) { close(ready) })
	go func() {
		defer close(a.stopped)
		assert.NoError(a.t, a.Start())
	}()
	a.t.Cleanup(func() {
		a.Stop()
		<-a.stopped
	})
	select {
	case <-ready:
	case <-a.stopped:
		require.FailNow(a.t, "the server does not start")
	}
	a.url = "http://" + a.Host()
}

func (a *app) dial(path string) *wstest.Client {
	a.t.Helper()
	return a.dialWith(path, nil)
}

func (a *app) dialWith(path string, header http.Header) *wstest.Client {
	a.t.Helper()
	return wstest.Dial(a.t, a.url, path, &wstest.Options{Header: header, Timeout: patience})
}

// reply is a response and its body.
type reply struct {
	StatusCode int
	Header     http.Header
}

// refused returns the response to a handshake that must be refused.
func (a *app) refused(path string, header http.Header) (answer reply, body string) {
	a.t.Helper()
	response := wstest.DialRefused(a.t, a.url, path, &wstest.Options{Header: header, Timeout: patience})
	content, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	require.NoError(a.t, response.Body.Close())
	return reply{response.StatusCode, response.Header}, strings.TrimSpace(string(content))
}

// answer returns the response to a request that is no handshake.
func (a *app) answer(method, path string) (answer reply, body string) {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), method, a.url+path, http.NoBody)
	require.NoError(a.t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Do(request)
	require.NoError(a.t, err)
	content, err := io.ReadAll(response.Body)
	require.NoError(a.t, err)
	require.NoError(a.t, response.Body.Close())
	return reply{response.StatusCode, response.Header}, strings.TrimSpace(string(content))
}

// at mounts one controller.
func at(path string, ctrl websocket.Controller) func(*goyave.Server, *goyave.Router) {
	return func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter(path).Controller(websocket.New(ctrl))
	}
}

// plain is a controller with none of the optional interfaces.
type plain struct {
	goyave.Component
	serve func(conn *websocket.Conn, request *goyave.Request) error
}

func (ctrl *plain) Serve(conn *websocket.Conn, request *goyave.Request) error {
	if ctrl.serve == nil {
		return echo(conn, request)
	}
	return ctrl.serve(conn, request)
}

func echo(conn *websocket.Conn, _ *goyave.Request) error {
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		if err := conn.WriteMessage(messageType, message); err != nil {
			return err
		}
	}
}

// told is a plain controller with an ErrorHandler.
type told struct {
	plain
	onError func(request *goyave.Request, err error)
}

func (ctrl *told) OnError(request *goyave.Request, err error) { ctrl.onError(request, err) }

// byMessage is a MessageController with none of the optional interfaces.
type byMessage struct {
	goyave.Component
	open func(conn *websocket.Conn, request *goyave.Request) (websocket.MessageHandler, error)
}

func (ctrl *byMessage) Open(conn *websocket.Conn, request *goyave.Request) (websocket.MessageHandler, error) {
	if ctrl.open == nil {
		return websocket.MessageHandlerFunc(conn.WriteMessage), nil
	}
	return ctrl.open(conn, request)
}

// toldByMessage is a byMessage with an ErrorHandler.
type toldByMessage struct {
	byMessage
	onError func(request *goyave.Request, err error)
}

func (ctrl *toldByMessage) OnError(request *goyave.Request, err error) { ctrl.onError(request, err) }

// closingHandler is a handler of messages with an OnClose.
type closingHandler struct {
	websocket.MessageHandlerFunc
	onClose func(err error)
}

func (h *closingHandler) OnClose(err error) { h.onClose(err) }

// atMessages mounts one controller that handles messages.
func atMessages(path string, ctrl websocket.MessageController) func(*goyave.Server, *goyave.Router) {
	return func(_ *goyave.Server, router *goyave.Router) {
		router.Subrouter(path).Controller(websocket.NewMessages(ctrl))
	}
}

// receive returns the next value, which must arrive soon.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(patience):
		require.FailNow(t, "nothing comes")
		panic("unreachable")
	}
}
