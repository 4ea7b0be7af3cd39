package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// quoted checks that docs/troubleshooting.md quotes a text in the section of a symptom, as
// the log or a client has it. A symptom is a part of the heading.
func quoted(t *testing.T, symptom, text string) {
	t.Helper()
	content, err := os.ReadFile("../../docs/troubleshooting.md")
	require.NoError(t, err)
	found := false
	for section := range strings.SplitSeq(string(content), "\n## ") {
		if heading, _, _ := strings.Cut(section, "\n"); strings.Contains(heading, symptom) {
			found = true
			assert.Contains(t, strings.Join(strings.Fields(section), " "), text)
		}
	}
	require.True(t, found, "no section has %q", symptom)
}

// What a refused client is told with Debug is the reason that an Observer is told.
func TestRefusalsAreQuoted(t *testing.T) {
	for _, tc := range []struct {
		name   string
		status int
		change func(r *http.Request)
		set    func(u *websocket.Upgrader)
	}{
		{name: "HTTP/1.0", status: 400, change: func(r *http.Request) { r.Proto, r.ProtoMinor = "HTTP/1.0", 0 }},
		{name: "another version", status: 400, change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Version", "8") }},
		{name: "a short key", status: 400, change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Key", "short") }},
		{name: "malformed extensions", status: 400, change: func(r *http.Request) { r.Header.Set("Sec-Websocket-Extensions", "a b") }},
		{name: "a body", status: 400, change: func(r *http.Request) { r.ContentLength = 1 }},
		{name: "no subprotocol", status: 400, set: func(u *websocket.Upgrader) {
			u.Subprotocols, u.RequireSubprotocol = []string{"chat.v1"}, true
		}},
		{name: "a proxy that changes the host", status: 403, change: func(r *http.Request) {
			r.Host = "127.0.0.1:8080"
			r.Header.Set("Origin", "https://chat.example.com")
		}},
		{name: "POST", status: 405, change: func(r *http.Request) { r.Method = http.MethodPost }},
		{name: "no upgrade", status: 426, change: func(r *http.Request) { r.Header.Del("Connection") }},
		{name: "an option that makes no sense", status: 500, set: func(u *websocket.Upgrader) { u.CompressionLevel = 12 }},
		{name: "a shutdown", status: 503, set: func(u *websocket.Upgrader) { _ = u.Shutdown(context.Background()) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := websocket.New(websocket.ControllerFunc(testws.Echo))
			u.Debug, u.Logger = true, testws.Silent
			if tc.set != nil {
				tc.set(u)
			}
			w := &refusedWriter{}
			u.ServeHTTP(w, testws.UpgradeRequest(tc.change))
			require.Equal(t, tc.status, w.status)
			var body struct{ Error string }
			require.NoError(t, json.Unmarshal(w.body, &body))
			quoted(t, strconv.Itoa(tc.status), body.Error)
		})
	}
}

// A refusedWriter keeps a refusal. It can't be taken over, as the writer of a careless
// middleware.
type refusedWriter struct {
	header http.Header
	status int
	body   []byte
}

func (w *refusedWriter) Header() http.Header {
	if w.header == nil {
		w.header = http.Header{}
	}
	return w.header
}
func (w *refusedWriter) WriteHeader(status int) { w.status = status }
func (w *refusedWriter) Write(p []byte) (int, error) {
	w.body = append(w.body, p...)
	return len(p), nil
}

func TestFailuresOfUpgradesAreQuoted(t *testing.T) {
	t.Run("middleware", func(t *testing.T) {
		var logs testws.Logs
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.Logger = logs.Logger()
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u.ServeHTTP(testws.OpaqueWriter{ResponseWriter: w}, r)
		})
		reply := testws.DialRefused(t, handler, "/", nil)
		require.Equal(t, http.StatusInternalServerError, reply.Status)
		lines := logs.All()
		require.Len(t, lines, 1)
		quoted(t, "500", lines[0].Message)
		quoted(t, "500", lines[0].Err.Error())
	})
	t.Run("too many", func(t *testing.T) {
		var seen testws.Observed
		u := websocket.New(websocket.ControllerFunc(testws.Echo))
		u.MaxConnections, u.Logger, u.Observer = 1, testws.Silent, seen.Observer()
		server := wstest.Serve(t, u)
		client := wstest.Dial(t, server, "/", nil)
		reply := testws.DialRefused(t, server, "/", nil)
		require.Equal(t, http.StatusServiceUnavailable, reply.Status)
		quoted(t, "503", strings.TrimSpace(reply.Body))
		client.Close(1000, "")
		seen.Mu.Lock()
		defer seen.Mu.Unlock()
		require.Len(t, seen.Refusals, 1)
		quoted(t, "503", strings.TrimPrefix(seen.Refusals[0], "/ 503 "))
	})
}

