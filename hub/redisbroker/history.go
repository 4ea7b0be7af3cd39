package redisbroker

import "github.com/goyave-contrib/websocket/hub"

// OpenHistory starts to receive entries of histories. The hub calls it.
func (b *Broker) OpenHistory(receive func(t hub.Topic, e hub.Entry)) { b.receiveEntry.Store(&receive) }
