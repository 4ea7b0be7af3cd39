package redisbroker_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// silence is a logger of go-redis that logs nothing: connections fail on purpose here.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

func TestMain(m *testing.M) {
	redis.SetLogger(silence{})
	slog.SetDefault(slog.New(slog.DiscardHandler))
	// After many failures, a pool of go-redis tries to connect each second. It ends that when it wakes up next.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}
