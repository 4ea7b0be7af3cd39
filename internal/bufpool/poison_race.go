//go:build race

package bufpool

// poison overwrites memory that goes back to its pool, so that tests with the race detector
// find a caller that still uses it.
func poison(p []byte) {
	if len(p) == 0 {
		return
	}
	p[0] = 0xdb
	for n := 1; n < len(p); n *= 2 { // the detector is slow with single bytes
		copy(p[n:], p[:n])
	}
}
