// Package natsbroker connects the hubs of several nodes through NATS: what one node
// broadcasts to a room, sends to a key or disconnects reaches the members on all.
//
//	nc, err := nats.Connect(url, nats.MaxReconnects(-1), nats.NoEcho())
//	if err != nil {
//		return err
//	}
//	broker, err := natsbroker.New(nc, natsbroker.Options{})
//	if err != nil {
//		return err
//	}
//	rooms := hub.New(hub.Options{Broker: broker})
//
// A node gets only the messages for rooms and keys that it has members of. Delivery is
// at most once, as that of NATS itself, and in order for each publishing node and topic.
package natsbroker
