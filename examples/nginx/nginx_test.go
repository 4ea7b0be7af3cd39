// Package nginx_test runs examples/chat behind nginx and speaks to it.
package nginx_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const patience = 30 * time.Second

// requireTools skips the test if a program is missing. If EXAMPLES_REQUIRED is set, as in
// continuous integration, that is a failure.
func requireTools(t *testing.T) {
	t.Helper()
	t.Setenv("PATH", strings.Join([]string{os.Getenv("PATH"), "/usr/local/sbin", "/usr/sbin"}, string(os.PathListSeparator)))
	for _, tool := range []string{"bash", "openssl", "nginx"} {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		what := "there is no " + tool + ": install it"
		if os.Getenv("EXAMPLES_REQUIRED") != "" {
			t.Fatal(what)
		}
		t.Skip(what)
	}
}

// site is the chat as the world sees it.
type site struct {
	*testws.Program
	t     *testing.T
	host  string
	tls   *tls.Config // trusts its certificate
	ended bool
}

func start(t *testing.T) *site {
	t.Helper()
	requireTools(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, listener.Close()) // nginx can't be asked to choose one
	folder := t.TempDir()
	s := &site{Program: testws.StartCommand(t, exec.Command("bash", "run", port, folder)), t: t, host: "localhost:" + port}
	t.Cleanup(func() { // killed, the script would leave both behind
		if !s.ended {
			s.Interrupt()
			s.ExpectExit(0)
		}
	})
	s.ExpectText("listening on https://" + s.host)

	certificate, err := os.ReadFile(filepath.Join(folder, "cert.pem"))
	require.NoError(t, err)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(certificate))
	s.tls = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return s
}

// dial joins the room as a page of the origin does. The status is that of the answer.
func (s *site) dial(name, origin string) (conn *websocket.Conn, status int, err error) {
	s.t.Helper()
	conn, response, err := websocket.Dial(s.t.Context(), "wss://"+s.host+"/chat?room=lobby&name="+name, &websocket.DialOptions{
		Header:           http.Header{"Origin": {origin}},
		TLSConfig:        s.tls,
		HandshakeTimeout: patience,
	})
	if conn != nil {
		s.t.Cleanup(func() { _ = conn.CloseNow() })
	}
	if response != nil {
		status = response.StatusCode
	}
	return conn, status, err
}

func (s *site) join(name string) *websocket.Conn {
	s.t.Helper()
	conn, _, err := s.dial(name, "https://"+s.host)
	require.NoError(s.t, err)
	return conn
}

// await reads until a message matches the pattern.
func await(t *testing.T, conn *websocket.Conn, pattern string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for expression := regexp.MustCompile(pattern); ; {
		_, got, err := conn.ReadMessageContext(ctx)
		require.NoError(t, err, "waiting for %s", pattern)
		if expression.Match(got) {
			return
		}
	}
}

// isHere matches what a member gets that comes to an empty room.
const isHere = `"(people|joined)":\["Ada"\]`

func TestChatBehindNginx(t *testing.T) {
	s := start(t)

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: s.tls, DisableKeepAlives: true}, Timeout: patience}
	response, err := client.Get("https://" + s.host)
	require.NoError(t, err)
	page, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Contains(t, response.Header.Get("Server"), "nginx")
	assert.Contains(t, string(page), "new WebSocket(")

	ada := s.join("Ada")
	await(t, ada, isHere)
	bob := s.join("Bob")
	await(t, ada, `"joined":\["Bob"\]`)
	await(t, bob, `"joined":\["Bob"\]`)
	require.NoError(t, bob.WriteMessage(websocket.TextMessage, []byte("hello")))
	await(t, ada, `^{"type":"message","name":"Bob","text":"hello","at":"[^"]+"}$`)
	await(t, bob, `^{"type":"message","name":"Bob","text":"hello","at":"[^"]+"}$`)

	// Codes pass in both directions.
	require.NoError(t, bob.Close(websocket.CloseNormalClosure, "bye"))
	await(t, ada, `"left":\["Bob"\]`)
	require.NoError(t, ada.WriteMessage(websocket.TextMessage, make([]byte, 2049)))
	_, _, err = ada.ReadMessage()
	require.Equal(t, websocket.CloseMessageTooBig, websocket.CloseStatus(err), "%v", err)
}

// The page's origin has nginx's name and port, and so has the Host that nginx passes on.
func TestOriginBehindNginx(t *testing.T) {
	s := start(t)
	for _, origin := range []string{"https://evil.test", "https://localhost", "http://localhost:8080"} {
		_, status, err := s.dial("Ada", origin)
		require.ErrorIs(t, err, websocket.ErrBadHandshake, origin)
		assert.Equal(t, http.StatusForbidden, status, origin)
	}
	await(t, s.join("Ada"), isHere)
}

// Clients are told through nginx, which ends last.
func TestInterruptBehindNginx(t *testing.T) {
	s := start(t)
	ada := s.join("Ada")
	await(t, ada, isHere)
	s.Interrupt()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, _, err := ada.ReadMessageContext(ctx)
	require.Equal(t, websocket.CloseGoingAway, websocket.CloseStatus(err), "%v", err)
	s.ExpectExit(0)
	s.ended = true
	_, err = net.DialTimeout("tcp", s.host, patience)
	require.Error(t, err, "nobody listens any more")
}

func TestPortThatIsTaken(t *testing.T) {
	requireTools(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	program := testws.StartCommand(t, exec.Command("bash", "run", port))
	program.ExpectText("bind() to 127.0.0.1:" + port + " failed")
	program.ExpectText("one of the two has ended")
	program.ExpectExit(1)
}

// What operations.md says of nginx is what is run here.
func TestOperationsSaysTheSame(t *testing.T) {
	operations, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(operations), "```nginx\n")
	require.True(t, found)
	snippet, _, _ := strings.Cut(after, "```")
	config, err := os.ReadFile("chat.conf")
	require.NoError(t, err)
	directives := make(map[string]bool)
	for line := range strings.Lines(string(config)) {
		directives[strings.TrimSpace(line)] = true
	}
	compared := 0
	for line := range strings.Lines(snippet) {
		line = strings.TrimSpace(line)
		switch name, _, _ := strings.Cut(line, " "); name {
		case "listen", "server_name", "ssl_certificate", "ssl_certificate_key", "proxy_pass": // each has its own
		default:
			assert.True(t, directives[line], "chat.conf has no line %q", line)
			compared++
		}
	}
	assert.Greater(t, compared, 10)
}
