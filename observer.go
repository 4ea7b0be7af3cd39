package websocket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"
)

// An Observer is told what happens to the connections of an [Upgrader], for metrics and
// traces. A function that is nil is not called; later versions may have more of them.
//
// The functions are called on the goroutines that do the work, many at once: they must not
// block, or leave by runtime.Goexit. A panic in one is recovered and logged. Set them before
// the first request. [JoinObservers] makes one Observer of several.
type Observer struct {
	// UpgradeRefused is told of a request that is about to be answered with the
	// status, before its controller is.
	UpgradeRefused func(request *http.Request, status int, reason error)

	// Opened is told of a connection before it is served. The values of its
	// request's context are in conn.Context.
	Opened func(conn *Conn)

	// Ended is told of a connection whose socket is closed and whose Serve has
	// returned, once for each that was opened.
	Ended func(conn *Conn, ending Ending)
}

// JoinObservers returns an Observer that tells all the others, in this order. Nil ones are
// left out. A panic in one keeps none of the others from being told.
func JoinObservers(observers ...*Observer) *Observer {
	all := slices.DeleteFunc(slices.Clone(observers), func(o *Observer) bool { return o == nil })
	return &Observer{
		UpgradeRefused: func(request *http.Request, status int, reason error) {
			tellEach(all, func(o *Observer) { o.upgradeRefused(request, status, reason) })
		},
		Opened: func(conn *Conn) { tellEach(all, func(o *Observer) { o.opened(conn) }) },
		Ended:  func(conn *Conn, ending Ending) { tellEach(all, func(o *Observer) { o.ended(conn, ending) }) },
	}
}

// observerPanics are the panics of observers that were joined.
type observerPanics struct{ error }

// tellEach calls tell for each observer, and panics afterwards if it has panicked.
func tellEach(observers []*Observer, tell func(*Observer)) {
	var failures []error
	defer func() {
		if len(failures) > 0 {
			panic(observerPanics{errors.Join(failures...)})
		}
	}()
	calls := make([]func(), len(observers))
	for i, o := range observers {
		calls[i] = func() { tell(o) }
	}
	callEach(func(failure error) { failures = append(failures, unpacked(failure)) }, calls...)
}

// unpacked returns the panics of observers that were joined in place of tellEach's own.
func unpacked(failure error) error {
	if p, ok := failure.(*PanicError); ok { //nolint:errorlint // as it was recovered
		if all, ok := p.Value.(observerPanics); ok {
			return all.error
		}
	}
	return failure
}

func (o *Observer) upgradeRefused(request *http.Request, status int, reason error) {
	if o.UpgradeRefused != nil {
		o.UpgradeRefused(request, status, reason)
	}
}

func (o *Observer) opened(conn *Conn) {
	if o.Opened != nil {
		o.Opened(conn)
	}
}

func (o *Observer) ended(conn *Conn, ending Ending) {
	if o.Ended != nil {
		o.Ended(conn, ending)
	}
}

// observe calls the observer, if there is one, and survives it.
func (e *Endpoint) observe(ctx context.Context, tell func(*Observer)) {
	if e.options.Observer == nil {
		return
	}
	callRecovering(func() error {
		tell(e.options.Observer)
		return nil
	}, func(failure error) {
		if failure != nil {
			e.options.log(ctx, slog.LevelError, logObserver, fmt.Errorf("websocket: Options.Observer failed: %w", unpacked(failure)))
		}
	})
}

// An Ending says how a connection ended.
type Ending struct {
	// Code is that of the close frame that decided it, the peer's or ours: 1005
	// for an empty one, 1006 where there was none.
	Code int

	// Duration is the time since the upgrade.
	Duration time.Duration

	// Cause is the failure that was told to the ErrorHandler or the log, or else
	// what ended the connection: a *CloseError, ErrShutdown, the error of the
	// socket.
	Cause error

	// Panicked says that Serve, or a function given to Conn.Go, panicked or left
	// by runtime.Goexit, or that the net.Conn beneath panicked.
	Panicked bool
}

// Messages of the log. What differs is in the attributes, so that lines can be grouped.
const (
	logRefused     = "websocket: upgrade refused"
	logUnanswered  = "websocket: upgrade failed"
	logFailed      = "websocket: connection failed"
	logViolation   = "websocket: peer broke the protocol"
	logLost        = "websocket: peer vanished"
	logEnded       = "websocket: connection ended"
	logEndFailed   = "websocket: ending the connection failed"
	logErrorFailed = "websocket: error handler failed"
	logObserver    = "websocket: observer failed"
	logLogger      = "websocket: logger failed"
)

// failureMessage returns the message for a failure that is logged at the level.
func failureMessage(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return logFailed
	case level >= slog.LevelWarn:
		return logViolation
	default:
		return logLost
	}
}

// logger returns the logger of the options.
func (o *Options) logger() *slog.Logger {
	if o.Logger != nil {
		return o.Logger
	}
	return slog.Default()
}

// logs reports whether the logger is interested in a level. A handler that panics when it
// is asked counts as interested: log tells of its panic.
func (o *Options) logs(ctx context.Context, level slog.Level) bool {
	interested := true
	_ = catchPanic(func() { interested = o.logger().Enabled(ctx, level) })
	return interested
}

// log tells the logger. A panic of its handler, or of the error's methods in it, is told to
// the default logger: that may be another one, and has the error's text here.
func (o *Options) log(ctx context.Context, level slog.Level, message string, err error, attrs ...slog.Attr) {
	attrs = append([]slog.Attr{slog.Any("error", err)}, attrs...)
	failure := catchPanic(func() { o.logger().LogAttrs(ctx, level, message, attrs...) })
	var p *PanicError
	if !errors.As(failure, &p) {
		return
	}
	_ = catchPanic(func() {
		slog.Default().LogAttrs(ctx, slog.LevelError, logLogger,
			slog.String("panic", fmt.Sprint(p.Value)), slog.String("stack", string(p.Stack)), // fmt survives methods that panic
			slog.String("message", message), slog.String("error", fmt.Sprint(err)))
	})
}
