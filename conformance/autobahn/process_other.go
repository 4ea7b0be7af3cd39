//go:build !unix

package main

import (
	"os"
	"os/exec"
)

func inGroup(*exec.Cmd) {}

// ask asks the process to end. Where that is not possible, as on Windows, it fails.
func ask(command *exec.Cmd) error { return command.Process.Signal(os.Interrupt) }

// destroy ends the process at once.
func destroy(command *exec.Cmd) error { return command.Process.Kill() }
