package natsbroker_test

import (
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/goyave-contrib/websocket/wstest"
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
	others := func(block string) bool { return !strings.Contains(block, "natsbroker.") }
	return append(snippets(t, "go"), slices.DeleteFunc(blocks(t, "../../docs/hub.md", "go"), others)...)
}

// The snippets of README.md and docs/hub.md compile. They are a package in an overlay, so that nothing is
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
	for _, snippet := range ours(t) {
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

// otherPrograms runs a program of README.md, which is made from the port of a server, and returns a client in the
// room to which the program sends, and what the room has kept after it.
func otherPrograms(t *testing.T, command func(port string) *exec.Cmd) (alice *wstest.Client, kept func() []string) {
	t.Helper()
	s := startJetStream(t)
	nc := connect(t, s.ClientURL())
	alice = newHubNode(t, nc).dial(t, nc, "/?room=lobby&key=alice")
	k := newKeeper(t, connect(t, s.ClientURL()), natsbroker.JetStreamOptions{})
	_, start := k.read(t, room("lobby"), hub.Position{}) // the stream is made by then
	address, err := url.Parse(s.ClientURL())
	require.NoError(t, err)
	output, err := command(address.Port()).CombinedOutput()
	require.NoError(t, err, "%s", output)
	return alice, func() []string {
		payloads, _ := k.read(t, room("lobby"), start)
		return payloads
	}
}

// The program in Python of README.md reaches members, and history.
func TestProgramInPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("there is no python3: install Python 3")
	}
	require.NoError(t, err)
	alice, kept := otherPrograms(t, func(port string) *exec.Cmd {
		script := strings.ReplaceAll(snippets(t, "python")[0], "4222", port)
		return exec.CommandContext(t.Context(), python, "-c", script)
	})
	alice.ExpectText("dinner is ready")
	alice.ExpectText("supper is ready")
	require.Eventually(t, func() bool { return slices.Equal(kept(), []string{"\x01\x01\x00supper is ready"}) }, patience, moment)
}

// The nats command, as README.md has it, reaches members, and history. The command takes minutes to build, so
// the test is left out where it is not installed.
func TestNATSCommand(t *testing.T) {
	for _, tool := range []string{"nats", "sh", "base64"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("there is no %s: go install github.com/nats-io/natscli/nats@latest installs nats", tool)
		}
	}
	script := snippets(t, "sh")[0]
	const lunch, tea = "lunch is ready", "tea is ready"
	for name, texts := range map[string][2]string{
		"as it is":                          {lunch, tea},
		"with texts that mean other things": {"7 {{Count}} %s", "0 {{.}} \\1 *"},
	} {
		t.Run(name, func(t *testing.T) {
			script := strings.NewReplacer(lunch, texts[0], tea, texts[1]).Replace(script)
			alice, kept := otherPrograms(t, func(port string) *exec.Cmd {
				command := exec.CommandContext(t.Context(), "sh", "-e", "-c", script)
				command.Env = append(os.Environ(), "NATS_URL=nats://127.0.0.1:"+port, "XDG_CONFIG_HOME="+t.TempDir())
				return command
			})
			alice.ExpectText(texts[0])
			alice.ExpectText(texts[1])
			require.Equal(t, []string{"\x01\x01\x00" + texts[1]}, kept(), "the command has waited until it is kept")
		})
	}
}
