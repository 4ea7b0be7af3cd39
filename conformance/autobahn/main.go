// Command autobahn runs the Autobahn Testsuite, which must be installed, against the library:
// its client against examples/echo, and its server against a client made with Dial, each with
// compression, with context takeover, and without.
//
//	go run ./conformance/autobahn [-wstest FILE] [-jobs 2] [-skip '9.*,12.*'] [-write]
//
// It prints what became of the cases, and exits with status 1 if one of them failed, was
// non-strict, is missing from the suite's report, or is not OK for a reason that explain.go
// does not know. With -write, it writes docs/autobahn.md.
//
// It ends each process that it starts. Each of the six runs takes -timeout at most.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "autobahn:", err)
		os.Exit(1)
	}
}

const echoPackage = "github.com/goyave-contrib/websocket/examples/echo"

// casePattern is a pattern of cases as the suite knows it: "*" stands for any digits and dots.
var casePattern = regexp.MustCompile(`^[0-9*]+(\.[0-9*]+)*$`)

// settings has the arguments of the command.
type settings struct {
	wstest  string         // the suite's program
	echo    string         // the program of examples/echo; empty means that it is built
	skip    []string       // patterns of cases
	only    *regexp.Regexp // of the names of sides; nil means all
	reports string         // the folder of the suite's reports; empty means a temporary one
	timeout time.Duration  // of each of the six runs
	jobs    int            // how many of them are under way at the same time
	write   bool
	note    string // for the page
}

func parse(args []string) (*settings, error) {
	var s settings
	var skip, only string
	flags := flag.NewFlagSet("autobahn", flag.ContinueOnError)
	flags.StringVar(&s.wstest, "wstest", "wstest", "the suite's `program`, or its name in PATH")
	flags.StringVar(&s.echo, "echo", "", "the `program` of examples/echo; without it, it is built")
	flags.StringVar(&skip, "skip", "", "`patterns` of cases to leave out, separated by commas: '9.*,12.*,13.*'")
	flags.StringVar(&only, "only", "", "an `expression` for the names of the runs to do: 'Client', 'takeover'")
	flags.StringVar(&s.reports, "reports", "", "`folder` in which the suite's reports are kept; it must not have any yet")
	flags.DurationVar(&s.timeout, "timeout", time.Hour, "how long each of the six runs may take")
	flags.IntVar(&s.jobs, "jobs", 1, "how many of the six runs are under way at the same time: the suite uses one processor for each")
	flags.BoolVar(&s.write, "write", false, "write "+pagePath+" and what other pages say of it")
	flags.StringVar(&s.note, "note", "", "a `sentence` for the page: how the suite was installed")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if skip != "" {
		s.skip = strings.Split(skip, ",")
	}
	for _, pattern := range s.skip {
		if !casePattern.MatchString(pattern) {
			return nil, fmt.Errorf("-skip: %q is no pattern of cases, such as 9.* or 12.1.3", pattern)
		}
	}
	if only != "" {
		var err error
		if s.only, err = regexp.Compile(only); err != nil {
			return nil, fmt.Errorf("-only: %w", err)
		}
	}
	if s.jobs < 1 {
		return nil, fmt.Errorf("-jobs: %d is less than 1", s.jobs)
	}
	if s.write && (len(s.skip) > 0 || s.only != nil) {
		return nil, errors.New("-write: only a run of all cases is written")
	}
	return &s, nil
}

// run runs the suite as the arguments say. It returns an error if the suite could not be run,
// or if there is a problem with a case.
func run(ctx context.Context, args []string, stdout io.Writer) error {
	s, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if s.wstest, err = exec.LookPath(s.wstest); err != nil {
		return fmt.Errorf("the Autobahn Testsuite is not installed (see docs/conformance.md): %w", err)
	}
	if s.wstest, err = filepath.Abs(s.wstest); err != nil {
		return err
	}
	remove, err := s.prepareReports()
	if err != nil {
		return err
	}
	defer remove()
	if s.echo == "" {
		if s.echo, err = buildEcho(ctx, s.reports); err != nil {
			return err
		}
	}

	result := outcome{when: time.Now(), note: s.note}
	if result.versions, err = versions(ctx, s.wstest, s.echo); err != nil {
		return err
	}
	if result.reports, err = s.playAll(ctx, stdout); err != nil {
		return err
	}
	if len(result.reports) == 0 {
		return fmt.Errorf("-only: there is no run %q", s.only)
	}
	if s.write {
		if err := result.write("."); err != nil {
			return err
		}
	}
	return result.problems()
}

// playAll does the runs, and returns their reports in the order of sides. After an error it begins no
// other, and ends those that are under way.
func (s *settings) playAll(ctx context.Context, stdout io.Writer) ([]*report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all []side
	for _, side := range sides() {
		if s.only == nil || s.only.MatchString(side.name) {
			all = append(all, side)
		}
	}
	reports, errs := make([]*report, len(all)), make([]error, len(all))
	var printing sync.Mutex
	say := func(format string, args ...any) {
		printing.Lock()
		defer printing.Unlock()
		fmt.Fprintf(stdout, format, args...) //nolint:errcheck // what is printed is only read by people
	}
	turns := make(chan struct{}, s.jobs)
	var running sync.WaitGroup
	for i, side := range all {
		turns <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		say("%s ...\n", side.name)
		running.Go(func() {
			defer func() { <-turns }()
			begin := time.Now()
			var err error
			if reports[i], err = s.play(ctx, side); err != nil {
				errs[i] = fmt.Errorf("%s: %w", side.name, err)
				cancel()
				return
			}
			say("%s: %v, in %v\n", side.name, reports[i].counts(), time.Since(begin).Round(time.Second))
		})
	}
	running.Wait()
	return reports, errors.Join(append(errs, ctx.Err())...)
}

// prepareReports makes the folder of the reports, and returns a function that removes it if it
// is a temporary one.
func (s *settings) prepareReports() (remove func(), err error) {
	if s.reports == "" {
		s.reports, err = os.MkdirTemp("", "autobahn")
		return func() { _ = os.RemoveAll(s.reports) }, err
	}
	if s.reports, err = filepath.Abs(s.reports); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.reports, 0o750); err != nil {
		return nil, err
	}
	if there, err := os.ReadDir(s.reports); err != nil || len(there) > 0 {
		return nil, errors.Join(err, fmt.Errorf("-reports: %s is not empty", s.reports))
	}
	return func() {}, nil
}

// buildTimeout bounds the build of the echo example, which may have to download modules.
const buildTimeout = 10 * time.Minute

// buildEcho builds the echo example into a folder, whose path is absolute.
func buildEcho(ctx context.Context, folder string) (program string, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, buildTimeout, fmt.Errorf("the build takes longer than %v", buildTimeout))
	defer cancel()
	module, err := os.Getwd()
	if err != nil {
		return "", err
	}
	program = filepath.Join(folder, "echo.exe") // Windows needs the ending, and others take it
	build, err := start(filepath.Join(folder, "build.log"), "go", "build", "-C", module, "-buildvcs=auto", "-o", program, echoPackage)
	if err != nil {
		return "", err
	}
	defer func() { _ = build.end() }() // how it has ended, wait says
	if err := build.wait(ctx); err != nil {
		return "", fmt.Errorf("building the echo example: %w", err)
	}
	return program, nil
}
