package natsbroker
type presenceStream struct{}
func newPresenceStream() presenceStream { return presenceStream{} }
