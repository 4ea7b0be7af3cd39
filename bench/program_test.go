package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// programs records the programs of implementations that tests have built, each once.
var programs struct {
	folder   string // of TestMain
	outcomes map[*program]error
}

func init() { programs.outcomes = make(map[*program]error) }

// needProgram builds the program of an implementation without the network. If that is not
// possible, it skips the test.
func needProgram(t *testing.T, im *implementation) {
	t.Helper()
	if im.program == nil {
		return
	}
	err, tried := programs.outcomes[im.program]
	if !tried {
		t.Setenv("GOPROXY", "off")
		err = im.program.build(t.Context(), filepath.Join(programs.folder, strconv.Itoa(len(programs.outcomes))))
		programs.outcomes[im.program] = err
	}
	if err != nil {
		t.Skipf("the program in %s cannot be built here: %v", im.program.folder, err)
	}
}

// alone makes the go command build a folder without a workspace and without the network.
func alone(t *testing.T) {
	t.Setenv("GOWORK", "off")
	t.Setenv("GOPROXY", "off")
}

// withImplementations replaces all implementations but raw TCP by the given ones.
func withImplementations(t *testing.T, others ...implementation) {
	t.Helper()
	all := implementations
	t.Cleanup(func() { implementations = all })
	raw, err := implementationNamed(rawName)
	require.NoError(t, err)
	implementations = nil
	for _, im := range append(others, raw) {
		register(im)
	}
}

// ofAFolder is the implementation of testdata/program.
func ofAFolder() implementation {
	return implementation{name: "of a folder", raw: true, module: "none.test", program: &program{folder: "testdata/program"}}
}

// notResolvable returns the program of a module whose requirement does not exist.
func notResolvable(t *testing.T) *program {
	t.Helper()
	folder := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": "module program.test/broken\n\ngo 1.25.0\n\nrequire nowhere.test/to/be/found v1.2.3\n",
		"go.sum": "nowhere.test/to/be/found v1.2.3 h1:76J/XS92ZkX2I5ot9qBELgzMKU6OLp3N808CuXikTH4=\n" +
			"nowhere.test/to/be/found v1.2.3/go.mod h1:76J/XS92ZkX2I5ot9qBELgzMKU6OLp3N808CuXikTH4=\n",
		"main.go": "package main\n\nimport _ \"nowhere.test/to/be/found\"\n\nfunc main() {}\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600))
	}
	return &program{folder: folder}
}

// reported runs the handshakes of all implementations and returns the report.
func reported(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	require.NoError(t, run(t.Context(), []string{"-quick", "-run", "^handshake$"}, &text, io.Discard))
	return text.String()
}

func TestProgramOfAFolderHasItsRow(t *testing.T) {
	alone(t)
	withImplementations(t, ofAFolder())
	text := reported(t)
	assert.Regexp(t, `\n\| of a folder \| [\d.]+ \|`, text)
	assert.Regexp(t, `\n\| raw TCP \| [\d.]+ \|`, text)
	assert.NotContains(t, text, "### What is missing")
}

func TestProgramThatCannotBeBuiltIsMissingAndTheRunGoesOn(t *testing.T) {
	alone(t)
	broken := notResolvable(t)
	withImplementations(t, ofAFolder(), implementation{name: "one", program: broken}, implementation{name: "two", program: broken})
	text := reported(t)
	assert.Regexp(t, `\n- skipped: one and two: the program in \S+ cannot be built here: .*module lookup disabled by GOPROXY=off\n`, text)
	assert.NotContains(t, text, "| one |")
	assert.NotContains(t, text, "| two |")
	assert.Regexp(t, `\n\| of a folder \| [\d.]+ \|`, text)
	assert.Regexp(t, `\n\| raw TCP \| [\d.]+ \|`, text)
}

func TestProgramThatIsNotAskedForIsNotBuilt(t *testing.T) {
	alone(t)
	withImplementations(t, implementation{name: "one", program: notResolvable(t)})
	var text strings.Builder
	require.NoError(t, run(t.Context(), []string{"-quick", "-run", "^handshake$", "-impl", "raw"}, &text, io.Discard))
	assert.NotContains(t, text.String(), "cannot be built")
}

func TestProgramIsBuiltOnce(t *testing.T) {
	alone(t)
	folder := t.TempDir()
	im := ofAFolder()
	again := im
	again.name = "of the same folder"
	built, skipped, err := buildPrograms(t.Context(), []implementation{im, again}, folder)
	require.NoError(t, err)
	assert.Len(t, built, 2)
	assert.Empty(t, skipped)
	binaries, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Len(t, binaries, 1)
}

func TestReasonOfAFailedBuildIsOneLine(t *testing.T) {
	for _, test := range []struct{ name, output, want string }{
		{name: "nothing was written", output: "", want: ""},
		{name: "the compiler's last error", output: "# program.test\n./a.go:1:2: one\n./a.go:3:4: two\n", want: "./a.go:3:4: two"},
		{name: "an error with details", output: "./a.go:1:2: too few\n\thave ()\n\twant (int)\n", want: "./a.go:1:2: too few"},
		{name: "an error with advice", output: "a.go:1:2: missing; to add it:\n\tgo get it\n", want: "a.go:1:2: missing; to add it:"},
	} {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, buildReason(test.output)) })
	}
}

func TestProgramWithoutAFolderIsMissing(t *testing.T) {
	_, skipped, err := buildPrograms(t.Context(),
		[]implementation{{name: "one", program: &program{folder: "testdata/none"}}}, t.TempDir())
	require.NoError(t, err)
	require.Len(t, skipped, 1)
	assert.Contains(t, skipped[0], "one: the program in testdata/none cannot be built here: ")
	assert.Contains(t, skipped[0], "no such file or directory")
}

func TestInterruptedBuildIsNoMissingRow(t *testing.T) {
	alone(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	built, skipped, err := buildPrograms(ctx, []implementation{ofAFolder()}, t.TempDir())
	require.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, built)
	assert.Empty(t, skipped)
}

func TestProgramIsAskedLikeThisOne(t *testing.T) {
	alone(t)
	im := ofAFolder()
	needProgram(t, &im)
	s, err := startServer(t.Context(), &im, echo)
	require.NoError(t, err)
	u, err := s.usage(serving.AskCPU)
	require.NoError(t, err)
	assert.Equal(t, serving.Usage{CPU: 42 * time.Nanosecond}, u)
	require.NoError(t, s.stop())

	_, err = startServer(t.Context(), &im, broadcast)
	require.ErrorContains(t, err, `unexpected arguments ["serve" "of a folder" "broadcast"]`)
}
