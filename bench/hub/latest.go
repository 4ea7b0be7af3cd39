package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/goyave-contrib/websocket/hub"
)

// measureLatest measures messages with Latest to a member that does not read, while messages about
// some subjects wait for it.
func measureLatest(ctx context.Context, p plan) (rows []row, err error) {
	s, err := newSite(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	counts := []int{1, 10, 100, 1000, 10_000}
	conns, closeAll, err := s.dialSilent(ctx, len(counts))
	var c circle
	defer func() { closeAll(); err = errors.Join(err, c.close()) }()
	if err != nil {
		return nil, err
	}
	var ways []way
	for i, subjects := range counts {
		h := c.add(hub.Options{})
		if _, err := h.Join(conns[i], "prices"); err != nil {
			return nil, err
		}
		messages := make([]hub.Message, subjects)
		for i := range messages {
			messages[i] = text.Latest(fmt.Sprint("subject ", i))
		}
		sent := 0
		ways = append(ways, way{
			name: fmt.Sprintf("A message with `Latest` to a member that does not read: %d subjects wait", subjects),
			each: "message",
			run: func(context.Context) (cost, error) {
				n := p.of(50_000)
				cpu, err := timed(func() error {
					for range n {
						if err := h.To(hub.Room("prices")).Send(messages[sent%subjects]); err != nil {
							return err
						}
						sent++
					}
					return nil
				})
				if queued, _ := conns[i].Queued(); queued > 1+subjects {
					return cost{}, fmt.Errorf("%d messages wait", queued)
				}
				return cost{operations: n, cpu: cpu}, err
			},
		})
	}
	return takeTurns(ctx, p.rounds, ways)
}
