package transport

// Allocated says what a connection holds besides itself. It is for tests of the memory of
// idle connections, most of which hold nothing.
type Allocated struct {
	ReadBuffer    bool // bytes that were read and not handed on, or memory for some
	Loan          bool // the message that was lent last
	HeldFrames    bool // frames that wait for the reader to read on
	Cork          bool // what frames are held back with
	Queue         bool // of what was enqueued
	ReadDeadlines bool // made when the first deadline is set
	Gorilla       bool // what is known of gorilla's reads and writes
	Awaited       bool // some goroutine waits, or has waited, for the socket to be closed
}

// Allocated may be called while the reading goroutine waits for the peer and nothing is
// written. It reads the memory of both without their locks.
func (t *Conn) Allocated() Allocated {
	return Allocated{
		ReadBuffer:    t.buffer != nil,
		Loan:          t.lent.Memory != nil,
		HeldFrames:    t.corked(),
		Cork:          t.cork.Load() != nil,
		Queue:         t.queue.Load() != nil,
		ReadDeadlines: t.deadlines.Load() != nil,
		Gorilla:       t.gorilla.Load() != nil,
		Awaited:       t.closed.IsAwaited(),
	}
}
