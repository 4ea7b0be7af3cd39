// Package natsbroker connects the hubs of several nodes through NATS: what is done to an audience
// on one node also reaches its members on the other nodes.
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
// A node receives only messages for rooms and keys that have members on it. As in NATS itself,
// delivery is at most once. What one node publishes arrives in order.
//
// [NewJetStream] returns a broker that also keeps history and presence, in streams of NATS JetStream.
package natsbroker
