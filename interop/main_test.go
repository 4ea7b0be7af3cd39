package interop_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"
)

// programs is the folder of the servers that TestMain has built.
var programs string

func TestMain(m *testing.M) {
	status, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

func buildAndRun(m *testing.M) (status int, err error) {
	programs, err = os.MkdirTemp("", "interop")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(programs)) }()
	arguments := []string{
		"build", "-o", programs + string(filepath.Separator),
		"./server", "github.com/goyave-contrib/websocket/examples/echo", "github.com/goyave-contrib/websocket/examples/chat",
		"github.com/goyave-contrib/websocket/examples/auth",
	}
	if raceDetector() {
		arguments = slices.Insert(arguments, 1, "-race")
	}
	if output, err := exec.Command("go", arguments...).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("building the servers: %w\n%s", err, output)
	}
	return m.Run(), nil
}

// raceDetector reports whether the tests were built with it; then the servers are,
// too.
func raceDetector() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
