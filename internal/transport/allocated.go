package transport

// Allocated says which memory a connection holds besides the Conn itself. It is for tests of
// idle connections, most of which hold nothing.
type Allocated struct {
	ReadBuffer    bool // a buffer to read into
	SocketRead    bool // what a socket is read with
	Loan          bool // the last message of ReadMessage with lend
	HeldFrames    bool // frames that are corked
	Cork          bool // a cork, with frames or without
	Queue         bool // a queue, with messages or without
	ReadDeadlines bool // the state of read deadlines, which the first one needs
	Gorilla       bool // the state of the view, which gorilla has used
	Awaited       bool // channels that are closed when the connection ends
}

// Allocated must be called only while the reading goroutine waits for the peer and no
// goroutine writes: it reads memory of both without their locks. It is for tests.
func (t *Conn) Allocated() Allocated {
	return Allocated{
		ReadBuffer:    t.buffer != nil,
		SocketRead:    t.socketRead != nil,
		Loan:          t.lent.Memory != nil,
		HeldFrames:    t.corked(),
		Cork:          t.cork.Made() != nil,
		Queue:         t.queue.Made() != nil,
		ReadDeadlines: t.deadlines.Made() != nil,
		Gorilla:       t.gorilla.Made() != nil,
		Awaited:       t.waits.Made() != nil,
	}
}
