package websocket

import "time"

// beatInterval is how long no message leaves before a heartbeat does; forever where
// none is sent.
func (t *transport) beatInterval() time.Duration {
	interval := t.options.heartbeatInterval()
	if interval == 0 {
		return forever
	}
	return min(interval, forever)
}

// beatAt is the age at which a heartbeat is due if nothing is sent until then.
func (t *transport) beatAt() time.Duration {
	return time.Duration(t.sentAt.Load()) + t.beatInterval()
}

// beat sends the heartbeat, unless something else is on its way: when a message that is
// being written is complete, that is a sign of life itself. If it never is, the next
// ring looks again.
func (c *Conn) beat() {
	if !c.message.try() {
		return
	}
	defer c.unlockMessage()
	if c.t.age() < c.t.beatAt() { // something has left since the alarm rang
		return
	}
	b := c.t.ownBound()
	_ = c.t.writeFrame(&b, TextMessage, []byte(c.t.options.Heartbeat)) // a failure is the connection's
}
