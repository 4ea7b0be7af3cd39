package websocket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

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
	_ = survived(func() { interested = o.logger().Enabled(ctx, level) })
	return interested
}

// log tells the logger. A panic of its handler, or of the error's methods in it, is told to
// the default logger: that may be another one, and has the error's text here.
func (o *Options) log(ctx context.Context, level slog.Level, message string, err error, attrs ...slog.Attr) {
	attrs = append([]slog.Attr{slog.Any("error", err)}, attrs...)
	failure := survived(func() { o.logger().LogAttrs(ctx, level, message, attrs...) })
	var p *PanicError
	if !errors.As(failure, &p) {
		return
	}
	_ = survived(func() {
		slog.Default().LogAttrs(ctx, slog.LevelError, logLogger,
			slog.String("panic", fmt.Sprint(p.Value)), slog.String("stack", string(p.Stack)), // fmt survives methods that panic
			slog.String("message", message), slog.String("error", fmt.Sprint(err)))
	})
}
