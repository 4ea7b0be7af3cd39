package hub

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// maxEpoch is the greatest length of an epoch in bytes.
const maxEpoch = 128

var errPosition = errors.New("hub: malformed position")

// String returns the position as text for URLs, JSON and clients: letters, digits, "-" and "_". It is
// empty for the zero Position. [ParsePosition] parses it.
func (p Position) String() string {
	if p == (Position{}) {
		return ""
	}
	return strconv.FormatUint(p.Offset, 10) + "-" + base64.RawURLEncoding.EncodeToString([]byte(p.Epoch))
}

// ParsePosition parses what [Position.String] returned. The text may come from a client: any other
// text is an error, and a position that the client made up is at worst one that [Member.JoinSince]
// calls lost.
func ParsePosition(text string) (Position, error) {
	if text == "" {
		return Position{}, nil
	}
	offset, epoch, ok := strings.Cut(text, "-")
	if !ok || len(epoch) > base64.RawURLEncoding.EncodedLen(maxEpoch) {
		return Position{}, errPosition
	}
	var p Position
	var err error
	if p.Offset, err = strconv.ParseUint(offset, 10, 64); err != nil {
		return Position{}, errPosition
	}
	name, err := base64.RawURLEncoding.DecodeString(epoch)
	if err != nil {
		return Position{}, errPosition
	}
	p.Epoch = string(name)
	if p.String() != text { // one text for each position, and none for the zero one but the empty text
		return Position{}, errPosition
	}
	return p, nil
}

// MarshalText returns [Position.String].
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is [ParsePosition]. After an error, the position is as it was.
func (p *Position) UnmarshalText(text []byte) error {
	parsed, err := ParsePosition(string(text))
	if err == nil {
		*p = parsed
	}
	return err
}
