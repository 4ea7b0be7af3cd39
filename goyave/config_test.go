package websocket

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/config"
	"goyave.dev/goyave/v5/slog"
	"goyave.dev/goyave/v5/util/errors"
)

func TestConfigDefaults(t *testing.T) {
	cfg := config.LoadDefault()
	assert.Equal(t, 10, cfg.GetInt("websocket.writeTimeout"))
	assert.Equal(t, 15, cfg.GetInt("websocket.shutdownTimeout"))
	assert.Equal(t, 1<<20, cfg.GetInt("websocket.maxMessageSize"))

	o := configured(Options{}, cfg)
	assert.Equal(t, 10*time.Second, o.WriteTimeout)
	assert.Equal(t, 10*time.Second, o.CloseTimeout)
	assert.EqualValues(t, 1<<20, o.MaxMessageSize)
	assert.True(t, o.Debug, "app.debug is true by default")
}

func TestConfigFromFile(t *testing.T) {
	cfg, err := config.LoadJSON(`{
		"app": {"debug": false},
		"server": {"websocketCloseTimeout": 3},
		"websocket": {"writeTimeout": 4}
	}`)
	require.NoError(t, err)
	o := configured(Options{}, cfg)
	assert.Equal(t, 4*time.Second, o.WriteTimeout)
	assert.Equal(t, 3*time.Second, o.CloseTimeout)
	assert.False(t, o.Debug)

	for _, bad := range []string{
		`{"websocket": {"writeTimeout": "4"}}`,
		`{"websocket": {"writeTimeout": null}}`,
		`{"websocket": {"shutdownTimeout": 1.5}}`,
	} {
		_, err := config.LoadJSON(bad)
		require.Error(t, err, bad)
	}
}

func TestConfigZeroIsOff(t *testing.T) {
	cfg := config.LoadDefault()
	cfg.Set("websocket.maxMessageSize", 0)
	cfg.Set("websocket.writeTimeout", 0)
	cfg.Set("server.websocketCloseTimeout", 0)
	o := configured(Options{}, cfg)
	assert.Negative(t, o.WriteTimeout)
	assert.Negative(t, o.CloseTimeout)
	assert.Negative(t, o.MaxMessageSize)
}

func TestConfigCodeWins(t *testing.T) {
	cfg := config.LoadDefault()
	cfg.Set("app.debug", false)
	for _, seconds := range []int{0, 5} {
		cfg.Set("websocket.writeTimeout", seconds)
		cfg.Set("server.websocketCloseTimeout", seconds)
		cfg.Set("websocket.maxMessageSize", seconds)
		o := configured(Options{MaxMessageSize: 7, WriteTimeout: time.Minute, CloseTimeout: -1, Debug: true}, cfg)
		assert.EqualValues(t, 7, o.MaxMessageSize)
		assert.Equal(t, time.Minute, o.WriteTimeout)
		assert.Negative(t, o.CloseTimeout)
		assert.True(t, o.Debug)
	}
}

// A configuration may be older than the entries: packages are initialized in an
// order of their own.
func TestConfigWithoutEntries(t *testing.T) {
	assert.Zero(t, configuredSeconds(config.LoadDefault(), "websocket.noSuchEntry"))
}

type idle struct{ goyave.Component }

func (*idle) Serve(*Conn, *goyave.Request) error { return nil }

func TestConfigBadEntriesAreRefused(t *testing.T) {
	for _, key := range []string{closeTimeoutEntry, writeTimeoutEntry, shutdownTimeoutEntry} {
		for _, seconds := range []int{-1, math.MaxInt} { // too many for a Duration
			cfg := config.LoadDefault()
			cfg.Set(key, seconds)
			server, err := goyave.New(goyave.Options{Config: cfg, Logger: slog.DiscardLogger()})
			require.NoError(t, err)
			upgrader := New(&idle{})
			upgrader.CloseTimeout, upgrader.WriteTimeout = time.Second, time.Second // does not help
			func() {
				defer func() {
					failure, ok := recover().(*errors.Error)
					require.True(t, ok, "%s %d", key, seconds)
					assert.Contains(t, failure.Error(), key)
				}()
				server.Router().Subrouter("/ws").Controller(upgrader)
			}()
		}
	}
}

func TestShutdownTimeoutOfTheService(t *testing.T) {
	for seconds, want := range map[int]time.Duration{0: -1, 3: 3 * time.Second, 15: defaultShutdownTimeout} {
		cfg := config.LoadDefault()
		cfg.Set(shutdownTimeoutEntry, seconds)
		server, err := goyave.New(goyave.Options{Config: cfg, Logger: slog.DiscardLogger()})
		require.NoError(t, err)
		s := serviceOf(server)
		assert.Equal(t, want, s.timeout)
		assert.Same(t, s, serviceOf(server), "one for a server")
	}
}

type impostor struct{}

func (impostor) Name() string { return serviceName }

func TestServiceOfTheSameNamePanics(t *testing.T) {
	server, err := goyave.New(goyave.Options{Config: config.LoadDefault(), Logger: slog.DiscardLogger()})
	require.NoError(t, err)
	server.RegisterService(impostor{})
	assert.Panics(t, func() { serviceOf(server) })
}

func TestHostname(t *testing.T) {
	for configured, want := range map[string]string{
		"Example.com": "example.com", "[::1]": "::1", "::1": "::1", "127.0.0.1": "127.0.0.1", "": "",
	} {
		assert.Equal(t, want, hostname(configured))
	}
}

func TestConfigNegativeSizeIsRefused(t *testing.T) {
	cfg := config.LoadDefault()
	cfg.Set(maxMessageSizeEntry, -1)
	assert.PanicsWithError(t, `websocket: config entry "websocket.maxMessageSize" is -1: want 1 to 9223372036854775807, or 0 for off`, func() {
		configured(Options{MaxMessageSize: 1}, cfg)
	})
}
