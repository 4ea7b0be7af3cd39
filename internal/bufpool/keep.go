package bufpool

// slack is what may be kept beside twice what was received, in bytes.
const slack = 1 << 10

// MaxKept returns how many bytes of memory may be kept while the peer is waited for, when n
// bytes have been received: what a peer makes us hold is bounded by what it sends.
func MaxKept(n int) int { return 2*n + slack }
