package natsbroker

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/goyave-contrib/websocket/hub"
)

// maxName is how many bytes of a name are encoded as they are. A longer one is hashed:
// servers take no line of more than 4 KiB, and subjects cost memory in each of them.
const maxName = 128

var errPrefix = errors.New("natsbroker: Options.Prefix is not tokens with dots between them")

// checkPrefix returns an error for a prefix that would make no subject, or one that
// matches others.
func checkPrefix(prefix string) error {
	for token := range strings.SplitSeq(prefix, ".") {
		if token == "" || strings.ContainsFunc(token, unsafe) {
			return fmt.Errorf("%w: %q", errPrefix, prefix)
		}
	}
	return nil
}

func unsafe(r rune) bool { return r == '*' || r == '>' || unicode.IsSpace(r) || unicode.IsControl(r) }

// subject returns what the messages to a topic are published to.
func (b *Broker) subject(t hub.Topic) string {
	switch t.Kind {
	case hub.Room:
		return b.prefix + ".room." + token(t.Name)
	case hub.Key:
		return b.prefix + ".key." + token(t.Name)
	default:
		return b.prefix + ".all"
	}
}

// token encodes a name, any bytes, so that it is one token, and that of no other name.
// What begins with "=" encodes nothing in base64.
func token(name string) string {
	switch {
	case name == "":
		return "="
	case len(name) > maxName:
		sum := sha256.Sum256([]byte(name))
		return "=" + base64.RawURLEncoding.EncodeToString(sum[:])
	default:
		return base64.RawURLEncoding.EncodeToString([]byte(name))
	}
}
