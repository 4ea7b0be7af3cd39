package integration_test

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // RFC 6455, 4.2.2
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const tokenChars = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"

// protocols matches a header line with a list of names, which may have versions and be
// empty (RFC 9110, 5.6.1 and 7.8).
var protocols = regexp.MustCompile("^(?:[ \t]*(?:" + tokenChars + "(?:/" + tokenChars + ")?)?[ \t]*(?:,|$))*$")

// extensions matches a line of Sec-WebSocket-Extensions (RFC 6455, 9.1).
var extensions = regexp.MustCompile("^(?:[ \t]*(?:" + tokenChars + "(?:[ \t]*;[ \t]*" + tokenChars + "(?:[ \t]*=[ \t]*(?:" + tokenChars +
	`|"(?:\\?` + tokenChars + `)+"` + "))?)*)?[ \t]*(?:,|$))*$")

// matches reports whether each line of a header matches the expression.
func matches(header http.Header, name string, line *regexp.Regexp) bool {
	return !slices.ContainsFunc(header.Values(name), func(value string) bool { return !line.MatchString(value) })
}

// challenge matches 16 bytes in base64, whatever the two unused bits of the last digit are.
var challenge = regexp.MustCompile(`^[A-Za-z0-9+/]{22}==$`)

// listed returns the elements of a list header, which may have several lines.
func listed(header http.Header, name string) (elements []string) {
	for _, line := range header.Values(name) {
		for element := range strings.SplitSeq(line, ",") {
			elements = append(elements, strings.Trim(element, " \t"))
		}
	}
	return elements
}

func lists(header http.Header, name, element string) bool {
	return slices.ContainsFunc(listed(header, name), func(e string) bool { return strings.EqualFold(e, element) })
}

// mayUpgrade implements RFC 6455, 4.2.1, independently of the library: it reports whether
// the request is the opening handshake of a client. some is true if nothing is missing; all
// is true only if nothing is unusual either, so that the request must be accepted.
func mayUpgrade(r *http.Request) (some, all bool) {
	one := func(name string) string {
		if values := r.Header.Values(name); len(values) == 1 {
			return values[0]
		}
		return ""
	}
	some = r.Method == http.MethodGet && r.ProtoAtLeast(1, 1) && r.ProtoMajor == 1 &&
		lists(r.Header, "Upgrade", "websocket") && lists(r.Header, "Connection", "upgrade") &&
		challenge.MatchString(one("Sec-Websocket-Key")) && one("Sec-Websocket-Version") == "13" &&
		matches(r.Header, "Sec-Websocket-Extensions", extensions)
	all = some && matches(r.Header, "Upgrade", protocols) && matches(r.Header, "Connection", protocols) &&
		r.ContentLength == 0 && r.Header.Get("Expect") == ""
	return some, all
}

// originOfAnotherHost compares the names of the request's host and of its origin's. foreign
// reports whether the request must be refused: the names differ, or the origin is
// malformed. maybe reports whether there is an origin to compare: equal names still may
// have other ports.
func originOfAnotherHost(r *http.Request) (foreign, maybe bool) {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return false, false
	}
	origin, err := url.Parse(origins[0])
	if len(origins) > 1 || err != nil || origin.Host == "" {
		return true, false
	}
	name := func(host string) string {
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		return strings.ToLower(strings.Trim(host, "[]"))
	}
	return name(origin.Host) != name(r.Host), true
}

// checkSwitching checks a 101 against its request (RFC 6455, 4.2.2).
func checkSwitching(t *testing.T, r *http.Request, response *http.Response) {
	t.Helper()
	some, _ := mayUpgrade(r)
	foreign, _ := originOfAnotherHost(r)
	require.True(t, some, "upgraded, but it is no handshake: %v", r.Header)
	require.False(t, foreign, "upgraded for a page of %q", r.Header["Origin"])
	sum := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455, 4.2.2
	assert.Equal(t, []string{base64.StdEncoding.EncodeToString(sum[:])}, response.Header.Values("Sec-Websocket-Accept"))
	assert.Equal(t, []string{"websocket"}, response.Header.Values("Upgrade"))
	assert.Equal(t, []string{"Upgrade"}, response.Header.Values("Connection"))
	if chosen := response.Header.Values("Sec-Websocket-Protocol"); len(chosen) > 0 {
		assert.Len(t, chosen, 1)
		assert.Contains(t, []string{"chat", "superchat"}, chosen[0])
		assert.Contains(t, listed(r.Header, "Sec-Websocket-Protocol"), chosen[0])
	}
	if agreed := response.Header.Values("Sec-Websocket-Extensions"); len(agreed) > 0 {
		offered := strings.Join(r.Header.Values("Sec-Websocket-Extensions"), ",")
		assert.Contains(t, offered, "permessage-deflate")
		if strings.Contains(offered, "server_max_window_bits") && len(agreed[0]) > len(agreedOn) {
			assert.Regexp(t, "^"+agreedOn+"; server_max_window_bits=([89]|1[0-5])$", agreed[0])
			assert.Len(t, agreed, 1)
		} else {
			assert.Equal(t, []string{agreedOn}, agreed)
		}
	}
}

