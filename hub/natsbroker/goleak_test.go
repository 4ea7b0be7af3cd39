package natsbroker_test

import (
	"testing"

	"go.uber.org/goleak"
)

// A server that ends soon after it has begun may leave a file store open: two goroutines of nats-server.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}
