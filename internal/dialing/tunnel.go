package dialing

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// connectHTTP asks an HTTP proxy to turn the connection into a tunnel (RFC 9110, 9.3.6).
// Any 2xx response starts the tunnel, whatever responses came before it and whatever its
// headers say about a body.
func (a *Attempt) connectHTTP(nc net.Conn, address string, user *url.Userinfo) error {
	connect := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{},
	}
	if user != nil {
		password, _ := user.Password()
		connect.SetBasicAuth(user.Username(), password)
		connect.Header["Proxy-Authorization"] = connect.Header["Authorization"]
		connect.Header.Del("Authorization")
	}
	stop, unsent := a.send(nc, connect)
	defer stop()
	r := bufio.NewReader(oneByteReader{&io.LimitedReader{R: nc, N: maxHeadSize}})
	for {
		response, err := readHead(r, connect) //nolint:bodyclose // readHead returns no body
		switch {
		case err != nil && unsent != nil:
			return unsent
		case err != nil:
			return err
		case response.StatusCode/100 == 2:
			return nil
		case response.StatusCode/100 != 1 || response.StatusCode == http.StatusSwitchingProtocols:
			return fmt.Errorf("CONNECT was answered %s", response.Status)
		}
	}
}

// oneByteReader keeps a buffered reader from reading ahead: the bytes after the head of the
// response belong to the tunnel.
type oneByteReader struct{ io.Reader }

func (r oneByteReader) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(len(p), 1)]) }
