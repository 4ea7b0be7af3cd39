package websocket_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// snippetImports are what a snippet that imports nothing may use, by the name it
// is used with.
var snippetImports = map[string]string{
	"assert":    "github.com/stretchr/testify/assert",
	"context":   "context",
	"errors":    "errors",
	"expvar":    "expvar",
	"fmt":       "fmt",
	"http":      "net/http",
	"hub":       "github.com/goyave-contrib/websocket/hub",
	"io":        "io",
	"json":      "encoding/json",
	"net":       "net",
	"os":        "os",
	"rand":      "crypto/rand",
	"slog":      "log/slog",
	"strconv":   "strconv",
	"strings":   "strings",
	"sync":      "sync",
	"synctest":  "testing/synctest",
	"testing":   "testing",
	"time":      "time",
	"websocket": "github.com/goyave-contrib/websocket",
	"wstest":    "github.com/goyave-contrib/websocket/wstest",
}

// standIns are what the snippets use of frameworks that the module can't depend on.
var standIns = map[string]string{
	"chi": `package chi
		import "net/http"
		type Mux struct{ *http.ServeMux }
		func NewRouter() *Mux { return nil }
		func (*Mux) Get(pattern string, handlerFn http.HandlerFunc) {}`,
	"gin": `package gin
		import "net/http"
		type ResponseWriter interface {
			http.ResponseWriter
			http.Hijacker
		}
		type Context struct {
			Request *http.Request
			Writer  ResponseWriter
		}
		func (*Context) AbortWithStatus(code int) {}
		func (*Context) Param(key string) string { return "" }`,
	"echo": `package echo
		import "net/http"
		type Response struct{ http.ResponseWriter }
		type Context interface {
			Request() *http.Request
			Response() *Response
			NoContent(code int) error
			Param(name string) string
		}`,
}

// leftOut are types that snippets take for granted, because another snippet of the
// document has them or because they are the application's own.
var leftOut = map[string]string{
	"Chat": `type Chat struct{ Rooms *hub.Hub }
		func (*Chat) Serve(*websocket.Conn, *http.Request) error { return nil }`,
	"Echo": `type Echo struct{}
		func (*Echo) Serve(*websocket.Conn, *http.Request) error { return nil }`,
	"Lobby":  "type Lobby struct{ users Users }",
	"Ticker": "type Ticker struct{}",
	"Users": `type Users interface {
			Left(ctx context.Context, user string)
			ByToken(ctx context.Context, token string) (user string, err error)
		}`,
}

var declares = regexp.MustCompile(`\A(?://.*\n)*(?:func|type|var|const)\b`)

// uses reports whether the snippet has the name, as a word.
func uses(snippet, name string) bool {
	return regexp.MustCompile(`\b` + name + `\b`).MatchString(snippet)
}

// complete makes a file of a snippet. Statements go into a function, with what
// they take for granted.
func complete(snippet string) string {
	switch {
	case strings.HasPrefix(snippet, "package "):
		return snippet
	case strings.HasPrefix(snippet, "import "):
		return "package snippet\n\n" + snippet
	case !declares.MatchString(snippet):
		snippet = "func _(ctx context.Context, mux *http.ServeMux, server *http.Server, upgrader *websocket.Upgrader," +
			" conn *websocket.Conn, member *hub.Member) error {\n{\n" + snippet + "}\npanic(0)\n}\n"
	}
	for range 2 { // what is left out may need more of it
		for name, declaration := range leftOut {
			if uses(snippet, name) && !regexp.MustCompile(`\btype `+name+`\b`).MatchString(snippet) {
				if strings.Contains(snippet, name+") Serve(") { // the snippet is about it
					declaration, _, _ = strings.Cut(declaration, "\n")
				}
				snippet += "\n" + declaration + "\n"
			}
		}
	}
	var imports strings.Builder
	for name, path := range snippetImports {
		if regexp.MustCompile(`(?:^|[^\w.])` + name + `\.[A-Z]`).MatchString(snippet) {
			fmt.Fprintf(&imports, "import %s %q\n", name, path)
		}
	}
	for name := range standIns {
		if regexp.MustCompile(`\b` + name + `\.[A-Z]`).MatchString(snippet) {
			fmt.Fprintf(&imports, "import %q\n", "github.com/goyave-contrib/websocket/snippets/"+name)
		}
	}
	return "package snippet\n\n" + imports.String() + snippet
}

