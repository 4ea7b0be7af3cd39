package websocket

import (
	"math"
	"reflect"
	"sync"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
)

// DialOptions have all fields of Options that concern a connection, and not those that
// concern requests or endpoints. Both have the same effect.
func TestDialOptionsAreThoseOfTheConnection(t *testing.T) {
	ofServers := map[string]bool{
		"MaxConnections": true, "AllowedOrigins": true, "InsecureSkipOriginCheck": true,
		"RequireSubprotocol": true, "Logger": true, "Observer": true, "ParkAfter": true,
		"ShutdownClose": true, "DrainClose": true,
	}
	ofHandshakes := map[string]bool{"Subprotocols": true, "HandshakeTimeout": true}
	options := reflect.TypeFor[Options]()
	shared := 0
	for i := range options.NumField() {
		field := options.Field(i)
		clients, ok := reflect.TypeFor[DialOptions]().FieldByName(field.Name)
		assert.NotEqual(t, ofServers[field.Name], ok, field.Name)
		if !ok {
			continue
		}
		assert.Equal(t, field.Type, clients.Type, field.Name)
		if ofHandshakes[field.Name] {
			continue
		}
		var o DialOptions
		switch set := reflect.ValueOf(&o).Elem().FieldByIndex(clients.Index); set.Kind() {
		case reflect.Bool:
			set.SetBool(true)
		case reflect.Int, reflect.Int64:
			set.SetInt(7)
		case reflect.String:
			set.SetString("x")
		default:
			t.Fatalf("%s is a %s", field.Name, set.Kind())
		}
		got := reflect.ValueOf(o.connection()).Elem()
		assert.False(t, got.FieldByIndex(field.Index).IsZero(), field.Name)
		shared++
	}
	assert.Equal(t, 16, shared)
}

// The adapter's settings for a request take precedence over the Options, and those over
// gorilla's.
func TestSettingsOfARequest(t *testing.T) {
	given := &ws.Upgrader{
		HandshakeTimeout: time.Second, ReadBufferSize: 1024, WriteBufferSize: 1024,
		Subprotocols: []string{"settings"},
	}
	e := NewEndpoint(Options{})
	settings := func(h *Handshake) *ws.Upgrader {
		s := e.settings(h)
		return &s
	}
	assert.Equal(t, given, settings(&Handshake{Settings: given}))
	assert.Equal(t, &ws.Upgrader{}, settings(&Handshake{}))

	e = NewEndpoint(Options{
		HandshakeTimeout: time.Minute, ReadBufferSize: 512, WriteBufferSize: 256,
		Subprotocols: []string{"options"}, EnableCompression: true,
	})
	want := &ws.Upgrader{
		HandshakeTimeout: time.Minute, ReadBufferSize: 512, WriteBufferSize: 256,
		Subprotocols: []string{"options"}, EnableCompression: true,
	}
	assert.Equal(t, want, settings(&Handshake{Settings: given}))
	assert.Same(t, &e.buffers, e.writeBufferPool(nil))
	assert.Same(t, &e.buffers, e.writeBufferPool(given))
	given.WriteBufferPool = new(sync.Pool)
	assert.Same(t, given.WriteBufferPool, e.writeBufferPool(given))
	want.Subprotocols = []string{"request"}
	assert.Equal(t, want, settings(&Handshake{Settings: given, Subprotocols: []string{"request"}}))
}

// Zero resolves to the default, and a negative value to off: zero, or forever.
func TestResolvedOptions(t *testing.T) {
	want := &connOptions{
		maxMessageSize: 1 << 20, closeTimeout: 10 * time.Second, writeTimeout: 10 * time.Second,
		pingInterval: 30 * time.Second, pongTimeout: 10 * time.Second, parkAfter: 5 * time.Second,
		heartbeatInterval: forever, heartbeat: []byte{},
		compressionThreshold: 512, takeoverThreshold: 128, compressionLevel: 1,
		shutdownFrame: &CloseError{Code: 1001, Text: "Server shutting down"}, drainFrame: &CloseError{Code: 1012, Text: "Server restarting"},
	}
	assert.Equal(t, want, new(Options).resolve())
	zero := *new(Endpoint).connOptions()
	assert.NotNil(t, zero.alarms)
	assert.NotNil(t, zero.endpoint)
	zero.alarms, zero.endpoint = nil, nil
	assert.Equal(t, want, &zero, "the zero Endpoint is ready to use")
	defaults := DefaultOptions()
	defaults.CompressionThreshold = 0 // its default depends on what a connection has agreed on
	assert.Equal(t, want, defaults.resolve())

	off := Options{
		MaxMessageSize: -1, CloseTimeout: -1, WriteTimeout: -1, PingInterval: -1, PongTimeout: -1,
		HeartbeatInterval: -1, CompressionThreshold: -1, CompressionLevel: CompressionOff, ParkAfter: -1,
	}
	assert.Equal(t, &connOptions{
		parkAfter: -1, heartbeatInterval: forever, heartbeat: []byte{}, compressionLevel: CompressionOff,
		shutdownFrame: shutdownFrame, drainFrame: drainFrame,
	}, off.resolve())

	long := Options{PingInterval: math.MaxInt64, PongTimeout: math.MaxInt64, HeartbeatInterval: math.MaxInt64, ParkAfter: math.MaxInt64, WriteTimeout: math.MaxInt64}
	resolved := long.resolve()
	for _, d := range []time.Duration{resolved.pingInterval, resolved.pongTimeout, resolved.heartbeatInterval, resolved.parkAfter, resolved.writeTimeout} {
		assert.Equal(t, forever, d)
	}

	set := Options{
		MaxMessageSize: 1, CloseTimeout: 2, WriteTimeout: 3, PingInterval: 4, PongTimeout: 5, HeartbeatInterval: 6,
		Heartbeat: "beat", CompressionThreshold: 7, CompressionLevel: 8, SkipUTF8Validation: true, Debug: true, ParkAfter: 9,
		ShutdownClose: &CloseError{Code: 4001, Text: "shutdown"}, DrainClose: &CloseError{Code: 4002, Text: "drain"},
	}
	assert.Equal(t, &connOptions{
		maxMessageSize: 1, closeTimeout: 2, writeTimeout: 3, pingInterval: 4, pongTimeout: 5, heartbeatInterval: 6,
		heartbeat: []byte("beat"), compressionThreshold: 7, takeoverThreshold: 7, compressionLevel: 8, skipUTF8Validation: true, debug: true, parkAfter: 9,
		shutdownFrame: set.ShutdownClose, drainFrame: set.DrainClose,
	}, set.resolve())
}

func TestQueueLimitAllows(t *testing.T) {
	var limit QueueLimit
	assert.True(t, limit.Allows(1_000_000, 2<<20))
	assert.False(t, limit.Allows(1, 2<<20+1))
	limit = QueueLimit{Messages: 2, Bytes: -1}
	assert.True(t, limit.Allows(2, math.MaxInt))
	assert.False(t, limit.Allows(3, 0))
	limit = QueueLimit{Messages: -1, Bytes: 10}
	assert.True(t, limit.Allows(11, 10))
	assert.False(t, limit.Allows(0, 11))
}
