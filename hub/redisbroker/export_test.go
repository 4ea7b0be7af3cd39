package redisbroker

import "time"

// SetIdle sets how long epochs are remembered. It must be called before Open.
func (b *Broker) SetIdle(d time.Duration) { b.idle = d }
