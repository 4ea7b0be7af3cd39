package natsbroker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	attemptTimeout = 2 * time.Second // of one request; a lost one is repeated
	firstPause     = 20 * time.Millisecond
	longestPause   = 500 * time.Millisecond
)

// errAgain is a failure that passes by: the attempt is repeated.
var errAgain = errors.New("the servers are not up to date")

// codes of errors of the JetStream API that pass by, or have a meaning here
const (
	codeOverlap   jetstream.ErrorCode = 10065 // another stream has the subjects
	codeNameInUse jetstream.ErrorCode = 10058
	codeWrongLast jetstream.ErrorCode = 10071 // an expected sequence is not the last one
	codeInFlight  jetstream.ErrorCode = 10164 // the same, while another message is being stored: undecided
	codeNoMessage jetstream.ErrorCode = 10037
	codeNoStream  jetstream.ErrorCode = 10059
	codeOffline   jetstream.ErrorCode = 10118 // the only server with the stream is away
)

func hasCode(err error, codes ...jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode)
}

// attempt calls f until it succeeds, fails for good, or ctx or the Broker has ended.
func (b *JetStreamBroker) attempt(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(b.ctx, func() { cancel(ErrClosed) })()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		once, stop := context.WithTimeout(ctx, attemptTimeout)
		err := f(once)
		stop()
		if err != nil && passes(err) && !errors.Is(err, errAgain) { // perhaps streams are gone
			b.state.name.Store(nil)
			b.history.doubt()
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, nats.ErrConnectionClosed):
			return fmt.Errorf("natsbroker: %w", nats.ErrConnectionClosed)
		case ctx.Err() == nil && !passes(err):
			return fmt.Errorf("natsbroker: %w", err)
		case !sleep(ctx, pause):
			return ended(ctx, err)
		}
	}
}

// ended is the error of a call whose ctx has ended during attempts.
func ended(ctx context.Context, last error) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, ErrClosed):
		return ErrClosed
	case errors.Is(last, cause):
		return fmt.Errorf("natsbroker: no answer: %w", cause)
	}
	for _, silent := range []error{nats.ErrNoResponders, jetstream.ErrNoStreamResponse, jetstream.ErrJetStreamNotEnabled} {
		if errors.Is(last, silent) {
			return fmt.Errorf("%w: %w", ErrNoJetStream, cause)
		}
	}
	return fmt.Errorf("natsbroker: %w: %w", cause, last)
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// passes reports whether a failure is of an outage that may end.
func passes(err error) bool {
	if errors.Is(err, errAgain) {
		return true
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		return api.Code == http.StatusServiceUnavailable || hasCode(err, codeInFlight, codeNoStream, codeOffline)
	}
	for _, passing := range []error{
		context.DeadlineExceeded, nats.ErrTimeout, nats.ErrNoResponders, jetstream.ErrNoStreamResponse,
		nats.ErrReconnectBufExceeded, nats.ErrDisconnected, nats.ErrConnectionReconnecting, jetstream.ErrJetStreamNotEnabled,
	} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// do calls f, in which nats.go may wait for a lock for longer than ctx, in a goroutine of its own, and
// returns when f has returned or ctx has ended. Close waits for the goroutine.
func do[T any](ctx context.Context, b *JetStreamBroker, f func(ctx context.Context) (T, error)) (T, error) {
	var none T
	select {
	case b.slots <- struct{}{}:
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	err := b.goSending(func() {
		defer func() { <-b.slots }()
		var r result
		r.err = recovered(func() (err error) {
			r.value, err = f(ctx)
			return err
		})
		done <- r
	})
	if err != nil {
		<-b.slots
		return none, err
	}
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// goSending starts a goroutine for which Close waits.
func (b *Broker) goSending(f func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.sending.Go(f)
	return nil
}

// call makes a request of the JetStream API, which the leader of a stream answers.
func (b *JetStreamBroker) call(ctx context.Context, subject string, request, response any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	reply, err := do(ctx, b, func(ctx context.Context) (*nats.Msg, error) {
		return b.nc.RequestWithContext(ctx, b.apiPrefix+subject, body)
	})
	if err != nil {
		return err
	}
	var failure struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &failure); err != nil {
		return err
	}
	if failure.Error != nil {
		return failure.Error
	}
	return json.Unmarshal(reply.Data, response)
}

// store publishes a message to a stream and waits for its acknowledgment. A repeated ID is stored once.
func (b *JetStreamBroker) store(ctx context.Context, m *nats.Msg, options ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	options = append(options, jetstream.WithRetryAttempts(0))
	return do(ctx, b, func(ctx context.Context) (*jetstream.PubAck, error) {
		return b.js.PublishMsg(ctx, m, options...)
	})
}

// purge removes messages of a subject, which may have wildcards: all but the newest keep of them, or
// those before a sequence, or all. It returns how many.
func (b *JetStreamBroker) purge(ctx context.Context, stream, subject string, before, keep uint64) (purged int, err error) {
	request := map[string]any{"filter": subject}
	if before > 0 {
		request["seq"] = before
	}
	if keep > 0 {
		request["keep"] = keep
	}
	var response struct {
		Purged int `json:"purged"`
	}
	err = b.call(ctx, "STREAM.PURGE."+stream, request, &response)
	return response.Purged, err
}
