package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
)

// machineTime returns how long all processors together were busy with any program, and how long
// with this program and the servers that have ended.
func machineTime() (all, own time.Duration, err error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	const hundredth = 10 * time.Millisecond // the unit of /proc/stat
	var user, nice, system, idle, iowait, irq, softirq, steal int64
	_, err = fmt.Sscanf(string(stat), "cpu %d %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal)
	if err != nil {
		return 0, 0, fmt.Errorf("bench: /proc/stat: %w", err)
	}
	var children syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &children); err != nil {
		return 0, 0, fmt.Errorf("bench: getrusage: %w", err)
	}
	self, err := serving.CPUTime()
	own = self + time.Duration(children.Utime.Nano()+children.Stime.Nano())
	return time.Duration(user+nice+system+irq+softirq+steal) * hundredth, own, err
}

// descriptorLimit returns how many files and sockets a process may have open.
// Go raises the soft limit to the hard one when a process starts.
func descriptorLimit() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("bench: getrlimit: %w", err)
	}
	return int(min(limit.Cur, 1<<30)), nil
}

// sleepPrecisely sleeps by a system call, because a timer of the runtime can be late by a
// millisecond when the process is idle.
func sleepPrecisely(d time.Duration) {
	if d <= 0 {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	left := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&left, nil) // a signal may interrupt it: the caller checks the clock
}

func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return "Linux " + strings.TrimSpace(string(release))
}
