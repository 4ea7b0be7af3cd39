package bufpool

// slack is the memory in bytes that a payload may have besides twice what has come of
// it, while the peer is waited for.
const slack = 1 << 10

// MaxKept is how much memory may be kept of which n bytes are full.
func MaxKept(n int) int { return 2*n + slack }