// compiled are the documents whose snippets are for the root module.
var compiled = []string{
	"README.md",
	"docs/endings.md",
	"docs/faq.md",
	"docs/guide.md",
	"docs/hub.md",
	"docs/operations.md",
	"docs/recipes.md",
	"docs/security.md",
	"docs/settings.md",
	"docs/troubleshooting.md",
}

var fence = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

// Each snippet is a package of its own, in an overlay, so that nothing is written
// into the repository. Those for Goyave, NATS and Redis are compiled in their modules, by tests
// of their own.
func TestDocumentsCompile(t *testing.T) {
	here, err := os.Getwd()
	require.NoError(t, err)
	temp := t.TempDir()
	overlay := map[string]map[string]string{"Replace": {}}
	arguments := []string{"build", "-overlay=" + filepath.Join(temp, "overlay.json")}
	for _, document := range compiled {
		content, err := os.ReadFile(document)
		require.NoError(t, err)
		for i, match := range fence.FindAllStringSubmatch(string(content), -1) {
			if strings.Contains(match[1], "goyave.") || strings.Contains(match[1], "natsbroker.") || strings.Contains(match[1], "redisbroker.") {
				continue
			}
			name := fmt.Sprintf("%s_%d", strings.TrimSuffix(filepath.Base(document), ".md"), i)
			file := filepath.Join(temp, name+".go")
			require.NoError(t, os.WriteFile(file, []byte(complete(match[1])), 0o600))
			overlay["Replace"][filepath.Join(here, "snippets", name, "snippet.go")] = file
			arguments = append(arguments, "./snippets/"+name)
		}
	}
	require.NotEmpty(t, overlay["Replace"])
	for name, source := range standIns {
		file := filepath.Join(temp, name+".go")
		require.NoError(t, os.WriteFile(file, []byte(source), 0o600))
		overlay["Replace"][filepath.Join(here, "snippets", name, name+".go")] = file
	}
	encoded, err := json.Marshal(overlay)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(temp, "overlay.json"), encoded, 0o600))

	output, err := exec.CommandContext(t.Context(), "go", arguments...).CombinedOutput()
	require.NoError(t, err, "%s", output)
}

// Links within the repository lead to a file and, where they name one, a heading.
func TestDocumentsLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	for _, pattern := range []string{
		"*.md", ".github/*.md", "docs/*.md", "goyave/*.md", "examples/*.md", "examples/*/*.md",
		"hub/*/*.md", "hub/*/examples/*/*.md", "bench/*.md", "interop/*.md",
	} {
		documents, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, documents)
		for _, document := range documents {
			content, err := os.ReadFile(document)
			require.NoError(t, err)
			for _, match := range link.FindAllStringSubmatch(string(content), -1) {
				target := document
				if match[1] != "" {
					target = filepath.Join(filepath.Dir(document), match[1])
				}
				if !assert.FileExists(t, target, "%s: %s", document, match[0]) || match[2] == "" {
					continue
				}
				text, err := os.ReadFile(target)
				require.NoError(t, err)
				var anchors []string
				for _, h := range heading.FindAllStringSubmatch(string(text), -1) {
					name := strings.ReplaceAll(strings.ToLower(h[1]), " ", "-")
					anchors = append(anchors, regexp.MustCompile(`[^\w-]`).ReplaceAllString(name, ""))
				}
				assert.Contains(t, anchors, match[2], "%s: %s", document, match[0])
			}
		}
	}
}

// docs/settings.md has a row for each setting of a server, and names those of a client.
func TestSettingsAreDocumented(t *testing.T) {
	content, err := os.ReadFile("docs/settings.md")
	require.NoError(t, err)
	server, client, found := strings.Cut(string(content), "\n## Of a client\n")
	require.True(t, found)
	for _, field := range reflect.VisibleFields(reflect.TypeFor[websocket.Options]()) {
		assert.Regexp(t, "(?m)^\\| `"+field.Name+"`", server)
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[websocket.DialOptions]()) {
		assert.Contains(t, client, "`"+field.Name+"`")
	}
}

