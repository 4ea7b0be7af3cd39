package websocket_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5/config"
)

// documents contain snippets that must compile. From the repository's README, only the snippets for
// Goyave are compiled here, and the others in the root module.
var documents = []string{"README.md", "../README.md", "../docs/goyave.md", "../docs/migrating.md"}

var fence = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// snippets returns the fenced blocks of a document in this language.
func snippets(t *testing.T, document, language string) []string {
	t.Helper()
	content, err := os.ReadFile(document)
	require.NoError(t, err)
	var found []string
	for _, match := range fence.FindAllStringSubmatch(string(content), -1) {
		if match[1] == language {
			found = append(found, match[2])
		}
	}
	return found
}

// file returns a source file with a snippet. The snippet must show its imports, because an editor
// could not choose between packages of the same name.
func file(t *testing.T, document, snippet string) string {
	t.Helper()
	switch {
	case strings.HasPrefix(snippet, "package "), strings.HasPrefix(snippet, "// http/"):
		return snippet
	case strings.HasPrefix(snippet, "import "):
		return "package snippet\n\n" + snippet
	}
	require.FailNow(t, "the snippet shows no imports", "%s:\n%s", document, snippet)
	return ""
}

// Each snippet compiles alone, with the imports that it shows, and snippets that are tests pass.
// Each is a package of its own, in an overlay, so that nothing is written into the repository.
func TestDocumentsCompile(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	temp := t.TempDir()
	overlay := map[string]map[string]string{"Replace": {}}
	var packages, tests []string
	for _, document := range documents {
		for i, snippet := range snippets(t, document, "go") {
			if document == "../README.md" && !strings.Contains(snippet, "goyave.") {
				continue
			}
			name := fmt.Sprintf("%s_%d", strings.TrimPrefix(strings.ReplaceAll(document, "/", "_"), ".._"), i)
			source, as := filepath.Join(temp, name+".go"), "snippet.go"
			require.NoError(t, os.WriteFile(source, []byte(file(t, document, snippet)), 0o600))
			if strings.Contains(snippet, "func Test") {
				as = "snippet_test.go"
				tests = append(tests, "./snippets/"+name)
			} else {
				packages = append(packages, "./snippets/"+name)
			}
			overlay["Replace"][filepath.Join(here, "snippets", name, as)] = source
		}
	}
	encoded, err := json.Marshal(overlay)
	require.NoError(t, err)
	flag := "-overlay=" + filepath.Join(temp, "overlay.json")
	require.NoError(t, os.WriteFile(filepath.Join(temp, "overlay.json"), encoded, 0o600))

	require.NotEmpty(t, packages)
	output, err := exec.CommandContext(t.Context(), "go", append([]string{"build", flag}, packages...)...).CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.NotEmpty(t, tests)
	for _, path := range tests {
		binary := filepath.Join(temp, "test.exe")
		output, err = exec.CommandContext(t.Context(), "go", "test", "-c", "-vet=off", flag, "-o", binary, path).CombinedOutput()
		require.NoError(t, err, "%s", output)
		output, err = exec.CommandContext(t.Context(), binary, "-test.v").CombinedOutput()
		require.NoError(t, err, "%s", output)
		require.Contains(t, string(output), "--- PASS", path)
	}
}

func TestDocumentsConfig(t *testing.T) {
	for _, document := range documents {
		for _, snippet := range snippets(t, document, "json") {
			_, err := config.LoadJSON(snippet)
			require.NoError(t, err, "%s: %s", document, snippet)
		}
	}
}
