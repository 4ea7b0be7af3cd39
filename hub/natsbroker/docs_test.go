package natsbroker_test

import (
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/stretchr/testify/require"
)

// snippets returns the blocks of README.md in a language.
func snippets(t *testing.T, language string) (list []string) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(readme), -1) {
		list = append(list, match[1])
	}
	require.NotEmpty(t, list)
	return list
}

// The snippets of README.md compile. They are a package in an overlay, so that nothing is
// written into the repository.
func TestDocumentCompiles(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	code := `package snippet

import (
	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var _ = jetstream.New
`
	for _, snippet := range snippets(t, "go") {
		parameter := ""
		if !strings.Contains(snippet, "nats.Connect(") {
			parameter = "nc *nats.Conn"
		}
		code += "\nfunc _(" + parameter + ") error {\n" + snippet + "_ = rooms\nreturn nil\n}\n"
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

// The program in Python of README.md reaches members, and history.
func TestProgramInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("there is no python3: install Python 3")
	}
	require.NoError(t, err)
	s := startJetStream(t)
	nc := connect(t, s.ClientURL())
	alice := newHubNode(t, nc).dial(t, nc, "/?room=lobby&key=alice")
	k := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	_, start := k.read(t, room("lobby"), hub.Position{}) // the stream is made by then
	address, err := url.Parse(s.ClientURL())
	require.NoError(t, err)
	script := strings.ReplaceAll(snippets(t, "python")[0], "4222", address.Port())
	output, err := exec.CommandContext(t.Context(), python, "-c", script).CombinedOutput()
	require.NoError(t, err, "%s", output)
	alice.ExpectText("dinner is ready")
	alice.ExpectText("supper is ready")
	require.Eventually(t, func() bool {
		payloads, _ := k.read(t, room("lobby"), start)
		return len(payloads) == 1 && payloads[0] == "\x01\x01\x00supper is ready"
	}, patience, moment)
}
