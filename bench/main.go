// Command bench measures this library and other implementations of WebSocket side by side. It
// runs each as a server process, puts load on it over 127.0.0.1 and writes tables of what a
// message costs. See README.md.
//
//	go run . -quick
//	go run . -o ../docs
//	go run . -from ../docs/benchmarks.json -o ../docs
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
)

func main() {
	if name, m, ok := serving.Asked(os.Args); ok {
		exitOn(serverMain(name, m))
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if !errors.Is(err, flag.ErrHelp) {
		exitOn(err)
	}
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type settings struct {
	quick        bool
	rounds       int
	run, impl    *regexp.Regexp
	named        bool // there is a -run
	first        bool // only what the first table of the page has
	out          string
	from         string
	descriptors  int
	commandShown string
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	var run, impl string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&s.quick, "quick", false, "two minutes: the first table of the page, compared with the page; "+
		"with -run or -impl, the whole page of these, in short")
	flags.StringVar(&run, "run", "", "only workloads whose name matches this `regexp`; idle and wake, which take long, are "+
		"measured only if it is given")
	flags.StringVar(&impl, "impl", "", "only implementations whose name matches this `regexp`")
	flags.IntVar(&s.rounds, "rounds", 0, "measure everything `n` times (default 5, with -quick 3)")
	flags.StringVar(&s.out, "o", "", "write the page, its charts and its data into this `folder` instead of the page to the "+
		"standard output")
	flags.StringVar(&s.from, "from", "", "measure nothing: write what this `file` of data has")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("bench: unexpected argument %q", flags.Arg(0))
	}
	var others []string // flags beside -from and -o
	flags.Visit(func(f *flag.Flag) {
		if f.Name != "from" && f.Name != "o" {
			others = append(others, "-"+f.Name)
		}
	})
	if s.from != "" && len(others) > 0 {
		return s, fmt.Errorf("bench: -from measures nothing, so %s means nothing", strings.Join(others, ", "))
	}
	s.named = run != ""
	s.first = s.quick && run == "" && impl == ""
	if s.rounds <= 0 {
		s.rounds = 5
		if s.quick {
			s.rounds = 3
		}
	}
	s.commandShown = strings.TrimSpace("go run . " + strings.Join(args, " "))
	var err error
	if s.run, err = regexp.Compile(run); err != nil {
		return s, fmt.Errorf("bench: -run: %w", err)
	}
	if s.impl, err = regexp.Compile(impl); err != nil {
		return s, fmt.Errorf("bench: -impl: %w", err)
	}
	s.descriptors, err = descriptorLimit()
	return s, err
}

// run measures, or reads what was measured, and writes the report. An interrupt ends it without
// a report.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if err != nil {
		return err
	}
	var r *report
	if s.from != "" {
		r, err = readReportFile(s.from)
	} else {
		r, err = measureSelected(ctx, s, stderr)
	}
	switch {
	case err != nil:
		return err
	case s.out != "":
		return r.writeFiles(s.out)
	case s.first:
		return r.writeQuick(stdout, pageData)
	default:
		return r.writeMarkdown(stdout)
	}
}

// pageData is the data of the page in this repository.
var pageData = filepath.Join("..", "docs", dataFile)

// measureSelected measures what the settings select.
func measureSelected(ctx context.Context, s settings, log io.Writer) (*report, error) {
	binaries, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	defer func() {
		_ = os.RemoveAll(binaries) // if it fails, the files are left in the temporary folder
	}()
	env := currentEnvironment(s.commandShown, time.Now()) // now, because the checkout may change during the run
	r := newReport(s.rounds, s.scale())
	if r.Implementations, r.Skipped, err = buildPrograms(ctx, s.implementations(), binaries); err != nil {
		return nil, err
	}
	others, err := watchOthers()
	if err != nil {
		return nil, err
	}
	if err := measureAll(ctx, s, r, log); err != nil {
		return nil, err
	}
	if env.Others, err = others(); err != nil {
		return nil, err
	}
	env.Others = rounded(env.Others)
	r.Environment = env
	r.Versions = make(map[string][]string)
	for i := range r.Implementations {
		im := &r.Implementations[i]
		r.Versions[im.name] = env.versions(im)
	}
	return r, nil
}

func (s *settings) scale() scale {
	if s.quick {
		return quickScale
	}
	return fullScale
}

// implementations returns the implementations that the settings select.
func (s *settings) implementations() []implementation {
	var asked []implementation
	for _, im := range implementations {
		if s.impl.MatchString(im.name) && (!s.first || im.ofFirst()) {
			asked = append(asked, im)
		}
	}
	return asked
}

// measures reports whether the settings select the workload.
func (s *settings) measures(w *workload) bool {
	return s.run.MatchString(w.name) && (s.named || !w.named) && (!s.first || w.first)
}

// measureAll measures each workload with each implementation, once in every round. The order of
// implementations rotates, so that changes of the machine over time affect all alike. It adds
// the workloads and their results to r.
func measureAll(ctx context.Context, s settings, r *report, log io.Writer) error {
	for _, w := range workloads(r.Scale) {
		if !s.measures(&w) {
			continue
		}
		if need := w.conns + spareDescriptors; need > s.descriptors {
			r.Skipped = append(r.Skipped, fmt.Sprintf("%s: it needs %d descriptors in each process, the limit is %d",
				w.title(), need, s.descriptors))
			continue
		}
		r.Workloads = append(r.Workloads, w)
	}
	for _, skipped := range r.Skipped {
		_, _ = fmt.Fprintln(log, "skipped:", skipped)
	}
	start := time.Now()
	for round := range s.rounds {
		for i := range r.Workloads {
			w := &r.Workloads[i]
			if w.once && round > 0 {
				continue
			}
			for _, im := range rotated(r.Implementations, round+i) {
				if !w.has(&im) {
					continue
				}
				r.measure(ctx, &im, w, r.Scale)
				if err := ctx.Err(); err != nil {
					return err
				}
			}
			_, _ = fmt.Fprintf(log, "%5.0fs round %d of %d: %s\n", time.Since(start).Seconds(), round+1, s.rounds, w.name)
		}
	}
	return nil
}

// spareDescriptors is how many descriptors a process needs beside its connections.
const spareDescriptors = 64
