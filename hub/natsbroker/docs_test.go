package natsbroker_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// The snippet of README.md compiles. It is a package in an overlay, so that nothing is
// written into the repository.
func TestDocumentCompiles(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	snippets := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllStringSubmatch(string(readme), -1)
	require.Len(t, snippets, 1)
	file := filepath.Join(t.TempDir(), "snippet.go")
	require.NoError(t, os.WriteFile(file, []byte(`package snippet

import (
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats.go"
)

func _() error {
`+snippets[0][1]+"_ = rooms\nreturn nil\n}\n"), 0o600))
	overlay, err := json.Marshal(map[string]map[string]string{
		"Replace": {filepath.Join(here, "snippet", "snippet.go"): file},
	})
	require.NoError(t, err)
	overlaid := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(overlaid, overlay, 0o600))
	output, err := exec.CommandContext(t.Context(), "go", "build", "-overlay="+overlaid, "./snippet").CombinedOutput()
	require.NoError(t, err, "%s", output)
}
