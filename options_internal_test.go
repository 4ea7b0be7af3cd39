package websocket

import (
	"reflect"
	"sync"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
)

// What both have, a client's connection is given as a server's is. A setting that is about
// connections and not about requests or endpoints is in both.
func TestDialOptionsAreThoseOfTheConnection(t *testing.T) {
	ofServers := map[string]bool{
		"MaxConnections": true, "AllowedOrigins": true, "InsecureSkipOriginCheck": true,
		"RequireSubprotocol": true, "Logger": true, "Observer": true, "guard": true,
	}
	ofHandshakes := map[string]bool{"Subprotocols": true, "EnableCompression": true, "HandshakeTimeout": true}
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
	assert.Equal(t, 13, shared)
}

// What the adapter says of a request wins over the Options, and these over gorilla's.
func TestSettingsOfARequest(t *testing.T) {
	given := &ws.Upgrader{
		HandshakeTimeout: time.Second, ReadBufferSize: 1024, WriteBufferSize: 1024,
		Subprotocols: []string{"settings"}, WriteBufferPool: &sync.Pool{},
	}
	e := NewEndpoint(Options{})
	assert.Equal(t, given, e.settings(&Handshake{Settings: given}))
	assert.NotSame(t, given, e.settings(&Handshake{Settings: given}))
	assert.Equal(t, &ws.Upgrader{}, e.settings(&Handshake{}))

	e = NewEndpoint(Options{
		HandshakeTimeout: time.Minute, ReadBufferSize: 512, WriteBufferSize: 256,
		Subprotocols: []string{"options"}, EnableCompression: true,
	})
	want := &ws.Upgrader{
		HandshakeTimeout: time.Minute, ReadBufferSize: 512, WriteBufferSize: 256,
		Subprotocols: []string{"options"}, WriteBufferPool: given.WriteBufferPool, EnableCompression: true,
	}
	assert.Equal(t, want, e.settings(&Handshake{Settings: given}))
	want.Subprotocols = []string{"request"}
	assert.Equal(t, want, e.settings(&Handshake{Settings: given, Subprotocols: []string{"request"}}))
}
