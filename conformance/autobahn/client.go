package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/goyave-contrib/websocket"
)

// caseTimeout bounds a case. The suite gives up after 8 minutes at most.
const caseTimeout = 10 * time.Minute

// A client plays against the suite's server, which has a path for each thing that can be asked
// of it.
type client struct {
	url     string
	agent   string
	options websocket.DialOptions
}

// play runs all cases, has the reports written, and returns the number of cases.
func (c *client) play(ctx context.Context) (cases int, err error) {
	if cases, err = c.count(ctx); err != nil {
		return 0, fmt.Errorf("getCaseCount: %w", err)
	}
	for i := 1; i <= cases; i++ {
		if err := c.echo(ctx, "/runCase?case="+strconv.Itoa(i)+"&agent="+url.QueryEscape(c.agent)); err != nil {
			return 0, fmt.Errorf("runCase %d: %w", i, err)
		}
	}
	if err := c.echo(ctx, "/updateReports?agent="+url.QueryEscape(c.agent)); err != nil {
		return 0, fmt.Errorf("updateReports: %w", err)
	}
	return cases, nil
}

// count asks for the number of cases, as soon as the suite listens.
func (c *client) count(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("wstest does not listen after %v", patience))
	defer cancel()
	for {
		conn, _, err := websocket.Dial(ctx, c.url+"/getCaseCount", &c.options)
		if err == nil {
			defer func() { _ = conn.CloseNow() }()
			_, message, err := conn.ReadMessageContext(ctx)
			if err != nil {
				return 0, err
			}
			return strconv.Atoi(string(message))
		}
		var refused *net.OpError
		if !errors.As(err, &refused) || refused.Op != "dial" {
			return 0, errors.Join(err, context.Cause(ctx))
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return 0, errors.Join(err, context.Cause(ctx))
		}
	}
}

// echo connects and sends every message back until the connection ends. How it ends, the suite
// judges. The error says that there was no connection, or that ctx or the time was over.
func (c *client) echo(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, caseTimeout, fmt.Errorf("the connection does not end within %v", caseTimeout))
	defer cancel()
	conn, _, err := websocket.Dial(ctx, c.url+path, &c.options)
	if err != nil {
		return errors.Join(err, context.Cause(ctx))
	}
	for err == nil {
		var messageType int
		var message []byte
		if messageType, message, err = conn.ReadMessageContext(ctx); err == nil {
			err = conn.WriteMessageContext(ctx, messageType, message)
		}
	}
	if ctx.Err() != nil {
		_ = conn.CloseNow()
		return context.Cause(ctx)
	}
	_ = conn.CloseNormal() // nothing is left to do if the peer has begun to close
	return nil
}
