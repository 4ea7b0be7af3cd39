package integration_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkedRefusals records the arguments of OnUpgradeError.
type checkedRefusals struct {
	testws.CheckController
	status int
	reason error
}

func (ctrl *checkedRefusals) OnUpgradeError(w http.ResponseWriter, _ *http.Request, status int, reason error) {
	ctrl.status, ctrl.reason = status, reason
	w.WriteHeader(status)
}

// checkedHeaders is a checkController that adds headers.
type checkedHeaders struct {
	testws.HeaderController
	check func(r *http.Request) error
}

func (ctrl *checkedHeaders) CheckUpgrade(r *http.Request) error { return ctrl.check(r) }

func TestCheckUpgrade(t *testing.T) {
	full := errors.New("the room is full")
	refuse := func(status int, reason error) error { return &websocket.RefusedError{Status: status, Reason: reason} }
	after := func(status int, wait time.Duration) error {
		return &websocket.RefusedError{Status: status, RetryAfter: wait, Reason: full}
	}
	for _, tt := range []struct {
		name       string
		err        error
		want       int
		retryAfter string
		mentions   string // by default, the room
	}{
		{name: "nothing to say", want: http.StatusSwitchingProtocols},
		{name: "an error", err: full, want: http.StatusInternalServerError},
		{name: "no status", err: refuse(0, full), want: http.StatusForbidden},
		{name: "no status, no reason", err: &websocket.RefusedError{}, want: http.StatusForbidden, mentions: "refused: Forbidden"},
		{name: "nothing at all", err: (*websocket.RefusedError)(nil), want: http.StatusForbidden, mentions: "refused: Forbidden"},
		{name: "a status without a name, no reason", err: refuse(599, nil), want: 599, mentions: "refused: 599"},
		{name: "unauthorized", err: refuse(http.StatusUnauthorized, full), want: http.StatusUnauthorized},
		{name: "wrapped", err: fmt.Errorf("the lobby: %w", refuse(http.StatusConflict, full)), want: http.StatusConflict, mentions: "the lobby: the room is full"},
		{name: "too often", err: refuse(http.StatusTooManyRequests, full), want: http.StatusTooManyRequests, retryAfter: "5"},
		{name: "not now", err: refuse(http.StatusServiceUnavailable, full), want: http.StatusServiceUnavailable, retryAfter: "5"},
		{name: "not within a minute", err: after(http.StatusTooManyRequests, time.Minute), want: http.StatusTooManyRequests, retryAfter: "60"},
		{name: "not within a second and a bit", err: after(http.StatusServiceUnavailable, time.Second+1), want: http.StatusServiceUnavailable, retryAfter: "2"},
		{name: "not at once", err: after(http.StatusServiceUnavailable, 1), want: http.StatusServiceUnavailable, retryAfter: "1"},
		{name: "not for ages", err: after(http.StatusForbidden, 1<<63-1), want: http.StatusForbidden, retryAfter: "9223372037"},
		{name: "not now, with another status", err: after(http.StatusConflict, 3*time.Second), want: http.StatusConflict, retryAfter: "3"},
		{name: "not now, and nobody knows when", err: after(http.StatusServiceUnavailable, -1), want: http.StatusServiceUnavailable},
		{name: "out of order", err: refuse(http.StatusInternalServerError, full), want: http.StatusInternalServerError},
		{name: "the first status that is possible", err: refuse(400, full), want: 400},
		{name: "the last status that is possible", err: refuse(599, full), want: 599},
		{name: "a success", err: refuse(http.StatusOK, full), want: http.StatusInternalServerError, mentions: "status 200, want 400 to 599"},
		{name: "a success, no reason", err: refuse(http.StatusOK, nil), want: http.StatusInternalServerError, mentions: "status 200, want 400 to 599"},
		{name: "an upgrade", err: refuse(http.StatusSwitchingProtocols, full), want: http.StatusInternalServerError, mentions: "status 101"},
		{name: "a redirect", err: refuse(http.StatusFound, full), want: http.StatusInternalServerError, mentions: "status 302"},
		{name: "a redirect, no reason", err: refuse(http.StatusSeeOther, nil), want: http.StatusInternalServerError, mentions: "status 303"},
		{name: "no status of HTTP", err: refuse(600, full), want: http.StatusInternalServerError, mentions: "status 600"},
		{name: "a negative status", err: after(-1, time.Minute), want: http.StatusInternalServerError, mentions: "status -1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var calls int
			check := testws.CheckController{ControllerFunc: testws.Echo, Check: func(r *http.Request) error {
				calls++
				assert.Equal(t, "/ws", r.URL.Path)
				return tt.err
			}}
			ctrl := &checkedRefusals{CheckController: check}
			upgrader := websocket.New(ctrl)
			upgrader.MaxConnections = 1
			response := connect(t, testws.BesidesAlive(upgrader))
			require.Equal(t, tt.want, response.Status)
			require.Equal(t, 1, calls)
			require.Equal(t, tt.retryAfter, response.Header.Get("Retry-After"))
			if tt.want == http.StatusSwitchingProtocols {
				require.NoError(t, ctrl.reason)
				return
			}
			require.Equal(t, tt.want, ctrl.status)
			require.ErrorIs(t, ctrl.reason, tt.err)
			require.ErrorContains(t, ctrl.reason, cmp.Or(tt.mentions, full.Error()))
			if errors.Is(tt.err, full) {
				require.ErrorIs(t, ctrl.reason, full)
			}
			require.Equal(t, websocket.Stats{Refusals: map[int]uint64{tt.want: 1}}, upgrader.Stats())
			testws.RequireIdle(t, upgrader)

			upgrader = websocket.New(&check)
			upgrader.Debug = true
			response = connect(t, testws.BesidesAlive(upgrader))
			require.Equal(t, tt.want, response.Status)
			require.Contains(t, response.Body, ctrl.reason.Error())
			require.Equal(t, "13", response.Header.Get("Sec-WebSocket-Version"))
		})
	}
}

