package websocket

import (
	"fmt"
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
	assert.Equal(t, 0, cfg.GetInt("websocket.drainTime"))
	assert.Equal(t, 15, cfg.GetInt("websocket.shutdownTimeout"))
	assert.Equal(t, 1<<20, cfg.GetInt("websocket.maxMessageSize"))
	assert.Equal(t, 30, cfg.GetInt("websocket.pingInterval"))
	assert.Equal(t, 10, cfg.GetInt("websocket.pongTimeout"))
	assert.Equal(t, 5, cfg.GetInt("websocket.parkAfter"))
	assert.Equal(t, 0, cfg.GetInt("websocket.heartbeatInterval"))
	assert.Equal(t, 0, cfg.GetInt("websocket.maxConnections"))
	assert.Equal(t, []string{}, cfg.GetStringSlice("websocket.allowedOrigins"))
	assert.False(t, cfg.Has("websocket.compressionThreshold"))
	assert.Empty(t, cfg.GetString("websocket.compression"))
	assert.Equal(t, 15, cfg.GetInt("websocket.maxWindowBits"))
	assert.Equal(t, 1, cfg.GetInt("websocket.compressionLevel"))

	o := configured(Options{}, cfg)
	assert.Equal(t, 10*time.Second, o.WriteTimeout)
	assert.Equal(t, 10*time.Second, o.CloseTimeout)
	assert.EqualValues(t, 1<<20, o.MaxMessageSize)
	assert.Equal(t, 30*time.Second, o.PingInterval)
	assert.Equal(t, 10*time.Second, o.PongTimeout)
	assert.Equal(t, 5*time.Second, o.ParkAfter)
	assert.Negative(t, o.HeartbeatInterval)
	assert.Negative(t, o.MaxConnections)
	assert.Empty(t, o.AllowedOrigins)
	assert.Zero(t, o.CompressionThreshold, "it depends on the mode")
	assert.Equal(t, CompressionDisabled, o.Compression)
	assert.Equal(t, 15, o.MaxWindowBits)
	assert.Equal(t, 1, o.CompressionLevel)
	assert.False(t, o.InsecureSkipOriginCheck)
	assert.True(t, o.Debug, "app.debug is true by default")
}

