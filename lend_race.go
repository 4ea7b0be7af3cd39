//go:build race

package websocket

// spoil overwrites memory whose loan ends, so that tests with the race detector
// notice who still uses it.
func spoil(p []byte) {
	for i := range p {
		p[i] = 0xdb
	}
}