// CheckUpgrade is not called for handshakes that are refused for another reason.
func TestCheckUpgradeIsAskedLast(t *testing.T) {
	for _, tt := range refusals {
		if tt.opaque {
			continue // the connection is taken over when all have agreed
		}
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(&checkedHeaders{
				HeaderController: testws.HeaderController{ControllerFunc: testws.Echo, Headers: func(*http.Request) http.Header { return tt.headers }},
				check: func(*http.Request) error {
					assert.Fail(t, "the check is asked")
					return nil
				},
			})
			if tt.down {
				testws.RequireIdle(t, upgrader)
			}
			conn := testws.DialHTTP(t, wstest.Serve(t, upgrader))
			require.Equal(t, tt.status, conn.Do(testws.UpgradeRequest(tt.change)).Status)
		})
	}
}

func TestCheckUpgradePanics(t *testing.T) {
	ctrl := &testws.CheckController{ControllerFunc: testws.Echo, Check: func(*http.Request) error { panic("boom") }}
	upgrader := websocket.New(ctrl)
	upgrader.MaxConnections = 1
	server := wstest.Serve(t, testws.BesidesAlive(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				http.Error(w, fmt.Sprint("recovered: ", p), http.StatusInternalServerError)
			}
		}()
		upgrader.ServeHTTP(w, r)
	})))
	conn := testws.DialHTTP(t, server)
	for range 2 {
		response := conn.Do(testws.UpgradeRequest(nil))
		require.Equal(t, http.StatusInternalServerError, response.Status)
		require.Equal(t, "recovered: boom\n", response.Body)
		conn.ExpectAlive()
	}
	ctrl.Check = func(*http.Request) error { return nil }
	require.Equal(t, http.StatusSwitchingProtocols, conn.Do(testws.UpgradeRequest(nil)).Status)
}

// listController has other subprotocols for each client.
type listController struct {
	testws.HeaderController
	list func(r *http.Request) []string
}

func (ctrl *listController) Subprotocols(r *http.Request) []string { return ctrl.list(r) }

