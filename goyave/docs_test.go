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

// documents have snippets that must compile. Of the repository's README those for
// Goyave must: the root module compiles the others.
var documents = []string{"README.md", "../README.md", "../docs/goyave.md", "../docs/migrating.md"}

// snippetImports are what a snippet without a package clause may use, by the name
// it is used with.
var snippetImports = map[string]string{
	"auth":         "goyave.dev/goyave/v5/auth",
	"browsertoken": "github.com/goyave-contrib/websocket/goyave/browsertoken",
	"config":       "goyave.dev/goyave/v5/config",
	"context":      "context",
	"echo":         "github.com/goyave-contrib/websocket/goyave/examples/echo/http/controller/echo",
	"errors":       "goyave.dev/goyave/v5/util/errors",
	"goyave":       "goyave.dev/goyave/v5",
	"http":         "net/http",
	"hub":          "github.com/goyave-contrib/websocket/hub",
	"log":          "goyave.dev/goyave/v5/log",
	"os":           "os",
	"require":      "github.com/stretchr/testify/require",
	"route":        "github.com/goyave-contrib/websocket/goyave/examples/echo/http/route",
	"testing":      "testing",
	"testutil":     "goyave.dev/goyave/v5/util/testutil",
	"time":         "time",
	"v":            "goyave.dev/goyave/v5/validation",
	"websocket":    "github.com/goyave-contrib/websocket/goyave",
	"wstest":       "github.com/goyave-contrib/websocket/wstest",
}

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

var declaration = regexp.MustCompile(`\A(?:func|type|var|const)\b`)

// complete makes a file of a snippet: statements go into a function, and what a
// controller needs is added where the snippet has a part of it.
func complete(snippet string) string {
	if strings.HasPrefix(snippet, "package ") || strings.HasPrefix(snippet, "// http/") {
		return snippet
	}
	if strings.HasPrefix(snippet, "import ") {
		return "package snippet\n\n" + snippet
	}
	if !declaration.MatchString(snippet) {
		snippet = "func _(server *goyave.Server, router *goyave.Router, userService auth.UserService[struct{}]) {\n" + snippet + "}\n"
	} else if strings.Contains(snippet, "Controller)") {
		snippet += "\ntype Controller struct{ goyave.Component }\n"
		if !strings.Contains(snippet, ") Serve(") {
			snippet += "func (*Controller) Serve(*websocket.Conn, *goyave.Request) error { return nil }\n"
		}
	}
	var imports strings.Builder
	for name, path := range snippetImports {
		if regexp.MustCompile(`(?:^|[^\w.])` + name + `\.[A-Z]`).MatchString(snippet) {
			fmt.Fprintf(&imports, "import %s %q\n", name, path)
		}
	}
	return "package snippet\n\n" + imports.String() + snippet
}

// Each snippet is a package of its own, in an overlay, so that nothing is
// written into the repository.
func TestDocumentsCompile(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	temp := t.TempDir()
	overlay := map[string]map[string]string{"Replace": {}}
	arguments := []string{"build", "-overlay=" + filepath.Join(temp, "overlay.json")}
	for _, document := range documents {
		for i, snippet := range snippets(t, document, "go") {
			if document == "../README.md" && !strings.Contains(snippet, "goyave.") {
				continue
			}
			name := fmt.Sprintf("%s_%d", strings.TrimPrefix(strings.ReplaceAll(document, "/", "_"), ".._"), i)
			file := filepath.Join(temp, name+".go")
			require.NoError(t, os.WriteFile(file, []byte(complete(snippet)), 0o600))
			overlay["Replace"][filepath.Join(here, "snippets", name, "snippet.go")] = file
			arguments = append(arguments, "./snippets/"+name)
		}
	}
	require.NotEmpty(t, overlay["Replace"])
	encoded, err := json.Marshal(overlay)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(temp, "overlay.json"), encoded, 0o600))

	output, err := exec.CommandContext(t.Context(), "go", arguments...).CombinedOutput()
	require.NoError(t, err, "%s", output)
}

func TestDocumentsConfig(t *testing.T) {
	for _, document := range documents {
		for _, snippet := range snippets(t, document, "json") {
			_, err := config.LoadJSON(snippet)
			require.NoError(t, err, "%s: %s", document, snippet)
		}
	}
}
