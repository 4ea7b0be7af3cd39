package websocket

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"goyave.dev/goyave/v5"
	goyaveslog "goyave.dev/goyave/v5/slog"
)

// routeKey is the key of the route in the context of a connection.
type routeKey struct{}

// logHandler is the default handler of Options.Logger. It passes records to the server's logger,
// which the application may replace at any time before the start. As everywhere in Goyave, the
// message of an error is its text.
type logHandler struct {
	server *goyave.Server
	with   []func(*goyaveslog.Logger) *goyaveslog.Logger // WithAttrs and WithGroup, in their order
}

// logger returns the server's current logger.
func (h logHandler) logger() *goyaveslog.Logger {
	logger := h.server.Logger
	for _, with := range h.with {
		logger = with(logger)
	}
	return logger
}

func (h logHandler) derived(with func(slog.Handler) slog.Handler) slog.Handler {
	h.with = append(slices.Clip(h.with), func(l *goyaveslog.Logger) *goyaveslog.Logger {
		return goyaveslog.New(with(l.Handler()))
	})
	return h
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.derived(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler {
	return h.derived(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

// Enabled implements slog.Handler. Goyave's loggers log errors at any level.
func (h logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError || h.logger().Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, record slog.Record) error {
	var err error
	var attrs []slog.Attr
	if route, ok := ctx.Value(routeKey{}).(*goyave.Route); ok && route != nil {
		name := route.GetName()
		if name == "" {
			name = route.GetFullURI()
		}
		attrs = append(attrs, slog.String("route", name))
	}
	record.Attrs(func(a slog.Attr) bool {
		if e, ok := a.Value.Any().(error); ok && a.Key == "error" {
			err = e
		} else {
			attrs = append(attrs, a)
		}
		return true
	})
	logger := h.logger()
	switch {
	case err == nil:
		logger.LogAttrs(ctx, record.Level, record.Message, attrs...)
		return nil
	case record.Level < slog.LevelError:
		logger.LogAttrs(ctx, record.Level, fmt.Sprint(err), attrs...) // fmt recovers a panic of the Error method
		return nil
	}
	if _, panicked := tracedPanic(err); panicked || joined(err) != nil {
		err = goyaveError(err)
		attrs = slices.DeleteFunc(attrs, func(a slog.Attr) bool { return a.Key == "stack" }) // the traces contain it
	}
	args := make([]any, len(attrs))
	for i, attr := range attrs {
		args[i] = attr
	}
	logger.ErrorCtx(ctx, err, args...) // it adds the trace, if err has one
	return nil
}
