package redisbroker

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/goyave-contrib/websocket/hub"
)

// maxName is the length in bytes up to which a name is written as it is. A longer name is hashed: each
// server keeps the names of channels and keys in memory.
const maxName = 128

var errPrefix = errors.New("redisbroker: Options.Prefix may have no spaces, quotes, backslashes, braces, wildcards, or characters outside of ASCII")

// checkPrefix returns an error for a prefix that would change the hash slot of keys, or mean more
// than itself in a pattern of Redis.
func checkPrefix(prefix string) error {
	for _, c := range []byte(prefix) {
		if c <= ' ' || c > '~' || strings.IndexByte(`{}*?[]"'\`, c) >= 0 {
			return fmt.Errorf("%w: %q", errPrefix, prefix)
		}
	}
	return nil
}

// channel returns the Redis channel of a topic, such as websocket.hub:{room:lobby}. In a cluster, the part in
// braces decides on which server a channel or a key is: whatever belongs to a topic begins with
// its channel.
func (b *Broker) channel(t hub.Topic) string {
	return b.options.Prefix + ":{" + tag(t) + "}"
}

func tag(t hub.Topic) string {
	switch t.Kind {
	case hub.KindRoom:
		return "room:" + escape(t.Name)
	case hub.KindKey:
		return "key:" + escape(t.Name)
	case hub.KindNode:
		return "node:" + escape(t.Name)
	default:
		return "all"
	}
}

// escape writes any name in letters, digits and -._~%, different for each name. "=" is written as %3D in
// a name, so a hash can't collide with one.
func escape(name string) string {
	if len(name) > maxName {
		sum := sha256.Sum256([]byte(name))
		return "=" + base64.RawURLEncoding.EncodeToString(sum[:])
	}
	plain := true
	for i := 0; plain && i < len(name); i++ {
		plain = unreserved(name[i])
	}
	if plain {
		return name
	}
	const hex = "0123456789ABCDEF"
	var s strings.Builder
	for _, c := range []byte(name) {
		if unreserved(c) {
			s.WriteByte(c)
		} else {
			s.Write([]byte{'%', hex[c>>4], hex[c&15]})
		}
	}
	return s.String()
}

// unreserved reports whether RFC 3986 has a character stand for itself everywhere.
func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
