//go:build !linux

package serving

import (
	"errors"
	"time"
)

// ErrPlatform is the error of everything that is measured here.
var ErrPlatform = errors.New("bench: measures on Linux only")

// CPUTime returns the time that this process has spent on a processor.
func CPUTime() (time.Duration, error) { return 0, ErrPlatform }

func residentSize() (uint64, error) { return 0, ErrPlatform }
