package main

import (
	"bufio"
	"io"
	"regexp"
	"sync"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// patience is a limit that is generous even on a slow machine.
const patience = 30 * time.Second

var (
	listening = regexp.MustCompile(`^listening on (http://127\.0\.0\.1:[1-9][0-9]*)\n$`)
	options   = &wstest.Options{Timeout: patience}
)

// start runs the application in this process, on a free port. stop ends it, and so does the test.
func start(t *testing.T) (url string, stop func()) {
	t.Helper()
	reader, writer := io.Pipe()
	server, err := newServer(0, writer)
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- server.Start() }()
	stop = sync.OnceFunc(func() {
		server.Stop()
		assert.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	line, err := bufio.NewReader(reader).ReadString('\n')
	require.NoError(t, err)
	match := listening.FindStringSubmatch(line)
	require.NotNil(t, match, "the line is %q", line)
	return match[1], stop
}

func TestVotesCountAsLongAsTheirConnections(t *testing.T) {
	url, _ := start(t)
	ada := wstest.Dial(t, url, "/polls/lunch", options)
	ada.ExpectText(`{"people":1,"yes":0,"no":0}`)
	ada.WriteText("yes")
	ada.ExpectText(`{"people":1,"yes":1,"no":0}`)

	grace := wstest.Dial(t, url, "/polls/lunch", options)
	for _, who := range []*wstest.Client{ada, grace} {
		who.ExpectText(`{"people":2,"yes":1,"no":0}`)
	}
	other := wstest.Dial(t, url, "/polls/dinner", options)
	other.ExpectText(`{"people":1,"yes":0,"no":0}`)
	grace.WriteText("no")
	for _, who := range []*wstest.Client{ada, grace} {
		who.ExpectText(`{"people":2,"yes":1,"no":1}`)
	}
	grace.WriteText("yes")
	for _, who := range []*wstest.Client{ada, grace} {
		who.ExpectText(`{"people":2,"yes":2,"no":0}`)
	}
	ada.Close(ws.CloseNormalClosure, "bye")
	grace.ExpectText(`{"people":1,"yes":1,"no":0}`)
	last := wstest.Dial(t, url, "/polls/lunch", options)
	last.ExpectText(`{"people":2,"yes":1,"no":0}`)
	grace.ExpectText(`{"people":2,"yes":1,"no":0}`)
	grace.Close(ws.CloseNormalClosure, "bye")
	last.ExpectText(`{"people":1,"yes":0,"no":0}`)
	other.WriteText("no")
	other.ExpectText(`{"people":1,"yes":0,"no":1}`)
}

func TestOtherWordsEndTheConnection(t *testing.T) {
	url, _ := start(t)
	client := wstest.Dial(t, url, "/polls/lunch", options)
	client.ExpectText(`{"people":1,"yes":0,"no":0}`)
	client.WriteText("perhaps")
	client.ExpectClose(ws.ClosePolicyViolation, "yes or no, please")
}

func TestAtShutdownNobodyIsTold(t *testing.T) {
	url, stop := start(t)
	ada := wstest.Dial(t, url, "/polls/lunch", options)
	ada.ExpectText(`{"people":1,"yes":0,"no":0}`)
	grace := wstest.Dial(t, url, "/polls/lunch", options)
	for _, who := range []*wstest.Client{ada, grace} {
		who.ExpectText(`{"people":2,"yes":0,"no":0}`)
	}
	go stop()
	for _, who := range []*wstest.Client{ada, grace} {
		who.ExpectClose(ws.CloseGoingAway, "Server shutting down")
	}
}
