package websocket

import (
	"cmp"
	"compress/flate"
	"math"
	"reflect"
	"time"

	root "github.com/goyave-contrib/websocket"
	"goyave.dev/goyave/v5/config"
	"goyave.dev/goyave/v5/util/errors"
)

// Entries of the configuration: times in seconds, sizes in bytes.
const (
	maxMessageSizeEntry       = "websocket.maxMessageSize"
	closeTimeoutEntry         = "server.websocketCloseTimeout" // Goyave registers it
	writeTimeoutEntry         = "websocket.writeTimeout"
	pingIntervalEntry         = "websocket.pingInterval"
	pongTimeoutEntry          = "websocket.pongTimeout"
	parkAfterEntry            = "websocket.parkAfter"
	heartbeatIntervalEntry    = "websocket.heartbeatInterval"
	maxConnectionsEntry       = "websocket.maxConnections"
	allowedOriginsEntry       = "websocket.allowedOrigins"
	compressionEntry          = "websocket.compression"
	maxWindowBitsEntry        = "websocket.maxWindowBits"
	compressionThresholdEntry = "websocket.compressionThreshold"
	compressionLevelEntry     = "websocket.compressionLevel"
	drainTimeEntry            = "websocket.drainTime"
	shutdownTimeoutEntry      = "websocket.shutdownTimeout"
)

func init() {
	defaults := root.DefaultOptions()
	register(maxMessageSizeEntry, int(defaults.MaxMessageSize))
	register(writeTimeoutEntry, inSeconds(defaults.WriteTimeout))
	register(pingIntervalEntry, inSeconds(defaults.PingInterval))
	register(pongTimeoutEntry, inSeconds(defaults.PongTimeout))
	register(parkAfterEntry, inSeconds(defaults.ParkAfter))
	register(heartbeatIntervalEntry, inSeconds(defaults.HeartbeatInterval))
	register(maxConnectionsEntry, defaults.MaxConnections)
	register(maxWindowBitsEntry, defaults.MaxWindowBits)
	register(compressionLevelEntry, defaults.CompressionLevel)
	register(drainTimeEntry, 0)
	register(shutdownTimeoutEntry, inSeconds(defaultShutdownTimeout))
	config.Register(compressionEntry, config.Entry{
		Value:            "",
		Type:             reflect.String,
		AuthorizedValues: []any{"", CompressionDisabled.String(), CompressionNoContextTakeover.String(), CompressionContextTakeover.String()},
		Required:         true,
	})
	config.Register(compressionThresholdEntry, config.Entry{ // its default depends on what a connection agrees on
		Type:             reflect.Int,
		AuthorizedValues: []any{},
	})
	config.Register(allowedOriginsEntry, config.Entry{
		Value:            []string{},
		Type:             reflect.String,
		IsSlice:          true,
		AuthorizedValues: []any{},
		Required:         true,
	})
}

func inSeconds(d time.Duration) int { return int(d / time.Second) }

func register(key string, value int) {
	config.Register(key, config.Entry{
		Value:            value,
		Type:             reflect.Int,
		AuthorizedValues: []any{},
		Required:         true,
	})
}

// configured returns the options, with the entries of the configuration in place of zero fields.
func configured(options Options, cfg *config.Config) Options {
	// Every entry is read, so that a bad entry panics even if a field overrides it.
	options.MaxMessageSize = cmp.Or(options.MaxMessageSize, configured64(cfg, maxMessageSizeEntry, math.MaxInt64))
	options.CloseTimeout = cmp.Or(options.CloseTimeout, configuredSeconds(cfg, closeTimeoutEntry))
	options.WriteTimeout = cmp.Or(options.WriteTimeout, configuredSeconds(cfg, writeTimeoutEntry))
	options.PingInterval = cmp.Or(options.PingInterval, configuredSeconds(cfg, pingIntervalEntry))
	options.PongTimeout = cmp.Or(options.PongTimeout, configuredSeconds(cfg, pongTimeoutEntry))
	options.ParkAfter = cmp.Or(options.ParkAfter, configuredSeconds(cfg, parkAfterEntry))
	options.HeartbeatInterval = cmp.Or(options.HeartbeatInterval, configuredSeconds(cfg, heartbeatIntervalEntry))
	options.MaxConnections = cmp.Or(options.MaxConnections, configuredInt(cfg, maxConnectionsEntry, math.MaxInt))
	if mode := configuredCompression(cfg); !options.EnableCompression {
		options.Compression = cmp.Or(options.Compression, mode)
	}
	options.MaxWindowBits = cmp.Or(options.MaxWindowBits, configuredWindow(cfg))
	options.CompressionThreshold = cmp.Or(options.CompressionThreshold, configuredInt(cfg, compressionThresholdEntry, math.MaxInt))
	level := configuredInt(cfg, compressionLevelEntry, flate.BestCompression)
	if level < 0 {
		level = CompressionOff
	}
	options.CompressionLevel = cmp.Or(options.CompressionLevel, level)
	if origins := configuredOrigins(cfg); options.AllowedOrigins == nil {
		options.AllowedOrigins = origins
	}
	options.Debug = options.Debug || cfg.GetBool("app.debug")
	return options
}

// configuredSeconds is configured64 for a duration.
func configuredSeconds(cfg *config.Config, key string) time.Duration {
	seconds := configured64(cfg, key, math.MaxInt64/int64(time.Second))
	if seconds < 0 {
		return -1
	}
	return time.Duration(seconds) * time.Second
}

// configuredInt is configured64 for an int.
func configuredInt(cfg *config.Config, key string, limit int) int {
	return int(configured64(cfg, key, int64(limit)))
}

// configuredCompression returns the configured mode. It panics if there is no such mode.
func configuredCompression(cfg *config.Config) (mode CompressionMode) {
	if !cfg.Has(compressionEntry) {
		return mode
	}
	if err := mode.UnmarshalText([]byte(cfg.GetString(compressionEntry))); err != nil {
		panic(errors.Errorf("websocket: config entry %q: %w", compressionEntry, err))
	}
	return mode
}

// configuredWindow returns the configured size of windows, or zero for the default. It panics if it
// is out of range.
func configuredWindow(cfg *config.Config) int {
	if !cfg.Has(maxWindowBitsEntry) {
		return 0
	}
	bits := cfg.GetInt(maxWindowBitsEntry)
	if bits == 0 {
		bits = -1 // zero would stand for the default
	}
	if err := (&Options{MaxWindowBits: bits}).Validate(); err != nil {
		panic(errors.Errorf("websocket: config entry %q: %w", maxWindowBitsEntry, err))
	}
	return bits
}

// configuredOrigins returns the configured patterns. It panics if one is malformed.
func configuredOrigins(cfg *config.Config) []string {
	if !cfg.Has(allowedOriginsEntry) {
		return nil
	}
	options := Options{AllowedOrigins: cfg.GetStringSlice(allowedOriginsEntry)}
	if err := options.Validate(); err != nil {
		panic(errors.Errorf("websocket: config entry %q: %w", allowedOriginsEntry, err))
	}
	return options.AllowedOrigins
}

// configured64 returns an entry as a value of a field of Options: negative for off, and zero, the
// default, if the configuration was loaded before the entry was registered. It panics if the
// entry is out of range.
func configured64(cfg *config.Config, key string, limit int64) int64 {
	if !cfg.Has(key) {
		return 0
	}
	value := int64(cfg.GetInt(key))
	switch {
	case value < 0 || value > limit:
		panic(errors.Errorf("websocket: config entry %q is %d: want 1 to %d, or 0 for off", key, value, limit))
	case value == 0:
		return -1
	}
	return value
}
