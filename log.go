package websocket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// Messages of the log. They are constant, so that lines can be grouped; what varies is in
// the attributes.
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

// failureMessage returns the message for a failure that is logged at the given level.
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

// logger returns the Logger, or slog's default if it is nil.
func (o *Options) logger() *slog.Logger {
	if o.Logger != nil {
		return o.Logger
	}
	return slog.Default()
}

// logEnabled reports whether the logger's handler is enabled for a level. A handler that
// panics counts as enabled: log then reports its panic.
func (o *Options) logEnabled(ctx context.Context, level slog.Level) bool {
	enabled := true
	_ = catchPanic(func() { enabled = o.logger().Enabled(ctx, level) })
	return enabled
}

// log writes a line to the logger. If its handler or a method of the error panics, the
// panic goes to slog's default logger, which may be another one, together with the text of
// the error.
func (o *Options) log(ctx context.Context, level slog.Level, message string, err error, attrs ...slog.Attr) {
	attrs = append([]slog.Attr{slog.Any("error", err)}, attrs...)
	failure := catchPanic(func() { o.logger().LogAttrs(ctx, level, message, attrs...) })
	var p *PanicError
	if !errors.As(failure, &p) {
		return
	}
	_ = catchPanic(func() {
		slog.Default().LogAttrs(ctx, slog.LevelError, logLogger,
			slog.String("panic", fmt.Sprint(p.Value)), slog.String("stack", string(p.Stack)), // fmt recovers panics of methods
			slog.String("message", message), slog.String("error", fmt.Sprint(err)))
	})
}
