package hub

import (
	"fmt"

	"github.com/goyave-contrib/websocket"
)

// What the calls of a Hub and of a Member return may be returned from Serve. The errors that
// say what the hub has decided about a connection wrap a *websocket.CloseError: so the
// connection ends like that, whether the hub or Serve is first to close it, and nobody is
// told. They are websocket.ErrQueueFull (1013), websocket.ErrShutdown (1001) and this one.

// ErrTooLong is the error of a message that is longer than the queue of a member may be
// ([Options].Queue): nobody gets it. A Serve that returns it, wrapped or not, ends its
// connection with code 1009 (message too big), and nobody is told.
var ErrTooLong = fmt.Errorf("hub: message is longer than Options.Queue allows: %w",
	websocket.NewCloseError(websocket.CloseMessageTooBig, "message too big"))

// tooSlow is the text of websocket.ErrQueueFull's close frame.
const tooSlow = "too slow"
