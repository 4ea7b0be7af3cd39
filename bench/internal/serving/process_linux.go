package serving

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// CPUTime returns the time that this process has spent on a processor, in user
// and system mode.
func CPUTime() (time.Duration, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("bench: getrusage: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), nil
}

// residentSize returns how many bytes of this process are in memory.
func residentSize() (uint64, error) {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var total, resident uint64
	if _, err := fmt.Sscan(string(statm), &total, &resident); err != nil {
		return 0, fmt.Errorf("bench: /proc/self/statm: %w", err)
	}
	return resident * uint64(os.Getpagesize()), nil
}
