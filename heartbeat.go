package websocket

import "time"

// beatInterval is how long no message leaves before a heartbeat does; forever where
// none is sent.
func (c *Conn) beatInterval() time.Duration {
	interval := c.options.heartbeatInterval()
	if interval == 0 {
		return forever
	}
	return min(interval, forever)
}

// beatAt is the age at which a heartbeat is due if nothing is sent until then.
func (c *Conn) beatAt() time.Duration {
	return time.Duration(c.t.sentAt.Load()) + c.beatInterval()
}

// beat sends the heartbeat, unless something else is on its way: when a message that is
// being written is complete, that is a sign of life itself. If it never is, the next
// call looks again.
func (c *Conn) beat() {
	if !c.t.messageLock.TryLock() {
		return
	}
	defer c.t.unlockMessage()
	if c.t.age() < c.beatAt() { // something has left since the timer fired
		return
	}
	b := c.t.ownBound()
	_ = c.t.writeFrame(&b, TextMessage, []byte(c.options.Heartbeat)) // a failure is the connection's
}
