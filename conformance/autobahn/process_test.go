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

// requireGone checks that nobody listens on the address any more. A child of a process that was
// waited for may take a moment longer.
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
