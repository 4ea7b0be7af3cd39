// Package roster keeps the people in rooms, on all nodes. It knows people by their keys, and rooms by their
// names; members, connections and messages are the business of the layer above.
//
// A [Roster] is one node's. The layer above says which rooms the node follows and which of its own
// people are in them ([Roster.Enter], [Room.Join], [Room.Leave], [Roster.MoveKey], [Roster.Set]). The
// roster puts them into a [Broker] for the other nodes, publishes what has changed, and learns what
// other nodes have published ([Roster.Receive]). It promises:
//
//   - Each room has one order of changes, which the [Owner] takes one batch after the other: who is
//     here at first, and then what has become of each person since ([Room.Take], [Room.Told]).
//   - What is lost on the way between nodes is found out by comparing revisions, and mended within two
//     and a half times Options.TTL. The people of a node that has died are gone within one and a
//     quarter of it. Calls of the broker that are slow or fail add to both.
//   - While the broker is away, nobody of other nodes is gone because of that, until this node's own
//     lease has ended.
//   - A person with copies on several nodes is there as long as one of them is, and has the newest of
//     their values.
//
// Calls go down only, with two exceptions, both made without a lock: the roster tells an Owner that
// there is something to take, and that its room may end.
//
// The files: roster.go (rooms and the copies of people), local.go (the people of this node), grace.go
// (those who may come back), changes.go (what the owner is told), people.go (who is in a room), remote.go
// (what this node puts, and what others have published), serve.go (the goroutine that calls the broker),
// sync.go (leases, lists and revisions), publication.go and stamped.go (what nodes tell each other).
package roster
