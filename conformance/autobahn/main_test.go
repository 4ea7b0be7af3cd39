package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/goyave-contrib/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// scratch is a folder for all tests.
var scratch string

// echo builds the echo example once for all tests.
var echo = sync.OnceValues(func() (string, error) { return buildEcho(context.Background(), scratch) })

// fakeSuite returns the program of a suite that has a flaw.
func fakeSuite(t *testing.T, flaw string) string {
	t.Helper()
	suite, err := os.Executable()
	require.NoError(t, err)
	t.Setenv(asSuite, flaw)
	t.Setenv("GORACE", "atexit_sleep_ms=10") // a second otherwise
	return suite
}

// runFake runs the command with a suite that has a flaw.
func runFake(ctx context.Context, t *testing.T, flaw string, args ...string) (stdout string, err error) {
	t.Helper()
	program, err := echo()
	require.NoError(t, err)
	var output bytes.Buffer
	err = run(ctx, append([]string{"-wstest", fakeSuite(t, flaw), "-echo", program}, args...), &output)
	return output.String(), err
}

func TestRun(t *testing.T) {
	for _, flaw := range []string{"none", "listens late"} {
		t.Run(flaw, func(t *testing.T) {
			reports := filepath.Join(t.TempDir(), "reports")
			output, err := runFake(t.Context(), t, flaw, "-reports", reports)
			require.NoError(t, err)
			assert.Regexp(t, `^Server \.\.\.
Server: 2 cases: 1 OK, 1 informational, in \d+s
Server with compression \.\.\.
Server with compression: 3 cases: 2 OK, 1 informational, in \d+s
Server with context takeover \.\.\.
Server with context takeover: 1 cases: 1 OK, in \d+s
Client \.\.\.
Client: 2 cases: 1 OK, 1 informational, in \d+s
Client with compression \.\.\.
Client with compression: 3 cases: 2 OK, 1 informational, in \d+s
Client with context takeover \.\.\.
Client with context takeover: 1 cases: 1 OK, in \d+s
$`, output)
			assert.FileExists(t, filepath.Join(reports, "dial-compressed", "cases", "index.json"), "the reports are kept")

			_, err = runFake(t.Context(), t, flaw, "-reports", reports)
			require.ErrorContains(t, err, "not empty", "they would be mixed with others")
		})
	}
}

func TestSkip(t *testing.T) {
	output, err := runFake(t.Context(), t, "none", "-skip", "1.*,7.13.1")
	require.NoError(t, err)
	assert.Contains(t, output, "Server: 0 cases: none")
	assert.Contains(t, output, "Server with compression: 1 cases: 1 OK")
	assert.Contains(t, output, "Client: 0 cases: none")
	assert.Contains(t, output, "Client with compression: 1 cases: 1 OK")
}

func TestOnly(t *testing.T) {
	output, err := runFake(t.Context(), t, "none", "-only", "^Client.*takeover")
	require.NoError(t, err)
	assert.Regexp(t, `^Client with context takeover \.\.\.
Client with context takeover: 1 cases: 1 OK, in \d+s
$`, output)

	_, err = runFake(t.Context(), t, "none", "-only", "^Nobody")
	require.ErrorContains(t, err, "no run", "nothing was checked")
}

// Runs at the same time come to what they come to one by one, and one that fails ends the others.
func TestJobs(t *testing.T) {
	one, err := runFake(t.Context(), t, "none", "-jobs", "1")
	require.NoError(t, err)
	all, err := runFake(t.Context(), t, "waits for all six", "-jobs", "6", "-timeout", "2m")
	require.NoError(t, err)
	results := regexp.MustCompile(`.* cases: .*, in`)
	assert.Len(t, results.FindAllString(one, -1), 6)
	assert.ElementsMatch(t, results.FindAllString(one, -1), results.FindAllString(all, -1))

	_, err = runFake(t.Context(), t, "dies", "-jobs", "6")
	require.ErrorContains(t, err, "wstest: exit status 4")
}

// The connection of a client ends before it is known that the suite has ended.
func TestDeathOfTheSuite(t *testing.T) {
	for _, side := range sides() {
		t.Run(side.name, func(t *testing.T) {
			_, err := runFake(t.Context(), t, "dies", "-only", "^"+side.name+"$")
			if side.compressed == websocket.CompressionContextTakeover {
				require.NoError(t, err, "it has no case in which the suite dies")
				return
			}
			require.ErrorContains(t, err, side.name+": ")
			require.ErrorContains(t, err, "wstest: exit status 4; it said:\nOk, will run")
		})
	}
}

func TestProblems(t *testing.T) {
	for _, tt := range []struct {
		flaw string
		want []string
	}{
		{flaw: "finds a failure", want: []string{
			"Server: case 1.1.1 is failed (Sends): FAILED: It is as it is. OK: And ends.\n",
			"Server with compression: case 1.1.1 is failed",
			"Client: case 1.1.1 is failed",
			"Client with compression: case 1.1.1 is failed",
		}},
		{flaw: "finds a wrong code", want: []string{"Client: case 1.1.1 is non-strict (Sends): OK: It is as it is. WRONG CODE: And ends."}},
		{flaw: "forgets a case", want: []string{"Server: the suite's report has 1 cases of 2"}},
		{flaw: "writes nonsense", want: []string{"Server: the suite's report: ", "JSON"}},
		{flaw: "dies", want: []string{"Server: wstest: exit status 4; it said:\nOk, will run 2 test cases"}},
		{flaw: "is another program", want: []string{`is not the Autobahn Testsuite: asked for its version, it says "otherprogram 1.0\n"`}},
	} {
		t.Run(tt.flaw, func(t *testing.T) {
			_, err := runFake(t.Context(), t, tt.flaw)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestArguments(t *testing.T) {
	require.NoError(t, run(t.Context(), []string{"-help"}, io.Discard))
	for _, tt := range []struct {
		args []string
		want string
	}{
		{args: []string{"-wstest", filepath.Join(t.TempDir(), "wstest")}, want: "is not installed"},
		{args: []string{"-skip", "nine"}, want: `"nine" is no pattern`},
		{args: []string{"-skip", "9.*,"}, want: `"" is no pattern`},
		{args: []string{"-skip", "9.*", "-write"}, want: "all cases"},
		{args: []string{"-only", "Client", "-write"}, want: "all cases"},
		{args: []string{"-jobs", "0"}, want: "-jobs: 0"},
		{args: []string{"-only", "("}, want: "missing closing )"},
		{args: []string{"9.*"}, want: `"9.*"`},
	} {
		require.ErrorContains(t, run(t.Context(), tt.args, io.Discard), tt.want)
	}
}
