// Package poll has the controller of a show of hands.
package poll

import (
	"context"
	"errors"
	"sync"

	websocket "github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/hub"
	"goyave.dev/goyave/v5"
)

// Controller serves polls, each of which has a name. It is a MessageController: people look at a
// poll for hours and say one word, and a connection that waits has no goroutine.
type Controller struct {
	goyave.Component
	hub *websocket.HubService

	mu    sync.Mutex // also held while a result is sent, so that the last one is up to date
	polls map[string]*result
}

// A result is what all who look at a poll get after each change.
type result struct {
	People int `json:"people"` // who look at it
	Yes    int `json:"yes"`
	No     int `json:"no"`
}

// Init looks up the hub.
func (ctrl *Controller) Init(server *goyave.Server) {
	ctrl.Component.Init(server)
	ctrl.hub = websocket.HubOf(server)
	ctrl.polls = make(map[string]*result)
}

// RegisterRoute registers the route of a poll.
func (ctrl *Controller) RegisterRoute(router *goyave.Router, handler goyave.Handler) {
	router.Get("/{name}", handler)
}

// Open begins one connection. It keeps the name and not the request, which can be freed.
func (ctrl *Controller) Open(conn *websocket.Conn, request *goyave.Request) (websocket.MessageHandler, error) {
	member, err := ctrl.hub.Join(conn)
	if err != nil {
		return nil, err
	}
	v := &voter{ctrl: ctrl, member: member, poll: request.RouteParams["name"]}
	if err := member.Join(v.poll); err != nil {
		return nil, err
	}
	return v, ctrl.change(v.poll, func(r *result) { r.People++ })
}

// change changes the result of a poll and sends it to all who look at the poll. The hub does not wait
// for any of them.
func (ctrl *Controller) change(poll string, change func(*result)) error {
	ctrl.mu.Lock()
	defer ctrl.mu.Unlock()
	r := ctrl.polls[poll]
	if r == nil {
		r = new(result)
		ctrl.polls[poll] = r
	}
	change(r)
	if r.People == 0 {
		delete(ctrl.polls, poll)
	}
	return ctrl.hub.To(hub.Room(poll)).Send(hub.JSON(*r))
}

// A voter handles the messages of one connection.
type voter struct {
	ctrl   *Controller
	member *hub.Member
	poll   string
	vote   string // "" before the first vote
}

// OnMessage takes a vote, which replaces an earlier one.
func (v *voter) OnMessage(_ int, message []byte) error {
	vote := string(message) // a copy: the message is lent until OnMessage returns
	if vote != "yes" && vote != "no" {
		return websocket.NewCloseError(websocket.ClosePolicyViolation, "yes or no, please")
	}
	return v.ctrl.change(v.poll, func(r *result) {
		v.takeBack(r)
		v.vote = vote
		*r.of(vote)++
	})
}

// OnClose takes the vote back: it counts as long as the connection lasts. At shutdown, when all
// leave, nobody is told.
func (v *voter) OnClose(error) {
	if errors.Is(context.Cause(v.member.Conn().Context()), websocket.ErrShutdown) {
		return
	}
	v.member.Leave(v.poll) // it would happen anyway, but perhaps after the result is sent
	err := v.ctrl.change(v.poll, func(r *result) {
		v.takeBack(r)
		r.People--
	})
	if err != nil {
		v.ctrl.Logger().Error(err)
	}
}

func (v *voter) takeBack(r *result) {
	if v.vote != "" {
		*r.of(v.vote)--
	}
}

// of returns the number of those who voted so.
func (r *result) of(vote string) *int {
	if vote == "yes" {
		return &r.Yes
	}
	return &r.No
}
