package websocket

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
)

// What both have, a client's connection is given as a server's is. A setting that is about
// connections and not about requests or endpoints is in both.
func TestDialOptionsAreThoseOfTheConnection(t *testing.T) {
	ofServers := map[string]bool{
		"MaxConnections": true, "AllowedOrigins": true, "InsecureSkipOriginCheck": true,
		"RequireSubprotocol": true, "Logger": true, "Observer": true, "guard": true,
	}
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
	assert.Equal(t, 11, shared)
}
