package redisbroker_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/stretchr/testify/require"
)

// snippets returns the blocks of README.md in a language.
func snippets(t *testing.T, language string) []string {
	t.Helper()
	return blocks(t, "README.md", language)
}

func blocks(t *testing.T, document, language string) (list []string) {
	t.Helper()
	content, err := os.ReadFile(document)
	require.NoError(t, err)
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(content), -1) {
		list = append(list, match[1])
	}
	require.NotEmpty(t, list)
	return list
}

// ours returns the blocks in Go of README.md, and those of docs/hub.md that are about this module.
func ours(t *testing.T) []string {
	t.Helper()
	others := func(block string) bool { return !strings.Contains(block, "redisbroker.") }
	return append(snippets(t, "go"), slices.DeleteFunc(blocks(t, "../../docs/hub.md", "go"), others)...)
}

// The snippets of README.md and docs/hub.md compile. They are a package in an overlay, so that nothing is
// written into the repository.
func TestDocumentCompiles(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	code := `package snippet

import (
	"log/slog"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/redis/go-redis/v9"
)
`
	for _, snippet := range ours(t) {
		code += "\nfunc _() error {\n" + snippet + "_ = rooms\nreturn nil\n}\n"
	}
	file := filepath.Join(t.TempDir(), "snippet.go")
	require.NoError(t, os.WriteFile(file, []byte(code), 0o600))
	overlay, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(here, "snippet", "snippet.go"): file},
	})
	require.NoError(t, err)
	overlaid := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(overlaid, overlay, 0o600))
	output, err := exec.CommandContext(t.Context(), "go", "build", "-overlay="+overlaid, "./snippet").CombinedOutput()
	require.NoError(t, err, "%s", output)
}

// tool returns a program.
func tool(t *testing.T, name, pack string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "there is no "+name+": install "+pack)
	}
	return path
}

// What README.md shows of other programs reaches the members.
func TestOtherPrograms(t *testing.T) {
	s := startServer(t)
	n := newHubNode(t, connect(t, s.addr()))
	alice := n.dial(t, "/?room=lobby&key=alice")
	port := strconv.Itoa(s.port)

	t.Run("Python", func(t *testing.T) {
		script := strings.ReplaceAll(snippets(t, "python")[0], "6379", port)
		output, err := exec.CommandContext(t.Context(), tool(t, "python3", "Python 3"), "-c", script).CombinedOutput()
		require.NoError(t, err, "%s", output)
		alice.ExpectText("dinner is ready")
	})
	t.Run("redis-cli", func(t *testing.T) {
		cli := tool(t, "redis-cli", "Redis, or Debian's package redis-tools")
		script := strings.ReplaceAll(snippets(t, "sh")[0], "redis-cli", cli+" -p "+port)
		output, err := exec.CommandContext(t.Context(), tool(t, "bash", "it"), "-c", script).CombinedOutput()
		require.NoError(t, err, "%s", output)
		alice.ExpectText("supper is ready")
	})

	t.Run("Python, in a room with history", func(t *testing.T) {
		n := newHistoryNode(t, connect(t, s.addr()))
		bob := n.join(t, hub.Position{})
		script := strings.ReplaceAll(strings.Join(snippets(t, "python"), "\n"), "6379", port)
		output, err := exec.CommandContext(t.Context(), tool(t, "python3", "Python 3"), "-c", script).CombinedOutput()
		require.NoError(t, err, "%s", output)
		alice.ExpectText("dinner is ready")
		_, data, err := bob.ReadMessage() // it has no position
		require.NoError(t, err)
		require.Equal(t, "dinner is ready", string(data))
		at := expectStamped(t, bob, "dinner is over")
		require.Equal(t, uint64(1), at.Offset)
		messages, newest, err := n.History(t.Context(), "lobby", hub.Position{}, 10)
		require.NoError(t, err)
		require.Equal(t, at, newest)
		require.Equal(t, "dinner is over", string(messages[0].Data))
	})

	program := connect(t, s.addr())
	for _, m := range []struct{ channel, payload string }{
		{"websocket.hub:{all}", "\x01\x01\x02\x01\x06\x02alice\x02\x09\x01upstairshelp me"},
		{"websocket.hub:{key:alice}", "\x01\x08\x00\x0f\xa1good night"},
	} {
		require.NoError(t, program.Publish(t.Context(), m.channel, string(make([]byte, 8))+m.payload).Err())
	}
	alice.ExpectText("help me")
	alice.ExpectClose(4001, "good night")
}
