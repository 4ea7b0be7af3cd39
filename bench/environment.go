package main

import (
	"maps"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// An environment describes the machine and the versions of a measurement.
type environment struct {
	Command  string            `json:"command"`
	Date     string            `json:"date"`
	CPU      string            `json:"cpu"`
	CPUs     int               `json:"cpus"`
	Kernel   string            `json:"kernel"`
	Go       string            `json:"go"`
	Others   float64           `json:"others"` // share of the processor time that other programs used during the run
	Versions map[string]string `json:"-"`      // of modules, in this program
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
	if info, ok := debug.ReadBuildInfo(); ok {
		maps.Copy(env.Versions, moduleVersions(info))
	}
	return env
}

// moduleVersions returns the versions of the modules that a program was built with, without the
// modules of this repository.
func moduleVersions(info *debug.BuildInfo) map[string]string {
	versions := make(map[string]string)
	for _, module := range info.Deps {
		switch {
		case module.Path == oursModule || strings.HasPrefix(module.Path, oursModule+"/"):
		case module.Replace == nil:
			versions[module.Path] = module.Version
		default:
			versions[module.Path] = module.Version + " (replaced)"
		}
	}
	return versions
}

// watchOthers returns a function that returns which share of the processor time other programs
// have used since watchOthers was called.
func watchOthers() (func() (float64, error), error) {
	all, own, err := machineTime()
	start := time.Now()
	return func() (float64, error) {
		allNow, ownNow, err := machineTime()
		others := (allNow - all) - (ownNow - own)
		return max(0, others.Seconds()/time.Since(start).Seconds()/float64(runtime.NumCPU())), err
	}, err
}

// versions returns the versions of an implementation's modules, its own module first.
func (env *environment) versions(im *implementation) []string {
	versions := []string{env.version(im, im.module)}
	for _, module := range im.below {
		versions = append(versions, module+" "+env.version(im, module))
	}
	return versions
}

// version returns the version of a module in the program that serves the implementation.
func (env *environment) version(im *implementation, module string) string {
	if module == "" {
		return "–"
	}
	versions := env.Versions
	if im.program != nil && module != oursModule {
		versions = im.program.versions
	}
	if version := versions[module]; version != "" {
		return version
	}
	return "unknown"
}

// checkout names the commit of the working directory, because its module has no version.
func checkout() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=10").Output()
	if err != nil {
		return "this checkout"
	}
	return "commit " + strings.TrimSpace(string(out))
}
