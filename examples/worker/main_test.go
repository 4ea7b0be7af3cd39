package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var options = &wstest.Options{Timeout: 30 * time.Second}

// expect returns the next state that a client is told.
func expect(t *testing.T, client *wstest.Client) (job Job) {
	t.Helper()
	_, message, err := client.ReadMessage()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(message, &job))
	return job
}

func state(id, done int) Job { return Job{ID: id, Done: done} }

func TestUsersAreToldOfTheirJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		users := hub.New(hub.Options{})
		jobs := NewJobs(users, 2, time.Second)
		network := wstest.Serve(t, websocket.NewMessages(&Events{hub: users, jobs: jobs}))
		ada := wstest.Dial(t, network, "/?user=Ada", options)
		too := wstest.Dial(t, network, "/?user=Ada", options)
		bob := wstest.Dial(t, network, "/?user=Bob", options)
		synctest.Wait()

		for want := 1; want <= 2; want++ {
			id, err := jobs.Add("Ada")
			require.NoError(t, err)
			require.Equal(t, want, id)
		}
		_, err := jobs.Add("Bob")
		require.ErrorIs(t, err, errBusy)

		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			jobs.Work(stop)
		}()
		for _, client := range []*wstest.Client{ada, too} {
			assert.Equal(t, state(1, 0), expect(t, client))
			assert.Equal(t, state(2, 0), expect(t, client))
			for done := 1; done <= 100; done++ {
				assert.Equal(t, state(1, done), expect(t, client))
			}
		}
		assert.Equal(t, state(2, 1), expect(t, ada))
		late := wstest.Dial(t, network, "/?user=Ada", options)
		assert.Equal(t, state(1, 100), expect(t, late))
		assert.Equal(t, state(2, 1), expect(t, late))
		assert.Equal(t, state(2, 2), expect(t, late))
		assert.Empty(t, bob.Received(), "the jobs of others")

		close(stop)
		<-stopped
		time.Sleep(kept)
		_, err = jobs.Add("Bob")
		require.NoError(t, err)
		assert.Equal(t, state(3, 0), expect(t, bob))
		assert.NotContains(t, jobs.all, 1, "it was done long ago")
		assert.Contains(t, jobs.all, 2, "it is not done")
	})
}

func TestMessagesAreRefused(t *testing.T) {
	users := hub.New(hub.Options{})
	events := &Events{hub: users, jobs: NewJobs(users, 1, 0)}
	client := wstest.Dial(t, websocket.NewMessages(events), "/?user=Ada", options)
	client.WriteText("hello?")
	client.ExpectClose(ws.ClosePolicyViolation, "no messages, please")
}

// As its users run it.
func TestProcess(t *testing.T) {
	program := testws.StartProgram(t, "-addr", "127.0.0.1:0", "-step", "1ms")
	address := program.URL()
	for _, nobody := range []string{"/jobs", "/jobs?user=" + strings.Repeat("a", 101)} {
		status, _ := testws.Post(t, address+nobody, nil)
		assert.Equal(t, http.StatusUnauthorized, status)
	}
	response := wstest.DialRefused(t, address, "/events", options)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode)

	ada := wstest.Dial(t, address, "/events?user=Ada", options)
	status, answer := testws.Post(t, address+"/jobs?user=Ada", nil)
	require.Equal(t, http.StatusAccepted, status)
	assert.JSONEq(t, `{"job":1,"done":0}`, answer)
	for done := range 101 {
		assert.Equal(t, state(1, done), expect(t, ada))
	}
	program.Interrupt()
	ada.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	program.ExpectExit(0)
}
