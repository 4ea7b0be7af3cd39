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

// maxName is the length in bytes up to which a name is encoded as it is. A longer name is hashed:
// NATS servers accept no protocol line over 4 KiB, and each server keeps the subjects in memory.
const maxName = 128

var errPrefix = errors.New("natsbroker: Options.Prefix is not tokens with dots between them")

// checkPrefix returns an error for a prefix that would make an invalid subject, or a wildcard.
func checkPrefix(prefix string) error {
	for token := range strings.SplitSeq(prefix, ".") {
		if token == "" || strings.ContainsFunc(token, unsafe) {
			return fmt.Errorf("%w: %q", errPrefix, prefix)
		}
	}
	return nil
}

func unsafe(r rune) bool { return r == '*' || r == '>' || unicode.IsSpace(r) || unicode.IsControl(r) }

// subject returns the NATS subject of a topic.
func (b *Broker) subject(t hub.Topic) string {
	switch t.Kind {
	case hub.KindRoom:
		return b.prefix + ".room." + token(t.Name)
	case hub.KindKey:
		return b.prefix + ".key." + token(t.Name)
	case hub.KindNode:
		return b.prefix + ".node." + token(t.Name)
	default:
		return b.prefix + ".all"
	}
}

// token encodes any name as one token of a subject, different for each name. Base64 never begins
// with "=", so the special cases can't collide with an encoded name.
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
