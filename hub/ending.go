package hub

import (
	"fmt"

	"github.com/goyave-contrib/websocket"
)

// Serve may return the errors of a Hub's and a Member's methods. Those that stand for a decision
// of the hub about the connection wrap a *websocket.CloseError: the connection ends with the
// same close frame, whether the hub or Serve closes it first, and OnError is not called. They
// are websocket.ErrQueueFull (1013), websocket.ErrShutdown (ShutdownClose of the Upgrader) and ErrTooLong (1009).

// ErrTooLong is the error of a message that is longer than [Options].Queue allows for one member.
// It is sent to no member. A Serve that returns it, wrapped or not, ends its connection with
// code 1009 (message too big), and OnError is not called.
var ErrTooLong = fmt.Errorf("hub: message is longer than Options.Queue allows: %w",
	websocket.NewCloseError(websocket.CloseMessageTooBig, "message too big"))

// tooSlowText is the text of the close frame that websocket.ErrQueueFull stands for.
const tooSlowText = "too slow"
