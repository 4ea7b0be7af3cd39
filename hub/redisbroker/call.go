package redisbroker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/goyave-contrib/websocket"
	"github.com/redis/go-redis/v9"
)

// maxCalls limits how many commands wait for an answer at the same time, besides what is published.
const maxCalls = 256

// call runs f, which speaks with Redis, again and again until it succeeds, the error is none that may
// pass, or ctx ends. With repeat, errors pass that leave open whether Redis has run a command. Contexts do
// not end what go-redis has begun, so f runs in a goroutine of its own, which go-redis' timeouts end.
func call[T any](ctx context.Context, b *Broker, repeat bool, f func(ctx context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	select {
	case b.calls <- struct{}{}:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case <-b.stop:
		return none, ErrClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(b.ctx, func() { cancel(ErrClosed) })()
	results := make(chan result, 1)
	var last atomic.Pointer[error] // of the attempts so far
	ended := func() error {
		if err := last.Load(); err != nil {
			return fmt.Errorf("redisbroker: %w: %w", context.Cause(ctx), *err)
		}
		return context.Cause(ctx)
	}
	work := func() {
		defer func() { <-b.calls }()
		var r result
		var wait backoff
		for {
			err := recovered(func() (err error) {
				r.value, err = f(ctx)
				return err
			})
			if r.err = err; err == nil || !mayPass(err, repeat) {
				break
			}
			last.Store(&err)
			if !wait.sleep(ctx) {
				r.err = ended()
				break
			}
		}
		results <- r
	}
	if err := b.start(work); err != nil {
		<-b.calls
		return none, err
	}
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
		return none, ended()
	}
}

// mayPass reports whether a call that has failed may succeed later.
func mayPass(err error, repeat bool) bool {
	var panicked *websocket.PanicError
	if errors.Is(err, redis.ErrClosed) || errors.Is(err, ErrNoLease) || errors.Is(err, errUnexpected) || errors.As(err, &panicked) {
		return false
	}
	return notDone(err) || repeat && !refused(err)
}

// start runs f in a goroutine that Close waits for.
func (b *Broker) start(f func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.running.Go(f)
	return nil
}

// A script is run by Redis in one step.
type script struct{ source, hash string }

func newScript(parts ...string) *script {
	source := strings.Join(parts, "")
	return &script{source: source, hash: redis.NewScript(source).Hash()}
}

// onceScript is a command that go-redis must not repeat when a connection breaks: Redis may have run it.
type onceScript struct{ *redis.Cmd }

// NoRetry says so.
func (onceScript) NoRetry() bool { return true }

// run runs the script. All keys must be in one hash slot.
func (s *script) run(ctx context.Context, client redis.UniversalClient, keys []string, arguments ...any) ([]any, error) {
	cmd, err := s.process(ctx, client, keys, arguments...)
	if err != nil {
		return nil, err
	}
	return cmd.Slice()
}

// runInt runs a script that returns a number.
func (s *script) runInt(ctx context.Context, client redis.UniversalClient, keys []string, arguments ...any) (int64, error) {
	cmd, err := s.process(ctx, client, keys, arguments...)
	if err != nil {
		return 0, err
	}
	return cmd.Int64()
}

func (s *script) process(ctx context.Context, client redis.UniversalClient, keys []string, arguments ...any) (*redis.Cmd, error) {
	run := func(command, what string) (*redis.Cmd, error) {
		list := append(make([]any, 0, 3+len(keys)+len(arguments)), command, what, len(keys))
		for _, key := range keys {
			list = append(list, key)
		}
		cmd := redis.NewCmd(ctx, append(list, arguments...)...)
		cmd.SetFirstKeyPos(3)
		return cmd, client.Process(ctx, onceScript{cmd})
	}
	cmd, err := run("evalsha", s.hash)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		return run("eval", s.source)
	}
	return cmd, err
}
