package websocket

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

const (
	defaultMaxMessageSize = 1 << 20 // bytes

	defaultCloseTimeout = 10 * time.Second
	defaultWriteTimeout = 10 * time.Second
)

// Options tunes an [Upgrader] or an [Endpoint]. The zero value is ready to use:
// zero means the default, negative means off. Set the fields before the first
// request.
type Options struct {
	// MaxMessageSize bounds one message that is read, in bytes, after
	// decompression. A longer one ends the connection with code 1009, and its
	// read fails with an error that is ErrReadLimit. Zero means 1 MiB; negative
	// means no bound. [Conn.SetReadLimit] changes it for one connection.
	MaxMessageSize int64

	// CloseTimeout bounds the whole closing handshake: writing our close frame
	// and waiting for the peer's. Zero means 10 seconds; negative means no
	// waiting: the frame is tried and the socket closed at once, which may lose it
	// on its way.
	// [Conn.SetCloseHandshakeTimeout] changes it for one connection.
	CloseTimeout time.Duration

	// WriteTimeout bounds each write to the socket and the wait for another
	// message that is being written. A peer that does not take a frame in time
	// has vanished: the socket is closed. Zero means 10 seconds; negative means
	// no bound. [Conn.SetWriteDeadline] takes its place for one connection.
	WriteTimeout time.Duration

	// Debug shows errors to clients: the reason of a refused upgrade in its
	// body, the error of Serve in the close frame. Not for production.
	Debug bool

	// Log is called for what nobody else is told: errors of a controller
	// without an ErrorHandler and, at debug level, how connections ended. The
	// context is the connection's (the request's where there is none yet). It is
	// called from many goroutines at once. Nil means slog.Default().
	Log func(ctx context.Context, level slog.Level, err error, attrs ...slog.Attr)
}

func (o *Options) maxMessageSize() int64 {
	return orDefault(o.MaxMessageSize, defaultMaxMessageSize)
}

func (o *Options) closeTimeout() time.Duration {
	return orDefault(o.CloseTimeout, defaultCloseTimeout)
}

func (o *Options) writeTimeout() time.Duration {
	return orDefault(o.WriteTimeout, defaultWriteTimeout)
}

func (o *Options) log(ctx context.Context, level slog.Level, err error, attrs ...slog.Attr) {
	defer func() { // a connection's goroutine must not end the process
		if p := recover(); p != nil && o.Log != nil {
			slog.Default().LogAttrs(ctx, slog.LevelError, "websocket: Options.Log panicked", slog.Any("panic", p))
		}
	}()
	if o.Log == nil {
		slog.Default().LogAttrs(ctx, level, fmt.Sprint(err), attrs...) // fmt survives an Error method that does not
		return
	}
	o.Log(ctx, level, err, attrs...)
}

// orDefault returns the setting, its default for zero and 0 for off.
func orDefault[T ~int | ~int64](setting, whenZero T) T {
	if setting == 0 {
		return whenZero
	}
	return max(setting, 0)
}