func TestSubprotocolLister(t *testing.T) {
	for _, tt := range []struct {
		name    string
		list    []string
		options []string
		ours    []string // the settings'
		headers http.Header
		theirs  []string
		want    string
	}{
		{name: "instead of the options'", list: []string{"chat.v2"}, options: []string{"chat.v1"}, theirs: []string{"chat.v1", "chat.v2"}, want: "chat.v2"},
		{name: "nil: the options'", options: []string{"chat.v1"}, theirs: []string{"chat.v1", "chat.v2"}, want: "chat.v1"},
		{name: "nil: the options', and not the settings'", options: []string{"chat.v1"}, ours: []string{"chat.v2"}, theirs: []string{"chat.v2", "chat.v1"}, want: "chat.v1"},
		{name: "nil: the options' empty list", options: []string{}, ours: []string{"chat.v2"}, theirs: []string{"chat.v2"}},
		{name: "the headers' choice does not count where the options have a list", options: []string{"chat.v2"}, headers: http.Header{"Sec-Websocket-Protocol": {"mqtt"}}, theirs: []string{"mqtt"}},
		{name: "the one that is listed", list: []string{"chat.v2"}, theirs: []string{"chat.v1", "chat.v2"}, want: "chat.v2"},
		{name: "the preferred one", list: []string{"chat.v2", "chat.v1"}, theirs: []string{"chat.v1", "chat.v2"}, want: "chat.v2"},
		{name: "instead of the settings'", list: []string{"chat.v2"}, ours: []string{"chat.v1"}, theirs: []string{"chat.v1", "chat.v2"}, want: "chat.v2"},
		{name: "none of the settings'", list: []string{"chat.v2"}, ours: []string{"chat.v1"}, theirs: []string{"chat.v1"}},
		{name: "nil: the settings'", ours: []string{"chat.v1"}, theirs: []string{"chat.v1", "chat.v2"}, want: "chat.v1"},
		{name: "empty: none", list: []string{}, ours: []string{"chat.v1"}, theirs: []string{"chat.v1"}},
		{name: "the headers' choice does not count", list: []string{"chat.v2"}, headers: http.Header{"Sec-Websocket-Protocol": {"mqtt"}}, theirs: []string{"mqtt"}},
		{name: "nil: the headers' choice", headers: http.Header{"Sec-Websocket-Protocol": {"mqtt"}}, theirs: []string{"mqtt"}, want: "mqtt"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(&listController{
				HeaderController: testws.HeaderController{ControllerFunc: testws.Echo, Headers: func(*http.Request) http.Header { return tt.headers }},
				list: func(r *http.Request) []string {
					assert.Equal(t, "/ws", r.URL.Path)
					return tt.list
				},
			})
			upgrader.Options.Subprotocols, upgrader.Settings.Subprotocols = tt.options, tt.ours
			client := wstest.Dial(t, upgrader, "/ws", &wstest.Options{Subprotocols: tt.theirs})
			require.Equal(t, tt.want, client.Subprotocol())
			require.Equal(t, tt.ours, upgrader.Settings.Subprotocols, "the application's settings are left as they are")
		})
	}
}

