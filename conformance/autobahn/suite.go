package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A specification tells the suite what to do: it is the file that wstest is given.
type specification struct {
	URL     string   `json:"url,omitempty"` // of the suite's server
	Servers []target `json:"servers,omitempty"`
	Folder  string   `json:"outdir"`
	Cases   []string `json:"cases"`
	Exclude []string `json:"exclude-cases"`
}

// A target is a server that the suite's client plays against.
type target struct {
	Agent string `json:"agent"`
	URL   string `json:"url"`
}

// startSuite starts wstest in a mode, with the folder as its working directory.
func (s *settings) startSuite(mode, folder string, plan *specification, args ...string) (*process, error) {
	content, err := json.MarshalIndent(plan, "", "  ")
	if err != nil {
		return nil, err
	}
	file := filepath.Join(folder, mode+".json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return nil, err
	}
	return start(filepath.Join(folder, mode+".log"), s.wstest, append([]string{"--mode=" + mode, "--spec=" + file}, args...)...)
}

// revisions has the versions of what took part in a run.
type revisions struct {
	suite   []string // "AutobahnTestSuite 25.10.1"
	library string   // a commit
	golang  string   // of the compiler
	system  string
}

// versions asks the suite and the echo example for their versions.
func versions(ctx context.Context, wstest, echo string) (revisions, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	command := exec.CommandContext(ctx, wstest, "--autobahnversion")
	command.WaitDelay = time.Second
	output, err := command.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return revisions{}, fmt.Errorf("%s does not say its version: %w", wstest, err)
	}
	v := revisions{library: "an unknown commit", system: runtime.GOOS + "/" + runtime.GOARCH}
	for line := range strings.Lines(string(output)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "Autobahn") {
			v.suite = append(v.suite, line)
		}
	}
	if len(v.suite) == 0 {
		return revisions{}, fmt.Errorf("%s is not the Autobahn Testsuite: asked for its version, it says %q", wstest, output)
	}
	info, err := buildinfo.ReadFile(echo)
	if err != nil {
		return revisions{}, fmt.Errorf("the echo example: %w", err)
	}
	v.golang = info.GoVersion
	changed := false
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			v.library = "commit " + setting.Value[:min(12, len(setting.Value))]
		case "vcs.modified":
			changed = setting.Value == "true"
		}
	}
	if changed {
		v.library += " with changes"
	}
	return v, nil
}
