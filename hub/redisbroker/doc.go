// Package redisbroker connects the hubs of several nodes through Redis: what is done to an audience
// on one node also reaches its members on the other nodes. It keeps the history of rooms, and who is
// in them, too.
//
//	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:6379"})
//	broker, err := redisbroker.New(client, redisbroker.Options{})
//	if err != nil {
//		return err
//	}
//	rooms := hub.New(hub.Options{Broker: broker})
//
// A node receives only messages for rooms and keys that have members on it. As in Redis itself,
// delivery is at most once. What one node publishes to one topic arrives in order.
package redisbroker