// A told is the record of the connections of a server.
type told struct {
	mu       sync.Mutex
	panics   []any
	messages []string
}

func (s *told) panicked(p any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.panics = append(s.panics, p)
}

func (s *told) Serve(conn *websocket.Conn, _ *http.Request) error {
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return err
		}
		s.messages = append(s.messages, string(rune(messageType))+string(message)) // read when all is over
		if err := conn.WriteMessage(messageType, message); err != nil {
			return err
		}
	}
}

func (s *told) OnError(_ *http.Request, err error) {
	var p *websocket.PanicError
	if errors.As(err, &p) {
		s.panicked(p.Value)
	}
}

// answered sends bytes to an in-memory server, in pieces, then half-closes the connection,
// and returns everything that the server sent. It checks that nothing takes long and
// nothing is left behind.
func answered(t *testing.T, stream []byte, size int) (answer []byte, s *told, stats websocket.Stats) {
	t.Helper()
	s = &told{}
	u := websocket.New(s)
	u.Logger = testws.Silent
	u.Settings.EnableCompression = true
	u.Settings.Subprotocols = []string{"superchat", "chat"}
	server := wstest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				s.panicked(p)
			}
		}()
		u.ServeHTTP(w, r)
	}))
	start := time.Now()
	client, err := server.DialContext(t.Context(), "", "")
	require.NoError(t, err)
	var sending sync.WaitGroup
	sending.Go(func() {
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), max(size, 1))
			if _, err := client.Write(rest[:n]); err != nil {
				return // the server has seen enough
			}
			rest = rest[n:]
		}
		_ = client.(interface{ CloseWrite() error }).CloseWrite() //nolint:errcheck // wstest's can
	})
	answer, err = io.ReadAll(client)
	if err != nil {
		assert.NotErrorIs(t, err, io.ErrUnexpectedEOF)
	}
	_ = client.Close()
	sending.Wait()
	synctest.Wait()
	assert.Less(t, time.Since(start), time.Second, "net/http itself waits for half of it")
	stats = u.Stats()
	assert.Zero(t, stats.Open)
	return answer, s, stats
}

// checkAnswers checks the responses of a server to the requests of a stream. At an upgrade
// it stops, and returns the header of the response, what the client sent after its request,
// and what the server sent after the response.
func checkAnswers(t *testing.T, stream, answer []byte) (upgraded http.Header, sent, got []byte) {
	t.Helper()
	requests, answers := bufio.NewReader(bytes.NewReader(stream)), bufio.NewReader(bytes.NewReader(answer))
	for {
		if _, err := answers.Peek(1); err != nil {
			return nil, nil, nil
		}
		r, err := http.ReadRequest(requests)
		if err != nil { // net/http has its own answers to that
			r = &http.Request{Method: http.MethodGet}
		}
		malformed := err != nil
		response, err := http.ReadResponse(answers, r) //nolint:bodyclose // in memory
		require.NoError(t, err, "an HTTP answer: %q", answer)
		if response.StatusCode == http.StatusContinue {
			response, err = http.ReadResponse(answers, r) //nolint:bodyclose // in memory
			require.NoError(t, err, "an HTTP answer: %q", answer)
		}
		if response.StatusCode == http.StatusSwitchingProtocols {
			require.False(t, malformed, "upgraded: %q", stream)
			checkSwitching(t, r, response)
			_, err = io.Copy(io.Discard, r.Body)
			require.NoError(t, err, "upgraded before the request had come whole")
			sent, err = io.ReadAll(requests)
			require.NoError(t, err)
			got, err = io.ReadAll(answers)
			require.NoError(t, err)
			return response.Header, sent, got
		}
		if malformed {
			assert.GreaterOrEqual(t, response.StatusCode, 400)
			return nil, nil, nil
		}
		checkRefusal(t, r, response)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err, "an HTTP answer: %q", answer)
		assert.LessOrEqual(t, len(body), 160)
		if _, err = io.Copy(io.Discard, r.Body); err != nil || response.Close {
			return nil, nil, nil
		}
	}
}

// checkRefusal checks that a refusal has a reason.
func checkRefusal(t *testing.T, r *http.Request, response *http.Response) {
	t.Helper()
	_, all := mayUpgrade(r)
	foreign, maybe := originOfAnotherHost(r)
	if response.Header.Get("Sec-Websocket-Version") == "" {
		all = false // it was net/http that refused
	}
	if all && !foreign && !maybe {
		assert.Fail(t, "refused", "%s: %v", response.Status, r.Header)
	}
	if foreign && all {
		assert.Equal(t, http.StatusForbidden, response.StatusCode)
	}
	assert.Contains(t, []int{400, 403, 405, 417, 426, 431, 501, 505}, response.StatusCode)
	if response.StatusCode == http.StatusUpgradeRequired { // RFC 9110, 15.5.22: nothing else may be wrong
		assert.Equal(t, []string{"websocket"}, response.Header["Upgrade"])
		assert.False(t, lists(r.Header, "Upgrade", "websocket") && lists(r.Header, "Connection", "upgrade"))
		assert.Zero(t, r.ContentLength)
	}
}

