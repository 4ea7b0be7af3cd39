package websocket

import (
	"math"
	"reflect"
	"time"

	"goyave.dev/goyave/v5/config"
	"goyave.dev/goyave/v5/util/errors"
)

// Entries of the configuration, in seconds.
const (
	closeTimeoutEntry    = "server.websocketCloseTimeout" // Goyave registers it
	writeTimeoutEntry    = "websocket.writeTimeout"
	shutdownTimeoutEntry = "websocket.shutdownTimeout"
)

func init() {
	registerSeconds(writeTimeoutEntry, 10)
	registerSeconds(shutdownTimeoutEntry, 15)
}

func registerSeconds(key string, seconds int) {
	config.Register(key, config.Entry{
		Value:            seconds,
		Type:             reflect.Int,
		AuthorizedValues: []any{},
		Required:         true,
	})
}

// configured returns the options with what the configuration says where the code
// says nothing.
func configured(options Options, cfg *config.Config) Options {
	options.CloseTimeout = orConfigured(options.CloseTimeout, cfg, closeTimeoutEntry)
	options.WriteTimeout = orConfigured(options.WriteTimeout, cfg, writeTimeoutEntry)
	options.Debug = options.Debug || cfg.GetBool("app.debug")
	return options
}

func orConfigured(field time.Duration, cfg *config.Config, key string) time.Duration {
	fromConfig := configuredSeconds(cfg, key) // a bad entry is refused in any case
	if field != 0 {
		return field
	}
	return fromConfig
}

// configuredSeconds returns an entry as fields of Options have it: negative for
// off and, where the configuration was made before the entry was registered,
// zero for the default.
func configuredSeconds(cfg *config.Config, key string) time.Duration {
	if !cfg.Has(key) {
		return 0
	}
	seconds := int64(cfg.GetInt(key))
	switch {
	case seconds < 0 || seconds > math.MaxInt64/int64(time.Second):
		panic(errors.Errorf("websocket: config entry %q is %d: want seconds, 0 for off", key, seconds))
	case seconds == 0:
		return -1
	}
	return time.Duration(seconds) * time.Second
}