func TestConfigFromFile(t *testing.T) {
	cfg, err := config.LoadJSON(`{
		"app": {"debug": false},
		"server": {"websocketCloseTimeout": 3},
		"websocket": {
			"writeTimeout": 4, "pingInterval": 5, "pongTimeout": 6, "maxConnections": 7,
			"heartbeatInterval": 20, "parkAfter": 21,
			"allowedOrigins": ["example.com", "https://*.example.com", "capacitor://localhost"],
			"compression": "contextTakeover", "maxWindowBits": 12,
			"compressionThreshold": 8, "compressionLevel": 9
		}
	}`)
	require.NoError(t, err)
	o := configured(Options{}, cfg)
	assert.Equal(t, 4*time.Second, o.WriteTimeout)
	assert.Equal(t, 3*time.Second, o.CloseTimeout)
	assert.Equal(t, 5*time.Second, o.PingInterval)
	assert.Equal(t, 6*time.Second, o.PongTimeout)
	assert.Equal(t, 20*time.Second, o.HeartbeatInterval)
	assert.Equal(t, 21*time.Second, o.ParkAfter)
	assert.Equal(t, 7, o.MaxConnections)
	assert.Equal(t, []string{"example.com", "https://*.example.com", "capacitor://localhost"}, o.AllowedOrigins)
	require.NoError(t, o.Validate())
	assert.Equal(t, CompressionContextTakeover, o.Compression)
	assert.Equal(t, 12, o.MaxWindowBits)
	assert.Equal(t, 8, o.CompressionThreshold)
	assert.Equal(t, 9, o.CompressionLevel)
	assert.False(t, o.Debug)

	_, err = config.LoadJSON(`{"websocket": {"allowedOrigins": []}}`)
	require.NoError(t, err)

	for _, bad := range []string{
		`{"websocket": {"writeTimeout": "4"}}`,
		`{"websocket": {"writeTimeout": null}}`,
		`{"websocket": {"shutdownTimeout": 1.5}}`,
		`{"websocket": {"allowedOrigins": [1]}}`,
		`{"websocket": {"allowedOrigins": null}}`,
		`{"websocket": {"compressionLevel": 1.5}}`,
		`{"websocket": {"compression": "takeover"}}`,
		`{"websocket": {"compression": true}}`,
		`{"websocket": {"maxWindowBits": "large"}}`,
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
	cfg.Set("websocket.pingInterval", 0)
	cfg.Set("websocket.pongTimeout", 0)
	cfg.Set("websocket.heartbeatInterval", 0)
	cfg.Set("websocket.maxConnections", 0)
	cfg.Set("websocket.compressionThreshold", 0)
	cfg.Set("websocket.compressionLevel", 0)
	o := configured(Options{}, cfg)
	assert.Negative(t, o.PingInterval)
	assert.Negative(t, o.PongTimeout)
	assert.Negative(t, o.HeartbeatInterval)
	assert.Negative(t, o.MaxConnections)
	assert.Negative(t, o.CompressionThreshold)
	assert.Equal(t, CompressionOff, o.CompressionLevel)
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
		cfg.Set("websocket.pingInterval", seconds)
		cfg.Set("websocket.pongTimeout", seconds)
		cfg.Set("websocket.heartbeatInterval", seconds)
		cfg.Set("websocket.maxConnections", seconds)
		cfg.Set("websocket.compressionThreshold", seconds)
		cfg.Set("websocket.compressionLevel", seconds)
		cfg.Set("websocket.allowedOrigins", []string{"config.test"})
		cfg.Set("websocket.compression", "contextTakeover")
		cfg.Set("websocket.maxWindowBits", 10)
		assert.Equal(t, CompressionDisabled, configured(Options{EnableCompression: true}, cfg).Compression)
		o := configured(Options{
			Compression: CompressionNoContextTakeover, MaxWindowBits: 9,
			MaxMessageSize: 7, WriteTimeout: time.Minute, CloseTimeout: -1, Debug: true,
			PingInterval: time.Hour, PongTimeout: -1, MaxConnections: 8, AllowedOrigins: []string{"code.test"},
			CompressionThreshold: 9, CompressionLevel: 6, HeartbeatInterval: 2 * time.Minute,
		}, cfg)
		assert.Equal(t, 2*time.Minute, o.HeartbeatInterval)
		assert.Equal(t, time.Hour, o.PingInterval)
		assert.Negative(t, o.PongTimeout)
		assert.Equal(t, 8, o.MaxConnections)
		assert.Equal(t, []string{"code.test"}, o.AllowedOrigins)
		assert.Equal(t, CompressionNoContextTakeover, o.Compression)
		assert.Equal(t, 9, o.MaxWindowBits)
		assert.Equal(t, 9, o.CompressionThreshold)
		assert.Equal(t, 6, o.CompressionLevel)
		assert.EqualValues(t, 7, o.MaxMessageSize)
		assert.Equal(t, time.Minute, o.WriteTimeout)
		assert.Negative(t, o.CloseTimeout)
		assert.True(t, o.Debug)
	}
}

// An empty list in the code overrides the configuration, too.
func TestConfigEmptyListInTheCodeWins(t *testing.T) {
	cfg := config.LoadDefault()
	cfg.Set("websocket.allowedOrigins", []string{"config.test"})
	assert.Empty(t, configured(Options{AllowedOrigins: []string{}}, cfg).AllowedOrigins)
	assert.Equal(t, []string{"config.test"}, configured(Options{}, cfg).AllowedOrigins)
}

// A configuration may be loaded before the entries are registered, because of the order in which
// packages are initialized.
func TestConfigWithoutEntries(t *testing.T) {
	assert.Zero(t, configuredSeconds(config.LoadDefault(), "websocket.noSuchEntry"))
}

type idle struct{ goyave.Component }

func (*idle) Serve(*Conn, *goyave.Request) error { return nil }

