package websocket_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMaxConnectionsIsExact has a thousand clients connect at once, twice.
func TestMaxConnectionsIsExact(t *testing.T) {
	const clients, most = 1000, 300
	upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
	upgrader.MaxConnections = most
	server := wstest.Serve(t, upgrader)
	request := testws.UpgradeBytes(t)

	// handshake returns the status, and the connection if it was upgraded.
	handshake := func() (int, net.Conn) {
		conn, err := server.DialContext(t.Context(), "", "")
		if !assert.NoError(t, err) {
			return 0, nil
		}
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		_, err = conn.Write(request)
		assert.NoError(t, err)
		response, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
		if !assert.NoError(t, err) {
			return 0, nil
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusSwitchingProtocols {
			return response.StatusCode, conn
		}
		assert.Equal(t, "5", response.Header.Get("Retry-After"))
		_ = conn.Close()
		return response.StatusCode, nil
	}
	for range 2 {
		var mu sync.Mutex
		statuses := map[int]int{}
		var open []net.Conn
		var connecting sync.WaitGroup
		for range clients {
			connecting.Go(func() {
				status, conn := handshake()
				mu.Lock()
				defer mu.Unlock()
				statuses[status]++
				if conn != nil {
					open = append(open, conn)
				}
			})
		}
		connecting.Wait()
		require.Equal(t, map[int]int{http.StatusSwitchingProtocols: most, http.StatusServiceUnavailable: clients - most}, statuses)
		opened := func() bool { return upgrader.Stats().Open == most } // a client has the 101 before it is counted
		require.Eventually(t, opened, time.Minute, time.Millisecond)
		for _, conn := range open {
			require.NoError(t, conn.Close())
		}
		require.Eventually(t, func() bool { return upgrader.Stats().Open == 0 }, time.Minute, time.Millisecond)
	}
}

// The response to the client that exceeds MaxConnections.
func TestFullEndpoint(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		reasons := make(chan error, 10)
		upgrader := websocket.New(&testws.RefusalController{
			HeaderController: testws.HeaderController{ControllerFunc: testws.Echo, Headers: testws.NoHeaders},
			Refuse: func(w http.ResponseWriter, _ *http.Request, status int, reason error) {
				w.WriteHeader(status)
				reasons <- reason
			},
		})
		upgrader.MaxConnections = 1
		server := serve(upgrader)
		first := wstest.Dial(t, server, "/", nil)
		refused := testws.DialRefused(t, server, "/", nil)
		require.Equal(t, http.StatusServiceUnavailable, refused.Status)
		require.Equal(t, "5", refused.Header.Get("Retry-After"))
		require.ErrorIs(t, <-reasons, websocket.ErrTooManyConnections)

		refused = testws.DialRefused(t, server, "/", &wstest.Options{Header: http.Header{"Origin": {"https://evil.test"}}})
		require.Equal(t, http.StatusForbidden, refused.Status, "what is wrong with the request comes first")
		require.Empty(t, refused.Header.Get("Retry-After"))
		require.NotErrorIs(t, <-reasons, websocket.ErrTooManyConnections)

		first.WriteText("still served")
		first.ExpectText("still served")
		first.Close(websocket.CloseNormalClosure, "")
		testws.AwaitEnd(t, upgrader)
		wstest.Dial(t, server, "/", nil).Close(websocket.CloseNormalClosure, "")
		testws.AwaitEnd(t, upgrader)
		require.Empty(t, reasons)
	})
}

func TestMaxConnectionsOff(t *testing.T) {
	for _, most := range []int{0, -1} {
		upgrader := websocket.New(websocket.ControllerFunc(testws.Echo))
		upgrader.MaxConnections = most
		server := wstest.Serve(t, upgrader)
		for range 20 {
			wstest.DialRaw(t, server, "/", nil)
		}
	}
}

// A closed connection counts until its controller has returned.
func TestPlaceIsHeldUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leave := make(chan struct{})
		upgrader := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			conn.Go(func(context.Context) error {
				<-leave
				return nil
			})
			return testws.Echo(conn, r)
		}))
		upgrader.MaxConnections = 1
		server := wstest.Serve(t, upgrader)
		wstest.Dial(t, server, "/", nil).Close(websocket.CloseNormalClosure, "")
		synctest.Wait()
		require.Equal(t, http.StatusServiceUnavailable, testws.DialRefused(t, server, "/", nil).Status)
		close(leave)
		synctest.Wait()
		wstest.Dial(t, server, "/", nil).Close(websocket.CloseNormalClosure, "")
	})
}

// Requests that are still being checked do not count.
func TestSlowCheckHoldsNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		decided := make(chan struct{})
		upgrader := websocket.New(&testws.CheckController{ControllerFunc: testws.Echo, Check: func(r *http.Request) error {
			if r.URL.Path == "/slow" {
				<-decided
			}
			return nil
		}})
		upgrader.MaxConnections = 1
		server := wstest.Serve(t, upgrader)
		slow := testws.DialHTTP(t, server)
		request := testws.UpgradeRequest(func(r *http.Request) { r.URL.Path = "/slow" })
		require.NoError(t, request.Write(slow))
		synctest.Wait()
		fast := wstest.Dial(t, server, "/fast", nil)
		close(decided)
		require.Equal(t, http.StatusServiceUnavailable, slow.Answer(request).Status)
		fast.Close(websocket.CloseNormalClosure, "")
	})
}

