package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var childListens = regexp.MustCompile(`the child listens on (\S+)`)

// requireGone checks that no process listens on the address any more. The child of a process may end a
// moment after it.
func requireGone(t *testing.T, address string) {
	t.Helper()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, patience, time.Millisecond, "the process is still there")
}

// A suite that is a script has the suite proper as its child.
func TestChildrenEndWithTheRun(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		t.Skip("there are no process groups")
	}
	for _, side := range []side{sides()[0], sides()[3]} {
		t.Run(side.name, func(t *testing.T) {
			program, err := echo()
			require.NoError(t, err)
			s := &settings{wstest: fakeSuite(t, "hangs"), echo: program, reports: t.TempDir(), timeout: time.Hour}
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			played := make(chan error, 1)
			go func() {
				_, err := s.play(ctx, side)
				played <- err
			}()

			log := filepath.Join(s.reports, side.agent, map[bool]string{false: "fuzzingclient", true: "fuzzingserver"}[side.client]+".log")
			var child string
			require.Eventually(t, func() bool {
				content, _ := os.ReadFile(log)
				if match := childListens.FindSubmatch(content); match != nil {
					child = string(match[1])
				}
				return child != ""
			}, patience, time.Millisecond)
			cancel(assert.AnError)
			select {
			case err := <-played:
				require.ErrorIs(t, err, assert.AnError)
			case <-time.After(patience):
				require.FailNow(t, "the run goes on")
			}
			requireGone(t, child)
		})
	}
}

// A go command may have children, which hold its output.
func TestBuildEndsWithTheRun(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		t.Skip("there are no process groups")
	}
	folder := t.TempDir()
	building := filepath.Join(folder, "building")
	script := "#!/bin/sh\n/bin/sh -c 'echo > " + building + "; while test -e " + building + "; do sleep 0.1; done'\ntrue\n"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "go"), []byte(script), 0o700)) //nolint:gosec // it is a program
	t.Setenv("PATH", folder+string(os.PathListSeparator)+os.Getenv("PATH"))
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	built := make(chan error, 1)
	go func() {
		_, err := buildEcho(ctx, folder)
		built <- err
	}()
	require.Eventually(t, func() bool {
		_, err := os.Stat(building)
		return err == nil
	}, patience, time.Millisecond)
	cancel(assert.AnError)
	select {
	case err := <-built:
		require.ErrorIs(t, err, assert.AnError)
	case <-time.After(10 * time.Second):
		require.NoError(t, os.Remove(building)) // so that the child ends
		require.FailNow(t, "the build goes on", "%v", <-built)
	}
}

func TestTimeout(t *testing.T) {
	_, err := runFake(t.Context(), t, "none", "-timeout", "1ns")
	require.ErrorContains(t, err, "the run takes longer than 1ns")
}

func TestDeafProcessIsKilled(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		t.Skip("there are no process groups")
	}
	s := &settings{wstest: fakeSuite(t, "is deaf")}
	p, err := s.startSuite("fuzzingserver", t.TempDir(), &specification{})
	require.NoError(t, err)
	defer p.kill()
	child, err := p.says(t.Context(), childListens)
	require.NoError(t, err)

	p.farewell = 10 * time.Millisecond
	require.ErrorContains(t, p.end(), "it did not end within 10ms; it said:\nOk, will run 3 test cases")
	requireGone(t, child)
}

func TestEndedProcessSaysNoMore(t *testing.T) {
	s := &settings{wstest: fakeSuite(t, "none")}
	p, err := s.startSuite("nonsense", t.TempDir(), &specification{})
	require.NoError(t, err)
	defer p.kill()
	_, err = p.says(t.Context(), childListens)
	require.ErrorContains(t, err, `exit status 3; it said:
Ok, will run 3 test cases
fake: no mode "nonsense"`)
	require.ErrorContains(t, p.wait(t.Context()), "exit status 3")
	require.ErrorContains(t, p.end(), "exit status 3")

	_, err = start(filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// The echo example is stopped as a person would, so it must have ended well.
func TestFailureOfTheEchoExample(t *testing.T) {
	s := &settings{wstest: fakeSuite(t, "none"), reports: t.TempDir(), timeout: time.Hour}
	s.echo = s.wstest // which does not know its arguments
	_, err := s.play(t.Context(), sides()[0])
	require.ErrorContains(t, err, "the echo example: it did not say")
	require.ErrorContains(t, err, "exit status 3")
}
