//go:build !linux

package main

import (
	"errors"
	"runtime"
	"time"
)

var errPlatform = errors.New("bench: measures on Linux only")

func cpuTime() (time.Duration, error) { return 0, errPlatform }

func machineTime() (all, own time.Duration, err error) { return 0, 0, errPlatform }

func residentSize() (uint64, error) { return 0, errPlatform }

func descriptorLimit() (int, error) { return 0, errPlatform }

func sleepPrecisely(d time.Duration) { time.Sleep(d) }

func cpuModel() string { return "unknown" }

func kernel() string { return runtime.GOOS }
