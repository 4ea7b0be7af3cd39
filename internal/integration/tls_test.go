package integration_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/require"
)

// The peer closes its socket without the alert that TLS requires: this ends the stream
// nevertheless.
func TestTLSPeerThatHangsUpRudely(t *testing.T) {
	ctrl := &testws.Controller{ServeFunc: testws.ReadLoop(testws.Returned)}
	u := websocket.New(ctrl)
	server := httptest.NewTLSServer(u)
	defer server.Close()
	client := wstest.DialRaw(t, server, "/", nil)
	secure, ok := client.Conn.(*tls.Conn)
	require.True(t, ok)
	require.NoError(t, secure.NetConn().Close())
	testws.AwaitEnd(t, u)
	require.Len(t, ctrl.Told.All(), 1)
	require.Equal(t, websocket.CloseAbnormalClosure, websocket.CloseStatus(ctrl.Told.All()[0]))
}

// The peer requests new keys long after the deadline of the last write has passed: the read
// that receives the request has to write.
func TestTLSKeyUpdate(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("no openssl here: Go's own client can't ask for new keys:", err)
	}
	u := websocket.New(websocket.ControllerFunc(testws.Echo))
	u.WriteTimeout = 50 * time.Millisecond
	u.Logger = testws.Silent
	server := httptest.NewTLSServer(u)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	openssl := exec.CommandContext(ctx, "openssl", "s_client", "-connect", strings.TrimPrefix(server.URL, "https://"), "-tls1_3")
	in, err := openssl.StdinPipe()
	require.NoError(t, err)
	stdout, err := openssl.StdoutPipe()
	require.NoError(t, err)
	stderr, err := openssl.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, openssl.Start())
	defer func() {
		_ = openssl.Process.Kill()
		_ = openssl.Wait()
	}()

	send := func(s string) {
		_, err := io.WriteString(in, s)
		require.NoError(t, err)
	}
	until := func(r *bufio.Reader, what string) {
		var seen strings.Builder
		for !strings.HasSuffix(seen.String(), what) {
			b, err := r.ReadByte()
			require.NoError(t, err, "waiting for %q after %q", what, seen.String())
			seen.WriteByte(b)
		}
	}
	out, messages := bufio.NewReader(stdout), bufio.NewReader(stderr)
	send("GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	until(out, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	send(string(wstest.Text("one").Bytes()))
	until(out, "\x81\x03one")
	time.Sleep(2 * u.WriteTimeout) // TLS has no fake clock
	send("K\n")                    // a command to the program
	until(messages, "KEYUPDATE")
	send(string(wstest.Text("two").Bytes()))
	until(out, "\x81\x03two")
}
