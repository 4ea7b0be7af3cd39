package websocket

// reserve gives an upgrade its place among at most limit connections, if there is
// one left; 0 or less means that there always is. The connection takes the place
// over, or the end of the upgrade gives it back.
func (r *register) reserve(upgrade *hijacker, limit int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if limit > 0 && len(r.conns)+r.reserved >= limit {
		return false
	}
	upgrade.reserved = true
	r.reserved++
	return true
}

// Put is for an upgrade that fails and is still to be refused, which may
// take a while.
func (r *register) giveBack(upgrade *hijacker) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.release(upgrade)
}

// release gives back what an upgrade has reserved, if it has. The register is
// locked.
func (r *register) release(upgrade *hijacker) {
	if upgrade.reserved {
		upgrade.reserved = false
		r.reserved--
	}
}