// What the log has of an ending is in the section of its code.
func TestEndingsAreQuoted(t *testing.T) {
	for _, tc := range []struct {
		name    string
		symptom string
		log     string // the message; "" where Serve chose the ending
		error   string // a part of the error
		sent    int    // the code that the client is sent; 0 for none
		set     func(o *websocket.Options)
		serve   func(conn *websocket.Conn, r *http.Request) error
		client  func(client *wstest.Raw)
	}{
		{
			name: "the connection is cut", symptom: "1006", log: "websocket: peer vanished",
			error:  "websocket: close 1006 (abnormal closure): unexpected EOF",
			client: func(client *wstest.Raw) { _ = client.Conn.Close() },
		},
		{
			name: "the client closes with nothing", symptom: "1005", log: "websocket: connection ended",
			error: "websocket: close 1005 (no status)", sent: 1005,
			client: func(client *wstest.Raw) { client.Send(wstest.Close(1005, "")) },
		},
		{
			name: "the client answers no pings", symptom: "1006", log: "websocket: peer vanished",
			error: "websocket: peer is gone",
			set:   func(o *websocket.Options) { o.PingInterval, o.PongTimeout = 20*time.Millisecond, 20*time.Millisecond },
		},
		{
			name: "the client takes nothing", symptom: "1006", log: "websocket: peer vanished",
			error: "i/o timeout",
			set:   func(o *websocket.Options) { o.WriteTimeout = 50 * time.Millisecond },
			serve: func(conn *websocket.Conn, _ *http.Request) error {
				return conn.WriteMessage(websocket.BinaryMessage, make([]byte, 2*wstest.PipeBuffer))
			},
		},
		{
			name: "binary data in a text message", symptom: "1007", log: "websocket: peer broke the protocol",
			error: "websocket: protocol error: text is not UTF-8", sent: 1007,
			client: func(client *wstest.Raw) { client.Send(wstest.Text("\xff")) },
		},
		{
			name: "a long message", symptom: "1009", log: "websocket: peer broke the protocol",
			error: "websocket: read limit exceeded: message too big", sent: 1009,
			client: func(client *wstest.Raw) { client.Send(wstest.Binary(make([]byte, 1<<20+1))) },
		},
		{
			name: "Serve fails", symptom: "1011", log: "websocket: connection failed", sent: 1011,
			serve: func(*websocket.Conn, *http.Request) error { return testws.ErrDatabase },
		},
		{
			name: "Serve hides the error of a read", symptom: "1011", log: "websocket: connection failed", sent: 1000,
			serve:  testws.ReadLoop(func(error) error { return errors.New("reading failed") }),
			client: func(client *wstest.Raw) { client.Send(wstest.Close(1000, "")) },
		},
		{
			name: "a queue is full", symptom: "1013", sent: 1013,
			serve: func(conn *websocket.Conn, _ *http.Request) error {
				message, err := websocket.EncodeMessage(websocket.TextMessage, []byte("hello"))
				for err == nil {
					err = conn.Enqueue(websocket.QueueLimit{Messages: 1}, message)
				}
				quoted(t, "1013", err.Error())
				return err
			},
		},
		{
			name: "Serve returns", symptom: "1000", sent: 1000,
			serve: func(*websocket.Conn, *http.Request) error { return nil },
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines := make(chan testws.Logged, 1)
			u := websocket.New(websocket.ControllerFunc(testws.Echo))
			if tc.serve != nil {
				u.Controller = websocket.ControllerFunc(tc.serve)
			}
			u.Logger = testws.LogTo(func(line testws.Logged) { lines <- line })
			if tc.set != nil {
				tc.set(&u.Options)
			}
			client := wstest.DialRaw(t, u, "/", nil)
			if tc.client != nil {
				tc.client(client)
			}
			if tc.sent != 0 {
				frame, err := client.Receive()
				for err == nil && frame.Opcode != wstest.OpClose {
					frame, err = client.Receive()
				}
				require.NoError(t, err)
				require.Equal(t, tc.sent, frame.CloseCode(), "%s", frame)
				if tc.log == "" { // the client is told all there is
					quoted(t, tc.symptom, frame.CloseReason())
				}
				_ = client.Conn.Close()
			}
			if tc.log == "" {
				return
			}
			line := <-lines
			assert.Equal(t, tc.log, line.Message)
			require.Error(t, line.Err)
			assert.Contains(t, line.Err.Error(), tc.error)
			quoted(t, tc.symptom, tc.error)
			if line.Level >= slog.LevelWarn { // the message is what an operator searches for
				quoted(t, tc.symptom, tc.log)
			}
		})
	}
}

func TestSilenceIsQuoted(t *testing.T) {
	t.Run("a message that is not complete", func(t *testing.T) {
		client, conn := testws.RawPair(t, websocket.Options{WriteTimeout: 20 * time.Millisecond})
		_, err := conn.NextWriter(websocket.TextMessage)
		require.NoError(t, err)
		err = conn.WriteMessage(websocket.TextMessage, []byte("hello"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		quoted(t, "Nothing arrives", err.Error())
		_ = client.Conn.Close()
	})
	t.Run("a Serve that does not return", func(t *testing.T) {
		ended := make(chan struct{})
		u := websocket.New(websocket.ControllerFunc(func(*websocket.Conn, *http.Request) error {
			<-ended
			return nil
		}))
		u.Logger = testws.Silent
		server := wstest.Serve(t, u)
		for range 20 {
			_ = wstest.DialRaw(t, server, "/", nil).Conn.Close()
		}
		require.Eventually(t, func() bool { return u.Stats().Open == 20 }, 20*time.Second, time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		err := u.Shutdown(ctx).Error()
		quoted(t, "Memory grows", regexp.MustCompile(`cut: \d+`).ReplaceAllString(err, "cut: 20")) // one may have ended by itself
		close(ended)
		assert.NoError(t, u.Shutdown(t.Context()))
	})
}
