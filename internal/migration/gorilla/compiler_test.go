package gorilla_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A program whose import alone was changed.
const importChanged = `package changed

import (
	"net/http"

	"github.com/goyave-contrib/websocket"
)

var upgrader = websocket.Upgrader{ReadBufferSize: 1024}

func serve(w http.ResponseWriter, r *http.Request) {
	_ = websocket.Subprotocols(r)
	conn, err := upgrader.Upgrade(w, r, nil)
	if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
		return
	}
	pump(conn)
}

func pump(conn *websocket.Conn) {
	defer conn.Close()
	legacy(conn.Conn)
	_, _, _ = websocket.DefaultDialer.Dial("ws://127.0.0.1", nil)
}

func legacy(*websocket.Conn) {}
`

// The page tells what to do about each thing that the compiler says.
func TestCompilerFindsTheRest(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "changed.go")
	require.NoError(t, os.WriteFile(file, []byte(importChanged), 0o600))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {filepath.Join(here, "changed", "changed.go"): file}})
	require.NoError(t, err)
	overlays := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(overlays, overlay, 0o600))
	output, err := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-e", "-overlay="+overlays, "./changed").CombinedOutput()
	require.Error(t, err)

	page, err := os.ReadFile("../../../docs/from-gorilla.md")
	require.NoError(t, err)
	table := regexp.MustCompile(`(?s)\| the compiler says .*?\n\n`).Find(page)
	said := regexp.MustCompile("(?m)^\\| `([^`]*)` \\|").FindAllSubmatch(table, -1)
	require.NotEmpty(t, said)
	for _, message := range said {
		assert.Contains(t, string(output), string(message[1]))
	}
	errors := regexp.MustCompile(`(?m)^\S+\.go:\d+:\d+: .*$`).FindAll(output, -1)
	assert.Len(t, errors, len(said), "%s", output)
}
