package main

import (
	"regexp"
	"slices"
)

// A reason explains losses.
type reason struct {
	title  string
	cause  string // why a peer is ahead
	advice string // what to do about it

	// Which losses it explains. The zero value of a field means any.
	workloads *regexp.Regexp // names
	columns   []string       // keys
	peers     []string       // names of the best peer
}

// noReason is the reason of each loss that no other reason explains.
var noReason = reason{title: "No reason recorded"}

// reason returns the first reason that explains the loss, or noReason.
func (l *loss) reason() *reason {
	for i := range reasons {
		if reasons[i].explains(l) {
			return &reasons[i]
		}
	}
	return &noReason
}

func (why *reason) explains(l *loss) bool {
	return (why.workloads == nil || why.workloads.MatchString(l.workload.name)) &&
		(len(why.columns) == 0 || slices.Contains(why.columns, l.column.key)) &&
		(len(why.peers) == 0 || slices.Contains(why.peers, l.best.name))
}

// reasons are in the order of the page. The first one that fits counts.
var reasons = []reason{
	{
		title:     "A small message costs its system calls",
		workloads: regexp.MustCompile(`^(echo 64 B|deflate-200 no compression)`),
		cause: "Three quarters of the server's time are a read, a read that finds nothing, a write and the poller, which gws " +
			"has as well. What is left is a few percent: two locks that let any goroutine write, the time of the read for the " +
			"keep-alive, and a slice for each message of `ReadMessage`. gws was set up without a keep-alive, and lends its messages.",
		advice: "nothing, or `ReadSlice`, which spares the slice. Where a client sends several messages at once, answers leave " +
			"together, and the rows of bursts are the ones to look at.",
	},
	{
		title:     "ReadMessage gives the message away",
		workloads: regexp.MustCompile(`^(echo|growth|deflate)`),
		columns:   []string{serverCPU},
		cause: "A message of `ReadMessage` is the caller's, so each has memory of its own: it is allocated, filled or zeroed, and " +
			"collected. gws, nbio and `ReadSlice` lend memory that they use again. These servers have next to no heap, so a " +
			"collection follows every few hundred messages of 16 KiB: with GOGC=1600 instead of 100, the ratio to gws fell from " +
			"2.4 to 1.3. A server with a larger heap collects as rarely without a setting.",
		advice: "`ReadSlice`, where a message is used up before the next read, or a message controller (`NewMessages`): the " +
			"smaller number of these is beside ours. Else a higher GOGC, if the server keeps little in memory.",
	},
	{
		title:     "A connection has a goroutine",
		workloads: regexp.MustCompile(`^memory$`),
		cause: "`Serve` is a function that waits, so each connection has a goroutine: 2 KiB of stack, and 4 KiB once it has " +
			"written a message. The heap is some 2.3 KB: the connection with its keep-alive, gorilla's, the socket and net/http's " +
			"context. nbio has no goroutine and nothing of net/http: its poller calls a handler when bytes are there. gobwas/ws " +
			"has a goroutine, but its functions keep nothing between two messages: no deadlines, no keep-alive, no context.",
		advice: "a message controller (`NewMessages`): its connections have no goroutine while nothing arrives, and take less than half. " +
			"Where memory of idle connections decides everything, nbio is the better choice. " +
			"[architecture.md](architecture.md#the-memory-of-an-idle-connection) has what is held, and what was tried.",
	},
	{
		title:     "A handshake makes more than a connection",
		workloads: regexp.MustCompile(`^handshake$`),
		cause: "Accept, the request, the response and the closing of the socket are the same for all, and most of it. What comes with " +
			"this library is memory: gorilla's connection, which `Conn` embeds beside its own; a goroutine for `Serve`; a context. " +
			"Checking the whole request before anything is taken over costs little.",
		advice: "nothing: this is once for each connection. Where connections live for one message, keep them for more.",
	},
	{
		title:   "The scheduler has a say in latencies",
		columns: []string{"p50", "p99"},
		cause: "At this rate the server sleeps between two messages, and a message costs less than waking it. So p50 differs by " +
			"little, and p99 by chance: from one round to the next it changes more than from one implementation to another, raw " +
			"TCP included.",
		advice: "nothing; on a server whose p99 matters, leave a processor idle.",
	},
	{
		title:     "One goroutine for many sockets wakes less often",
		workloads: regexp.MustCompile(`^latency$`),
		columns:   []string{serverCPU},
		cause: "At a low rate, the cost of a message is that of waking a goroutine for it, and the processor's sleep. nbio's " +
			"poller takes all sockets that are ready in one go, and pays with a later reply: its p50 is the largest. Raw TCP " +
			"with a goroutine for each connection costs hardly less than this library.",
		advice: "nothing: the rows of echoes have the cost under load.",
	},
	{
		title:     "A copy costs more in a short message",
		workloads: regexp.MustCompile(`^deflate.* no context$`),
		columns:   []string{replySize},
		cause: "The fast level takes each copy of four bytes that it finds. In a short message, such a copy can cost more than it " +
			"spares: the codes of its length and its distance must be sent, too. To take only longer ones would leave 1.5 % less of " +
			"a message of 200 B, and 3.5 % more of one of 1 KiB.",
		advice: "`CompressionLevel` 3, which leaves as little as compress/flate; or context takeover, where it can be had, which leaves " +
			"much less than either.",
	},
	{
		title:     "A longer search finds more",
		workloads: regexp.MustCompile(`^deflate.* context, `),
		columns:   []string{replySize},
		peers:     []string{gwsName},
		cause: "gws looks longer for what the window has already, for a percent at most, and several times the processor time: " +
			"that column of the same table is the one to look at.",
		advice: "a higher `CompressionLevel`, where bytes cost more than time.",
	},
	{
		title:     "What is sent to many is compressed once",
		workloads: regexp.MustCompile(`^broadcast-chat context`),
		columns:   []string{replySize},
		cause: "The hub compresses a message once, by itself, and each connection sends these bytes, so that 2,000 windows cost " +
			"no more than one. coder compresses it again for each connection, with what its window has: fewer bytes, and the " +
			"processor time for each delivery that is in the same table.",
		advice: "nothing; where bytes cost more than time and few listen, `WriteMessage` to each of them uses its window.",
	},
	{
		title:     "The hub has queues",
		workloads: regexp.MustCompile(`^broadcast`),
		cause: "The hub enqueues a message for each member, so that no member waits for a slow one. Where the peer has no hub, its row writes " +
			"to one connection after the other, so that a reader that stalls stops all; that costs less as long as no reader stalls.",
		advice: "nothing, unless all readers are known to be fast: then `Conn.WritePreparedMessage` in a loop does what those rows do.",
	},
}
