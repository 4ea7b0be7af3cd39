package main

import (
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// An environment is where and with what was measured.
type environment struct {
	Command  string
	Date     string
	CPU      string
	CPUs     int
	Kernel   string
	Go       string
	Others   float64           // share of the processors' time that other programs took during the run
	Versions map[string]string // of modules
}

func currentEnvironment(command string, now time.Time) environment {
	env := environment{
		Command:  command,
		Date:     now.UTC().Format(time.DateOnly),
		CPU:      cpuModel(),
		CPUs:     runtime.GOMAXPROCS(0),
		Kernel:   kernel(),
		Go:       runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
		Versions: map[string]string{oursModule: checkout()},
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return env
	}
	for _, module := range info.Deps {
		if module.Replace == nil {
			env.Versions[module.Path] = module.Version
		}
	}
	return env
}

// watchOthers returns a function that tells which share of the processors' time
// other programs have taken since.
func watchOthers() (func() (float64, error), error) {
	all, own, err := machineTime()
	start := time.Now()
	return func() (float64, error) {
		allNow, ownNow, err := machineTime()
		others := (allNow - all) - (ownNow - own)
		return max(0, others.Seconds()/time.Since(start).Seconds()/float64(runtime.NumCPU())), err
	}, err
}

func (env *environment) version(module string) string {
	if module == "" {
		return "–"
	}
	if version := env.Versions[module]; version != "" {
		return version
	}
	return "unknown"
}

// checkout names the commit of the working directory, which has no version.
func checkout() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=10").Output()
	if err != nil {
		return "this checkout"
	}
	return "commit " + strings.TrimSpace(string(out))
}
