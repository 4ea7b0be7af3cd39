package transport

// backlogMin is how many bytes in the kernel make a backlog, behind which a ping has to wait.
const backlogMin = 1 << 10

// NoteBacklog notes how many bytes the peer has taken, for TakesBacklog. The keep-alive calls it
// when it sends a ping.
func (t *Conn) NoteBacklog() {
	if n, known := t.unsent(); known {
		t.counts.backlogTaken.Store(uint32(t.counts.bytesSent.Load()) - uint32(n)) //nolint:gosec // modulo 2^32
	}
}

// TakesBacklog reports whether a ping has not reached the peer because the kernel still has much
// to send, of which the peer has taken something since NoteBacklog.
func (t *Conn) TakesBacklog() bool {
	n, known := t.unsent()
	if !known || n < backlogMin {
		return false
	}
	taken := uint32(t.counts.bytesSent.Load()) - uint32(n) //nolint:gosec // modulo 2^32
	if int32(taken-t.counts.backlogTaken.Load()) <= 0 {    //nolint:gosec // likewise
		return false
	}
	t.noteProgress()
	return true
}
