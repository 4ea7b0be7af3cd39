package interop_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// longest is as much as fits into a close frame: 123 bytes.
var longest = strings.Repeat("é", 61) + "!"

func TestEndings(t *testing.T) {
	rows := []struct {
		name     string
		behavior string
		query    []string
		steps    []step
		act      func(t *testing.T, server *process, id string) // on a server of its own
		want     ending                                         // as the client sees it
		code     int                                            // as the server sees it; 0: it is not asked
		reason   string
		told     string // what the ErrorHandler is told
	}{
		{
			name: "Serve returns nil", behavior: "nil",
			want: ending{Code: 1000, Reason: "Server closed connection", WasClean: true},
			code: 1000, reason: "Server closed connection",
		},
		{
			name: "Serve returns an error", behavior: "error",
			want: ending{Code: 1011, Reason: "Internal Server Error", WasClean: true},
			code: 1011, told: "out of ink",
		},
		{
			name: "Serve panics", behavior: "panic",
			want: ending{Code: 1011, Reason: "Internal Server Error", WasClean: true},
			code: 1011, told: "websocket: panic: out of paper",
		},
		{
			name: "Serve chooses 4003", behavior: "close", query: []string{"code", "4003", "reason", "your session has ended"},
			want: ending{Code: 4003, Reason: "your session has ended", WasClean: true},
			code: 4003, reason: "your session has ended",
		},
		{
			name: "Serve chooses 1001", behavior: "close", query: []string{"code", "1001", "reason", "away"},
			want: ending{Code: 1001, Reason: "away", WasClean: true}, code: 1001, reason: "away",
		},
		{
			name: "Serve chooses 1013", behavior: "close", query: []string{"code", "1013", "reason", "later"},
			want: ending{Code: 1013, Reason: "later", WasClean: true}, code: 1013, reason: "later",
		},
		{
			name: "Serve chooses no reason", behavior: "close", query: []string{"code", "3000"},
			want: ending{Code: 3000, WasClean: true}, code: 3000,
		},
		{
			name: "Serve chooses the longest reason", behavior: "close", query: []string{"code", "4999", "reason", longest},
			want: ending{Code: 4999, Reason: longest, WasClean: true}, code: 4999, reason: longest,
		},
		{
			name: "Serve chooses an empty frame", behavior: "close", query: []string{"code", "1005"},
			want: ending{Code: 1005, WasClean: true}, code: 1005,
		},
		{
			name: "the client closes", behavior: "echo", steps: []step{closeWith(0, "")},
			want: ending{Code: 1005, WasClean: true}, code: 1005,
		},
		{
			name: "the client closes with 1000", behavior: "echo", steps: []step{closeWith(1000, "done")},
			want: ending{Code: 1000, WasClean: true}, code: 1000, reason: "done",
		},
		{
			name: "the client closes with 3000", behavior: "echo", steps: []step{closeWith(3000, "I go")},
			want: ending{Code: 3000, WasClean: true}, code: 3000, reason: "I go",
		},
		{
			name: "the client closes with the longest reason", behavior: "echo", steps: []step{closeWith(4999, longest)},
			want: ending{Code: 4999, WasClean: true}, code: 4999, reason: longest,
		},
		{
			name: "the client closes while messages are under way", behavior: "echo",
			steps: append(slices.Repeat([]step{sendTimes("x", 500)}, 100), closeWith(3001, "enough")),
			want:  ending{Code: 3001, WasClean: true}, code: 3001, reason: "enough",
		},
		{
			name: "a message is over the limit", behavior: "echo", steps: []step{sendTimes("x", 1<<20+1)},
			want: ending{Code: 1009, Reason: "message too big", WasClean: true}, code: 1009, told: "websocket: read limit exceeded: message too big",
		},
		{
			name: "the server shuts down", behavior: "hold",
			act: func(t *testing.T, server *process, id string) {
				server.await(t, id, "ready")
				server.interrupt(t)
			},
			steps: []step{receive(1), sendText("yes")},
			want:  ending{Code: 1001, Reason: "Server shutting down", WasClean: true},
			code:  1001, reason: "Server shutting down",
		},
		{
			name: "the server is killed", behavior: "hold",
			act: func(t *testing.T, server *process, id string) {
				server.await(t, id, "ready")
				server.kill(t)
			},
			steps: []step{receive(1), sendText("yes")},
			want:  ending{Code: 1006},
		},
	}
	withEveryClient(t, func(t *testing.T, play player) {
		common := startServer(t)
		servers, exchanges := make([]*process, len(rows)), make([]exchange, len(rows))
		for i, row := range rows {
			servers[i] = common
			if row.act != nil {
				servers[i] = startServer(t)
			}
			exchanges[i] = exchange{URL: servers[i].at(row.behavior, row.name, row.query...), page: servers[i].url, Steps: row.steps}
		}
		all := play(t, exchanges, func() {
			for i, row := range rows {
				if row.act != nil {
					row.act(t, servers[i], row.name)
				}
			}
		})
		for i, row := range rows {
			t.Run(row.name, func(t *testing.T) {
				require.Empty(t, all[i].Failed)
				assert.True(t, all[i].Opened)
				assert.Equal(t, row.want, all[i].Closed)
				if row.code != 0 {
					ended := servers[i].await(t, row.name, "ended")
					assert.Equal(t, row.code, ended.Code)
					assert.Equal(t, row.reason, ended.Reason)
					assert.Equal(t, row.told, servers[i].told(row.name))
				}
			})
		}
	})
}