func TestRequireSubprotocol(t *testing.T) {
	for _, tt := range []struct {
		name    string
		ours    []string
		list    []string
		headers http.Header
		theirs  []string
		want    string   // "": refused
		reasons []string // what the reason mentions
	}{
		{name: "one in common", ours: []string{"chat.v2", "chat.v1"}, theirs: []string{"mqtt", "chat.v1"}, want: "chat.v1"},
		{name: "none in common", ours: []string{"chat.v2", "chat.v1"}, theirs: []string{"mqtt", "stomp"}, reasons: []string{`["mqtt" "stomp"]`, `["chat.v2" "chat.v1"]`}},
		{name: "none offered", ours: []string{"chat.v2"}, reasons: []string{"offers []", `["chat.v2"]`}},
		{name: "none known", theirs: []string{"mqtt"}, reasons: []string{`["mqtt"]`, "has []"}},
		{name: "in another case", ours: []string{"chat"}, theirs: []string{"Chat"}, reasons: []string{`["Chat"]`, `["chat"]`}},
		{name: "the controller's list", ours: []string{"chat.v1"}, list: []string{"chat.v2"}, theirs: []string{"chat.v2"}, want: "chat.v2"},
		{name: "not in the controller's list", ours: []string{"chat.v1"}, list: []string{"chat.v2"}, theirs: []string{"chat.v1"}, reasons: []string{`["chat.v1"]`, `["chat.v2"]`}},
		{name: "an empty list", list: []string{}, headers: http.Header{"Sec-Websocket-Protocol": {"mqtt"}}, theirs: []string{"mqtt"}, reasons: []string{"has []"}},
		{name: "the headers' choice", headers: http.Header{"Sec-WebSocket-Protocol": {"mqtt"}}, theirs: []string{"stomp", "mqtt"}, want: "mqtt"},
		{name: "the headers' choice that was not offered", headers: http.Header{"Sec-Websocket-Protocol": {"mqtt"}}, theirs: []string{"stomp"}, reasons: []string{`["stomp"]`, `["mqtt"]`}},
		{name: "the headers' choice beside a list", ours: []string{"chat"}, headers: http.Header{"Sec-Websocket-Protocol": {"mqtt"}}, theirs: []string{"mqtt"}, reasons: []string{`["mqtt"]`, `["chat"]`}},
		{name: "an empty one is none", theirs: []string{"a", ""}, reasons: []string{`offers ["a"]`, "has []"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(&listController{
				HeaderController: testws.HeaderController{ControllerFunc: testws.Echo, Headers: func(*http.Request) http.Header { return tt.headers }},
				list:             func(*http.Request) []string { return tt.list },
			})
			upgrader.Settings.Subprotocols = tt.ours
			upgrader.RequireSubprotocol = true
			upgrader.Debug = true
			options := &wstest.Options{Subprotocols: tt.theirs}
			if tt.want != "" {
				client := wstest.Dial(t, upgrader, "/", options)
				require.Equal(t, tt.want, client.Subprotocol())
				return
			}
			response := testws.DialRefused(t, upgrader, "/", options)
			require.Equal(t, http.StatusBadRequest, response.Status)
			var told struct{ Error string }
			require.NoError(t, json.Unmarshal([]byte(response.Body), &told))
			for _, mentioned := range tt.reasons {
				require.Contains(t, told.Error, mentioned)
			}
		})
	}
}

// Clients and proxies may send one header line for each subprotocol (RFC 6455, 11.3.4).
func TestRequiredSubprotocolOnSeveralLines(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		want  int
	}{
		{name: "on the second", lines: []string{"v1", "v2"}, want: http.StatusSwitchingProtocols},
		{name: "on the last, among others", lines: []string{"v1", "", "mqtt, v2,stomp"}, want: http.StatusSwitchingProtocols},
		{name: "on none", lines: []string{"v1", "mqtt"}, want: http.StatusBadRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
			upgrader.RequireSubprotocol = true
			upgrader.Settings.Subprotocols = []string{"v2"}
			response := testws.DialHTTP(t, wstest.Serve(t, upgrader)).Do(testws.UpgradeRequest(func(r *http.Request) {
				r.Header["Sec-Websocket-Protocol"] = tt.lines
			}))
			require.Equal(t, tt.want, response.Status)
			if tt.want == http.StatusSwitchingProtocols {
				require.Equal(t, "v2", response.Header.Get("Sec-Websocket-Protocol"))
			}
		})
	}
}

// A browser that opens the URL as a page learns that it sent no handshake, not that it
// offered no subprotocol.
func TestRequireSubprotocolIsCheckedAfterTheHandshake(t *testing.T) {
	upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
	upgrader.RequireSubprotocol = true
	require.Equal(t, http.StatusForbidden, connect(t, upgrader, "https://evil.test").Status)
	require.Equal(t, http.StatusBadRequest, connect(t, upgrader).Status)
}
