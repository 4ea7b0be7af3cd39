package websocket_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// onEveryNetwork runs a test in memory, in a bubble, over TCP and over TLS. Serve
// puts the endpoint under test on that network.
func onEveryNetwork(t *testing.T, test func(t *testing.T, serve func(http.Handler) any)) {
	t.Run("memory", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			test(t, func(h http.Handler) any { return wstest.Serve(t, h) })
		})
	})
	for name, start := range map[string]func(http.Handler) *httptest.Server{
		"TCP": httptest.NewServer,
		"TLS": httptest.NewTLSServer,
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(h http.Handler) any {
				server := start(h)
				t.Cleanup(server.Close)
				return server
			})
		})
	}
}

// controller is a Controller made of functions. It keeps what it is told.
type controller struct {
	serve   func(conn *websocket.Conn, r *http.Request) error
	onError func(r *http.Request, err error)
	told    errorList
}

func (ctrl *controller) Serve(conn *websocket.Conn, r *http.Request) error {
	return ctrl.serve(conn, r)
}

func (ctrl *controller) OnError(r *http.Request, err error) {
	ctrl.told.add(err)
	if ctrl.onError != nil {
		ctrl.onError(r, err)
	}
}

// errorList is a list of errors that goroutines add to.
type errorList struct {
	mu   sync.Mutex
	errs []error
}

func (l *errorList) add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

func (l *errorList) all() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errs
}

// logged is one line of a log.
type logged struct {
	level slog.Level
	err   error
	attrs map[string]slog.Value
}

// logs collects what Options.Log is called with.
type logs struct {
	mu    sync.Mutex
	lines []logged
}

func (l *logs) log(_ context.Context, level slog.Level, err error, attrs ...slog.Attr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := logged{level: level, err: err, attrs: map[string]slog.Value{}}
	for _, a := range attrs {
		line.attrs[a.Key] = a.Value
	}
	l.lines = append(l.lines, line)
}

func (l *logs) all() []logged {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines
}

func silent(context.Context, slog.Level, error, ...slog.Attr) {}

// echo is the controller of the manual.
func echo(conn *websocket.Conn, _ *http.Request) error {
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

// ended waits until no connection of the upgrader is left, without hurrying any.
func ended(t *testing.T, u *websocket.Upgrader) {
	t.Helper()
	require.Eventually(t, func() bool {
		stats := u.Stats() // a client has the 101 before it is counted
		return stats.Upgrades > 0 && stats.Open == 0
	}, 30*time.Second, time.Millisecond)
}

// upgradeBare performs the opening handshake on a bare connection and returns the
// status of the answer. It reads nothing beyond.
func upgradeBare(t *testing.T, conn net.Conn) int {
	t.Helper()
	request := "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	_, err := io.WriteString(conn, request)
	assert.NoError(t, err)
	var answer []byte
	for !bytes.HasSuffix(answer, []byte("\r\n\r\n")) {
		var b [1]byte
		if _, err := io.ReadFull(conn, b[:]); !assert.NoError(t, err) {
			return 0
		}
		answer = append(answer, b[0])
	}
	var status int
	_, err = fmt.Sscanf(string(answer), "HTTP/1.1 %d", &status)
	assert.NoError(t, err)
	return status
}