// A client that sends any bytes gets the responses of an HTTP server, or is upgraded if RFC
// 6455 allows it. Then early bytes are read as frames. Everything ends when the client
// half-closes the connection.
func FuzzHandshake(f *testing.F) {
	const line, host, upgrade, connection = "GET / HTTP/1.1\r\n", "Host: example.com\r\n", "Upgrade: websocket\r\n", "Connection: Upgrade\r\n"
	const key, version = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Sec-WebSocket-Version: 13\r\n"
	const good = line + host + upgrade + connection + key + version
	early := string(append(wstest.Text("hello").Bytes(), wstest.Close(1000, "bye").Bytes()...))
	for _, head := range []string{
		good + "\r\n",
		good + "Origin: http://example.com\r\n\r\n",
		good + "Origin: https://EXAMPLE.com:443\r\n\r\n",
		good + "Origin: https://evil.test\r\n\r\n",
		good + "Origin: null\r\n\r\n",
		good + "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: mqtt, superchat\r\n\r\n",
		good + "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
		good + "Sec-WebSocket-Extensions: x; a=\"permessage-deflate\", permessage-deflate; server_max_window_bits=9\r\n\r\n",
		good + "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15\r\n\r\n",
		good + "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=\"1\\5\"\r\nSec-WebSocket-Extensions: ,\r\n\r\n",
		good + "Sec-WebSocket-Extensions: permessage-deflate;\r\n\r\n",
		good + key + "\r\n",
		good + version + "\r\n",
		good + "Content-Length: 5\r\n\r\nhello",
		good + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		good + "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
		line + host + upgrade + connection + key + "Sec-WebSocket-Version: 8, 13\r\n\r\n",
		line + host + "upgrade: h2c, WebSocket\r\nconnection: keep-alive, upgrade\r\n" + key + version + "\r\n",
		line + host + "Upgrade: HTTP/2.0, SHTTP/1.3, websocket\r\nConnection: keep-alive, , Upgrade\r\n" + key + version + "\r\n",
		line + host + "Upgrade: ,\r\nUpgrade: ,websocket\r\nConnection:\r\nConnection: close, Upgrade,\r\n" + key + version + "\r\n",
		line + host + "Upgrade: websocket/13\r\n" + connection + key + version + "\r\n",
		line + host + upgrade + connection + "Sec-WebSocket-Key: c2hvcnQ=\r\n" + version + "\r\n",
		line + upgrade + connection + key + version + "\r\n",
		"GET /a?b HTTP/1.1\r\n" + host + "\r\n" + good + "\r\n",
		"POST" + strings.TrimPrefix(good, "GET") + "\r\n",
		strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1) + "\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"\x16\x03\x01",
		"",
	} {
		f.Add([]byte(head), []byte(early), uint8(0))
		f.Add([]byte(head), []byte(nil), uint8(1))
	}
	f.Add([]byte(good+"\r\n"), []byte("\x81\x85"), uint8(200))
	f.Add([]byte(good+"\r\n"), []byte("GET / HTTP/1.1\r\n\r\n"), uint8(0))
	f.Fuzz(func(t *testing.T, head, early []byte, size uint8) {
		stream := slices.Concat(head, early)
		if len(stream) > 64<<10 {
			t.Skip("net/http takes no longer heads")
		}
		pieces := int(size) * 8
		if size == 0 {
			pieces = len(stream)
		}
		synctest.Test(t, func(t *testing.T) {
			answer, s, stats := answered(t, stream, pieces)
			assert.Empty(t, s.panics)
			upgraded, sent, got := checkAnswers(t, stream, answer)
			if upgraded == nil {
				assert.Zero(t, stats.Upgrades)
				return
			}
			assert.EqualValues(t, 1, stats.Upgrades)
			closed := false
			var echoes []string
			for r := bytes.NewReader(got); r.Len() > 0; {
				frame, err := wstest.ReadFrame(r)
				require.NoError(t, err, "half a frame")
				require.False(t, frame.Masked)
				require.False(t, closed, "a frame after the close frame")
				closed = frame.Opcode == wstest.OpClose
				if frame.Opcode == wstest.OpText || frame.Opcode == wstest.OpBinary {
					echoes = append(echoes, string(rune(frame.Opcode))+string(frame.Payload))
				}
			}
			if upgraded.Get("Sec-Websocket-Extensions") == "" {
				assert.Equal(t, messagesOf(sent, true), s.messages)
				assert.Equal(t, s.messages, echoes)
			}
		})
	})
}
