package websocket_test

import (
	"bytes"
	"compress/flate"

	"github.com/goyave-contrib/websocket/wstest"
)

// deflated is a compressed text message in one frame (RFC 7692, 7.2.1).
func deflated(message string) wstest.Frame {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	_, _ = w.Write([]byte(message)) // to memory
	_ = w.Flush()
	payload := bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
	return wstest.Frame{Fin: true, RSV: 4, Opcode: wstest.OpText, Masked: true, Payload: payload}
}
