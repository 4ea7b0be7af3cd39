//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// inGroup puts a process, and what it will start, into a process group of its own.
func inGroup(command *exec.Cmd) { command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// ask asks the process group to end.
func ask(command *exec.Cmd) error { return syscall.Kill(-command.Process.Pid, syscall.SIGTERM) }

// destroy ends the process group at once.
func destroy(command *exec.Cmd) error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