// registration mounts an upgrader and returns the value of its panic.
func registration(t *testing.T, cfg *config.Config, options Options) (failure *errors.Error) {
	t.Helper()
	server, err := goyave.New(goyave.Options{Config: cfg, Logger: slog.DiscardLogger()})
	require.NoError(t, err)
	upgrader := New(&idle{})
	upgrader.Options = options
	defer func() {
		var ok bool
		failure, ok = recover().(*errors.Error)
		require.True(t, ok, "it does not panic, or not with Goyave's error")
	}()
	server.Router().Subrouter("/ws").Controller(upgrader)
	return nil
}

func TestConfigBadEntriesAreRefused(t *testing.T) {
	const tooLong = math.MaxInt // for a Duration
	for key, bad := range map[string][]any{
		closeTimeoutEntry:         {-1, tooLong},
		writeTimeoutEntry:         {-1, tooLong},
		drainTimeEntry:            {-1, tooLong},
		shutdownTimeoutEntry:      {-1, tooLong},
		pingIntervalEntry:         {-1, tooLong},
		pongTimeoutEntry:          {-1, tooLong},
		parkAfterEntry:            {-1, tooLong},
		heartbeatIntervalEntry:    {-1, tooLong},
		maxConnectionsEntry:       {-1},
		compressionThresholdEntry: {-1},
		compressionLevelEntry:     {-1, 10},
		maxWindowBitsEntry:        {-1, 0, 7, 16},
		allowedOriginsEntry:       {[]string{"*"}, []string{"example.com", "example.com/path"}, []string{""}},
	} {
		for _, value := range bad {
			t.Run(fmt.Sprint(key, " ", value), func(t *testing.T) {
				cfg := config.LoadDefault()
				cfg.Set(key, value)
				failure := registration(t, cfg, Options{ // the options do not prevent the panic
					CloseTimeout: time.Second, WriteTimeout: time.Second, PingInterval: time.Second, PongTimeout: time.Second,
					HeartbeatInterval: time.Second, MaxConnections: 1, AllowedOrigins: []string{"example.com"}, CompressionThreshold: 1, CompressionLevel: 1, MaxWindowBits: 15,
				})
				assert.Contains(t, failure.Error(), key)
			})
		}
	}
}

// Goyave accepts a string as a list of strings.
func TestConfigOriginThatIsNoListIsRefused(t *testing.T) {
	cfg, err := config.LoadJSON(`{"websocket": {"allowedOrigins": "example.com"}}`)
	require.NoError(t, err)
	assert.Contains(t, registration(t, cfg, Options{}).Error(), allowedOriginsEntry)
}

func TestBadOptionsAreRefused(t *testing.T) {
	failure := registration(t, config.LoadDefault(), Options{AllowedOrigins: []string{"https://*"}})
	assert.Contains(t, failure.Error(), `AllowedOrigins: "https://*" would allow every origin`)
	failure = registration(t, config.LoadDefault(), Options{CompressionLevel: 10})
	assert.Contains(t, failure.Error(), "CompressionLevel is 10")
	failure = registration(t, config.LoadDefault(), Options{ShutdownClose: NewCloseError(1006, "")})
	assert.Contains(t, failure.Error(), "ShutdownClose has code 1006")
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

// The drain time comes before the timeout.
func TestDrainTimeOfTheService(t *testing.T) {
	const longest = math.MaxInt64 / int64(time.Second)
	for _, tc := range []struct {
		drain, timeout int64 // seconds
		want           time.Duration
	}{
		{drain: 0, timeout: 15, want: 15 * time.Second},
		{drain: 60, timeout: 15, want: 75 * time.Second},
		{drain: 60, timeout: 0, want: -1},
		{drain: longest, timeout: 15, want: math.MaxInt64},
	} {
		cfg := config.LoadDefault()
		cfg.Set(drainTimeEntry, int(tc.drain))
		cfg.Set(shutdownTimeoutEntry, int(tc.timeout))
		server, err := goyave.New(goyave.Options{Config: cfg, Logger: slog.DiscardLogger()})
		require.NoError(t, err)
		assert.Equal(t, time.Duration(tc.drain)*time.Second, serviceOf(server).drainTime)
		assert.Equal(t, tc.want, serviceOf(server).timeout)
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
