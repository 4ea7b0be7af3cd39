package main

import (
	"context"
	"errors"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

// unbounded lets everything wait: the clients of most measurements read as soon as they can.
var unbounded = websocket.QueueLimit{Bytes: -1}

// A circle is hubs that end together.
type circle struct{ hubs []*hub.Hub }

// add makes a hub. Without a limit, everything may wait for its members.
func (c *circle) add(options hub.Options) *hub.Hub {
	if options.Queue == (websocket.QueueLimit{}) {
		options.Queue = unbounded
	}
	h := hub.New(options)
	c.hubs = append(c.hubs, h)
	return h
}

// close shuts the hubs down. Their connections have ended, or their clients read.
func (c *circle) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	for _, h := range c.hubs {
		errs = append(errs, h.Shutdown(ctx))
	}
	return errors.Join(errs...)
}
