package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A program is a server process with a module of its own. It serves implementations whose
// modules are not available everywhere that this module must build. Package serving
// defines its arguments and its output.
type program struct {
	folder   string            // of its main package, relative to the working directory
	binary   string            // path; set when it is built
	versions map[string]string // of its modules; set when it is built
}

// buildTimeout bounds the build of a program, which may have to download modules.
const buildTimeout = 10 * time.Minute

// buildPrograms builds the programs of the given implementations into a folder, each once. It
// returns the implementations that can be measured. For each program that cannot be built,
// skipped has a line with the reason. The only error is that ctx has ended.
func buildPrograms(ctx context.Context, all []implementation, folder string) (
	built []implementation, skipped []string, err error,
) {
	failed := make(map[*program]error)
	for _, im := range all {
		if _, tried := failed[im.program]; im.program == nil || tried {
			continue
		}
		failed[im.program] = im.program.build(ctx, filepath.Join(folder, strconv.Itoa(len(failed))))
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
	}
	names := make(map[*program][]string)
	for _, im := range all {
		if failed[im.program] == nil {
			built = append(built, im)
			continue
		}
		names[im.program] = append(names[im.program], im.name)
	}
	for p, without := range names {
		skipped = append(skipped, fmt.Sprintf("%s: the program in %s cannot be built here: %v",
			strings.Join(without, " and "), p.folder, failed[p]))
	}
	slices.Sort(skipped)
	return built, skipped, nil
}

// build builds the program with the user's settings of the go command. The error is one line.
func (p *program) build(ctx context.Context, binary string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, buildTimeout, fmt.Errorf("it takes longer than %v", buildTimeout))
	defer cancel()
	// Stamping the version control state is not needed, and can fail.
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", binary, ".")
	cmd.Dir = p.folder
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // the go command then stops its compilers
	cmd.WaitDelay = 5 * time.Second
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		switch reason := buildReason(output.String()); {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case reason != "":
			return errors.New(reason)
		default:
			return err
		}
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return fmt.Errorf("which modules it has: %w", err)
	}
	p.binary, p.versions = binary, moduleVersions(info)
	return nil
}

// buildReason returns the last line of the go command's output that is not indented. Indented
// lines are advice, or details of the line above.
func buildReason(output string) string {
	lines := strings.Split(output, "\n")
	for _, line := range slices.Backward(lines) {
		if line != "" && strings.TrimLeft(line, " \t") == line {
			return line
		}
	}
	return ""
}
