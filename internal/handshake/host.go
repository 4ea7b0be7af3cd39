package handshake

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
)

// HostHeader returns the Host header that net/http sends for a host: names in ASCII. ok is
// false for a host that net/http takes for malformed, because it would silently leave the
// header out.
func HostHeader(host string) (sent string, ok bool) {
	var written bytes.Buffer
	if err := (&http.Request{URL: &url.URL{Path: "/"}, Host: host}).Write(&written); err != nil {
		return "", false
	}
	read, err := http.ReadRequest(bufio.NewReader(&written))
	if err != nil {
		return "", false
	}
	return read.Host, read.Host != ""
}