// The pages of the examples connect as the guide has it, and show lines in one way.
func TestPagesAreAsTheGuideHasThem(t *testing.T) {
	guide, err := os.ReadFile("docs/guide.md")
	require.NoError(t, err)
	snippet := regexp.MustCompile("(?ms)^```js\n(// connect keeps .*?)^```$").FindSubmatch(guide)
	require.NotNil(t, snippet)
	connect := regexp.MustCompile(`(?m)^(.)`).ReplaceAllString(string(snippet[1]), "  $1")

	pages := []string{
		"examples/echo/index.html", "examples/chat/index.html", "hub/natsbroker/examples/chat/index.html",
		"goyave/examples/echo/resources/index.html", "goyave/examples/chat/resources/index.html",
		"examples/auth/index.html",
	}
	shared := make(map[string]string)
	for _, page := range pages {
		content, err := os.ReadFile(page)
		require.NoError(t, err)
		assert.Contains(t, string(content), connect, page)
		_, after, _ := strings.Cut(string(content), connect)
		lines, _, found := strings.Cut(after, "log.scrollTop = log.scrollHeight;\n")
		assert.True(t, found, page)
		shared[page] = lines
		assert.Equal(t, shared[pages[0]], lines, page)
	}
	own, err := os.ReadFile(pages[0])
	require.NoError(t, err)
	goyaves, err := os.ReadFile(pages[3])
	require.NoError(t, err)
	assert.Equal(t, string(own), string(goyaves), "the two echo pages")
}

// The chats differ only in what connects their nodes, and in what belongs to Goyave.
func TestChatsAreTheSame(t *testing.T) {
	read := func(path string) string {
		content, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(content)
	}
	part := func(path, from, to string) string {
		_, after, found := strings.Cut(read(path), from)
		require.True(t, found, "%s: %s", path, from)
		lines, _, found := strings.Cut(after, to)
		require.True(t, found, "%s: %s", path, to)
		return lines
	}
	const own, onNATS, onGoyave = "examples/chat/", "hub/natsbroker/examples/chat/", "goyave/examples/chat/"
	for _, file := range []string{"chat.go", "index.html", "member_test.go"} {
		assert.Equal(t, read(own+file), read(onNATS+file), file)
	}
	for _, shared := range []struct{ file, other, from, to string }{
		{own + "main.go", onNATS + "main.go", "\n// run serves ", "\n}\n"},
		{own + "chat.go", onGoyave + "http/controller/chat/hub.go", "\n// An event is sent ", "\n\te.At = at\n"},
		{own + "index.html", onGoyave + "resources/index.html", "\n  function clear() {", "\n  // refusal returns"},
		{own + "index.html", onGoyave + "resources/index.html", "\n  function join(", "\n  // Only what somebody does"},
	} {
		assert.Equal(t, part(shared.file, shared.from, shared.to), part(shared.other, shared.from, shared.to))
	}
}

// The README repeats what conformance.md says of the suites.
func TestDocumentsAgreeOnConformance(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	page, err := os.ReadFile("docs/conformance.md")
	require.NoError(t, err)
	for _, numbers := range []string{`ll (\d+) cases .*pass, on (\d+) connections`, `the server passes (\d+) and the client (\d+);`} {
		want := regexp.MustCompile(numbers).FindSubmatch(page)
		require.NotNil(t, want)
		got := regexp.MustCompile(numbers).FindSubmatch(readme)
		require.NotNil(t, got)
		assert.Equal(t, fmt.Sprintf("%s", want[1:]), fmt.Sprintf("%s", got[1:]))
	}
}

// The checks of the repository run the command of the README that runs the tests.
func TestREADMEHasTheTestCommand(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	fenced := regexp.MustCompile("(?ms)^```[a-z]*\n(.*?)^```").FindAllSubmatch(readme, -1)
	command := regexp.MustCompile(`(?m)^go test \./\.\.\.\s*(#.*)?$`)
	assert.True(t, slices.ContainsFunc(fenced, func(block [][]byte) bool { return command.Match(block[1]) }))
}

// Each target that fuzzes the root module is in the table of conformance.md.
func TestDocumentsHaveFuzzTargets(t *testing.T) {
	page, err := os.ReadFile("docs/conformance.md")
	require.NoError(t, err)
	var files []string
	for _, pattern := range []string{"*_test.go", "*/*_test.go", "*/*/*_test.go"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		files = append(files, found...)
	}
	targets := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, target := range regexp.MustCompile(`(?m)^func (Fuzz\w+)`).FindAllSubmatch(source, -1) {
			targets++
			assert.Contains(t, string(page), "\n| `"+string(target[1])+"`", file)
		}
	}
	table, _, _ := strings.Cut(string(page), "The last long run")
	assert.Equal(t, strings.Count(table, "\n| `Fuzz"), targets)
}
