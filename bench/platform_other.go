//go:build !linux

package main

import (
	"runtime"
	"time"

	"github.com/goyave-contrib/websocket/bench/internal/serving"
)

func machineTime() (all, own time.Duration, err error) { return 0, 0, serving.ErrPlatform }

func descriptorLimit() (int, error) { return 0, serving.ErrPlatform }

func sleepPrecisely(d time.Duration) { time.Sleep(d) }

func cpuModel() string { return "unknown" }

func kernel() string { return runtime.GOOS }
