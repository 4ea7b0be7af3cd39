package redisbroker

import (
	"encoding/hex"
	"errors"
	"strconv"
)

// errSplit ends a connection for subscriptions that is to another server than what is published goes to: for
// example to one that was replaced while it was cut off from others.
var errSplit = errors.New("redisbroker: what is published does not reach the subscriptions")

// A probe is a message to the Broker itself, once in PingInterval. It shows that what is published reaches
// the connection for subscriptions. Links of a cluster with shards need none: they are compared with the cluster's
// state instead.

// probeChannel returns the channel of the Broker's probes.
func (b *Broker) probeChannel() string {
	return b.options.Prefix + ":{probe:" + hex.EncodeToString(b.self[:]) + "}"
}

// publishProbe queues the next probe, unless too much waits already.
func (b *Broker) publishProbe() {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := message{channel: b.probeChannel(), probe: b.probes + 1}
	m.data = strconv.AppendUint(nil, m.probe, 10)
	if b.err != nil || b.bytes+m.size() > b.options.Outgoing {
		return
	}
	b.probes++
	b.messages = append(b.messages, m)
	b.bytes += m.size()
	signal(b.sendWork)
}

// probed notes which probe has arrived.
func (c *connection) probed(payload string) {
	if n, err := strconv.ParseUint(payload, 10, 64); err == nil && n > c.lastProbe.Load() {
		c.lastProbe.Store(n)
	}
}

// probe is called once in PingInterval. It returns errSplit if a probe that Redis had taken two calls ago has
// not arrived, and publishes the next one.
func (c *connection) probe() error {
	if c.l.sharded {
		return nil
	}
	if overdue := c.taken[0]; overdue > c.lastProbe.Load() && overdue > c.firstProbe {
		return errSplit
	}
	c.taken = [2]uint64{c.taken[1], c.l.b.takenProbes.Load()}
	c.l.b.publishProbe()
	return nil
}

// newestProbe returns the number of the newest probe.
func (b *Broker) newestProbe() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.probes
}
