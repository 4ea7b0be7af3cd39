package dialing

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// readFinalResponse reads the head of the final response to a request. Interim responses
// may come before it (RFC 9110, 15.2); a 101 is final.
func readFinalResponse(r *bufio.Reader, request *http.Request) (*http.Response, error) {
	for {
		begin, _ := r.Peek(len("HTTP/1.1 101")) // the next read returns its error
		if bytes.HasSuffix(begin, []byte(" 101")) {
			return readHead(r, request)
		}
		response, err := http.ReadResponse(r, request)
		if err != nil || response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, err
		}
	}
}

// readHead reads the head of a response after which another protocol begins, a 101 or one
// to CONNECT, and nothing after it. Headers that describe a body are ignored (RFC 9110,
// 9.3.6). net/http would honor them, and takes a 101 with "close" in its Connection header
// for the response of a server that hangs up.
func readHead(r *bufio.Reader, request *http.Request) (*http.Response, error) {
	text := textproto.NewReader(r)
	line, err := text.ReadLine()
	if err != nil {
		return nil, noEOF(err)
	}
	response := &http.Response{Request: request, Body: http.NoBody}
	var status string
	var known bool
	response.Proto, status, _ = strings.Cut(line, " ")
	response.ProtoMajor, response.ProtoMinor, known = http.ParseHTTPVersion(response.Proto)
	response.Status = strings.TrimLeft(status, " ")
	code, _, _ := strings.Cut(response.Status, " ")
	response.StatusCode, err = strconv.Atoi(code)
	if !known || err != nil || len(code) != 3 || response.StatusCode < 100 {
		return nil, fmt.Errorf("malformed HTTP response %q", line)
	}
	header, err := text.ReadMIMEHeader()
	response.Header = http.Header(header)
	return response, noEOF(err)
}

// noEOF returns io.ErrUnexpectedEOF for the io.EOF of a read in the middle of a message.
func noEOF(err error) error {
	if err == io.EOF { //nolint:errorlint // a read returns it unwrapped
		return io.ErrUnexpectedEOF
	}
	return err
}
