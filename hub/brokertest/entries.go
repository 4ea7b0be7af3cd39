package brokertest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/goyave-contrib/websocket/hub"
)

func isLost(err error) bool { return errors.Is(err, hub.ErrHistoryLost) }

func equalEntries(a, b hub.Entry) bool {
	return a.Position == b.Position && a.Previous == b.Previous && bytes.Equal(a.Payload, b.Payload)
}

// describe returns text for a failure.
func describe(entries ...hub.Entry) string {
	const most = 20
	texts := make([]string, 0, len(entries))
	for i, e := range entries {
		if i == most {
			texts = append(texts, "...")
			break
		}
		texts = append(texts, fmt.Sprintf("%d after %d in %q: %.20q", e.Offset, e.Previous, e.Epoch, e.Payload))
	}
	return fmt.Sprintf("%d entries [%s]", len(entries), strings.Join(texts, ", "))
}
