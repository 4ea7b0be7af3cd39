package dialing

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"time"
)

const (
	// maxRefusalBody bounds the kept part of a refusal's body, in bytes, and
	// refusalBodyTimeout the wait for it. The status says more, and the body may never end.
	maxRefusalBody     = 1024
	refusalBodyTimeout = time.Second

	// maxHeadSize bounds the heads of all responses to one request together, in bytes.
	maxHeadSize = 1 << 20
)

// RoundTrip sends the request and reads the response: its head and the beginning of a
// refusal's body. early is what the server sent after a 101.
func (a *Attempt) RoundTrip(nc net.Conn, request *http.Request) (response *http.Response, early []byte, err error) {
	stop, unsent := a.send(nc, request)
	defer stop()
	limited := &io.LimitedReader{R: nc, N: maxHeadSize}
	r := bufio.NewReader(limited)
	response, err = readFinalResponse(r, request)
	switch {
	case err != nil && unsent != nil:
		return nil, nil, unsent
	case err != nil && limited.N <= 0:
		return nil, nil, fmt.Errorf("the head of the answer is longer than %d bytes", maxHeadSize)
	case err != nil:
		return nil, nil, err
	}
	if secure, ok := nc.(*tls.Conn); ok {
		state := secure.ConnectionState()
		response.TLS = &state
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		limited.N = math.MaxInt64
		a.keepBody(response)
		return response, nil, nil
	}
	response.Body = http.NoBody
	early, _ = r.Peek(r.Buffered()) // no error: these bytes are buffered
	return response, early, nil
}

// send sends a request. If it can't be sent whole, the peer may have refused it already:
// its response is still to be read then, within the time for a refusal's body. The caller
// must call stop when it has read the response.
func (a *Attempt) send(nc net.Conn, request *http.Request) (stop func() bool, err error) {
	wait := refusalBodyTimeout
	switch err = request.Write(nc); {
	case err == nil:
		return func() bool { return false }, nil
	case a.network.Panics.Is(err): // the net.Conn failed by itself; the peer refused nothing
		wait = 0
	}
	return time.AfterFunc(wait, a.closeSockets).Stop, err
}

// keepBody keeps the beginning of a refusal's body, as far as it arrives in time.
func (a *Attempt) keepBody(response *http.Response) {
	defer time.AfterFunc(refusalBodyTimeout, a.closeSockets).Stop()
	kept, _ := io.ReadAll(io.LimitReader(response.Body, maxRefusalBody)) // an error ends what arrived in time
	response.Body = io.NopCloser(bytes.NewReader(kept))                  // the rest may never end
}
