package websocket

import (
	"cmp"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket/internal/transport"
	"github.com/goyave-contrib/websocket/internal/xsync"
)

// forever is the longest duration in use: adding a few of them can't overflow.
const forever = time.Duration(1) << 60

// connOptions are the resolved settings of all connections of an Endpoint, or of one Dial.
// They must not change once a connection points to them.
type connOptions struct {
	maxMessageSize    int64         // bytes; 0: unlimited
	closeTimeout      time.Duration // 0: no waiting
	writeTimeout      time.Duration // without progress; 0: unlimited
	pingInterval      time.Duration // 0: no pings
	pongTimeout       time.Duration // 0: no answer expected
	parkAfter         time.Duration // negative: never
	heartbeatInterval time.Duration // forever: no heartbeats
	heartbeat         []byte

	compressionThreshold int // bytes
	takeoverThreshold    int // bytes; with context takeover
	compressionLevel     int // on the scale of Options.CompressionLevel; never 0

	shutdownFrame, drainFrame *CloseError // of a shutdown and of a Drain

	skipUTF8Validation bool
	debug              bool
	guard              func(call func() error) error // see Endpoint.Guard; nil: none

	endpoint *Endpoint           // nil for a Dial; not set by resolve
	alarms   *xsync.Alarms[Conn] // of the keep-alive; likewise
}

// resolve replaces zero fields by their defaults.
func (o *Options) resolve() *connOptions {
	d := DefaultOptions()
	r := &connOptions{
		maxMessageSize:       orDefault(o.MaxMessageSize, d.MaxMessageSize),
		closeTimeout:         orDefault(o.CloseTimeout, d.CloseTimeout),
		writeTimeout:         min(orDefault(o.WriteTimeout, d.WriteTimeout), forever),
		pingInterval:         min(orDefault(o.PingInterval, d.PingInterval), forever),
		pongTimeout:          min(orDefault(o.PongTimeout, d.PongTimeout), forever),
		parkAfter:            min(cmp.Or(o.ParkAfter, d.ParkAfter), forever),
		heartbeatInterval:    forever,
		heartbeat:            []byte(o.Heartbeat),
		compressionThreshold: orDefault(o.CompressionThreshold, defaultThreshold),
		takeoverThreshold:    orDefault(o.CompressionThreshold, defaultTakeoverThreshold),
		compressionLevel:     cmp.Or(o.CompressionLevel, d.CompressionLevel),
		shutdownFrame:        frameOr(o.ShutdownClose, shutdownFrame),
		drainFrame:           frameOr(o.DrainClose, drainFrame),
		skipUTF8Validation:   o.SkipUTF8Validation,
		debug:                o.Debug,
	}
	if o.HeartbeatInterval > 0 {
		r.heartbeatInterval = min(o.HeartbeatInterval, forever)
	}
	return r
}

// guarded calls f within the guard, if there is one.
func (o *connOptions) guarded(f func() error) error {
	if o.guard != nil {
		return o.guard(f)
	}
	return f()
}

// config returns the settings of transports that take their read buffers from the pool.
// Sizes are in bytes; zero means the default of [transport.Config].
func (o *connOptions) config(readBuffers *sync.Pool, readBufferSize, writeBufferSize int) *transport.Config {
	return &transport.Config{
		WriteTimeout: o.writeTimeout,
		CloseTimeout: o.closeTimeout,
		ReadLimit:    o.maxMessageSize,
		KeepSentAt:   o.heartbeatInterval < forever,

		SkipUTF8Validation:   o.skipUTF8Validation,
		CompressionThreshold: o.compressionThreshold,
		TakeoverThreshold:    o.takeoverThreshold,
		Panics:               recoveredPanics,
		ReadBuffers:          readBuffers,
		ReadBufferSize:       readBufferSize,
		WriteBufferSize:      writeBufferSize,
	}
}

// orDefault returns the setting itself, whenZero if it is zero, and 0 (off) if it is
// negative.
func orDefault[T ~int | ~int64](setting, whenZero T) T {
	if setting == 0 {
		return whenZero
	}
	return max(setting, 0)
}