// An upgrade that is still being refused does not count: writing the response may take a
// while.
func TestFailedUpgradeHoldsNoPlace(t *testing.T) {
	endpoint := websocket.NewEndpoint(websocket.Options{MaxConnections: 1, Logger: testws.Silent})
	meanwhile := 0
	_, err := endpoint.Accept(httptest.NewRecorder(), testws.UpgradeRequest(nil), websocket.Handshake{
		Refuse: func(int, error) {
			_, err := endpoint.Accept(httptest.NewRecorder(), testws.UpgradeRequest(nil), websocket.Handshake{
				Refuse: func(int, error) { meanwhile++ },
			})
			assert.ErrorContains(t, err, "can't be taken over")
			assert.NotErrorIs(t, err, websocket.ErrTooManyConnections)
		},
	})
	require.ErrorContains(t, err, "can't be taken over")
	require.Equal(t, 1, meanwhile)
	testws.RequireIdle(t, endpoint)
}

// panickingWriter is the writer of broken middleware.
type panickingWriter struct{ http.ResponseWriter }

func (panickingWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) { panic("hijack") }

// Upgrades fail in all possible ways after they were counted.
func TestNoPlaceIsLost(t *testing.T) {
	gone := errors.New("the peer is gone")
	for _, tt := range []struct {
		name   string
		writer func(t *testing.T) http.ResponseWriter
		check  func() error
		panics bool
	}{
		{name: "the connection can't be hijacked", writer: func(*testing.T) http.ResponseWriter { return httptest.NewRecorder() }},
		{name: "the 101 can't be written", writer: func(*testing.T) http.ResponseWriter {
			_, server := wstest.Pipe()
			return &hijackedWriter{httptest.NewRecorder(), &unwritableConn{server, gone}}
		}},
		{name: "hijacking panics", panics: true, writer: func(*testing.T) http.ResponseWriter { return panickingWriter{httptest.NewRecorder()} }},
		{name: "the check refuses", check: func() error { return &websocket.RefusedError{Reason: gone} }},
		{name: "the check panics", panics: true, check: func() error { panic("check") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			endpoint := websocket.NewEndpoint(websocket.Options{MaxConnections: 1, Logger: testws.Silent})
			for range 3 {
				var w http.ResponseWriter = httptest.NewRecorder()
				if tt.writer != nil {
					w = tt.writer(t)
				}
				attempt := func() {
					_, err := endpoint.Accept(w, testws.UpgradeRequest(nil), websocket.Handshake{
						CheckUpgrade: tt.check,
						Refuse:       func(_ int, reason error) { assert.NotErrorIs(t, reason, websocket.ErrTooManyConnections) },
					})
					require.Error(t, err)
					require.NotErrorIs(t, err, websocket.ErrTooManyConnections)
				}
				if tt.panics {
					require.Panics(t, attempt)
				} else {
					attempt()
				}
			}
			testws.RequireIdle(t, endpoint)
		})
	}
}

func TestConnections(t *testing.T) {
	testws.OnEveryNetwork(t, func(t *testing.T, serve func(http.Handler) any) {
		leave := make(chan struct{})
		u := websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, r *http.Request) error {
			if r.URL.Path == "/stays" {
				<-leave
				return nil
			}
			return testws.Echo(conn, r)
		}))
		server := serve(u)
		assert.Empty(t, u.Connections())
		first := wstest.Dial(t, server, "/", nil)
		second := wstest.Dial(t, server, "/", nil)
		third := wstest.DialRaw(t, server, "/stays", nil)
		require.Eventually(t, func() bool { return len(u.Connections()) == 3 }, time.Minute, time.Millisecond)
		for _, conn := range u.Connections() {
			assert.NotNil(t, conn.Context().Value(http.ServerContextKey), "it has the values of its request")
		}

		snapshot := u.Connections()
		first.Close(websocket.CloseNormalClosure, "")
		require.Eventually(t, func() bool { return len(u.Connections()) == 2 }, time.Minute, time.Millisecond)
		assert.Len(t, snapshot, 3, "it is not changed")
		for _, conn := range snapshot {
			go func() { _ = conn.Close(websocket.ClosePolicyViolation, "") }()
		}
		second.ExpectClose(websocket.ClosePolicyViolation, "")
		third.ExpectClose(websocket.ClosePolicyViolation, "")
		third.Send(wstest.Close(websocket.ClosePolicyViolation, ""))
		third.ExpectEnd()
		require.Eventually(t, func() bool { return len(u.Connections()) == 1 }, time.Minute, time.Millisecond, "Serve has not returned")
		close(leave)
		testws.AwaitEnd(t, u)
		assert.Empty(t, u.Connections())
	})
}

// Snapshots are taken while connections come and go.
func TestConnectionsAtAnyTime(t *testing.T) {
	u := websocket.New(websocket.ControllerFunc(testws.Echo))
	server := wstest.Serve(t, u)
	var running sync.WaitGroup
	for range 10 {
		running.Go(func() {
			for range 50 {
				wstest.Dial(t, server, "/", nil).Close(websocket.CloseNormalClosure, "")
			}
		})
	}
	ended := make(chan struct{})
	go func() { defer close(ended); running.Wait() }()
	for {
		seen := make(map[*websocket.Conn]bool)
		for _, conn := range u.Connections() {
			assert.NotNil(t, conn)
			assert.False(t, seen[conn], "each is there once")
			seen[conn] = true
		}
		assert.LessOrEqual(t, len(seen), 20)
		select {
		case <-ended:
			testws.AwaitEnd(t, u)
			return
		default:
		}
	}
}
