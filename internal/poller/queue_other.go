//go:build !(linux || darwin || dragonfly || freebsd || openbsd)

package poller

import "errors"

// A queue is missing on this system.
type queue struct{}

// Exists reports whether the system has a poller.
const Exists = false

func newQueue() (*queue, error)                    { return nil, errors.ErrUnsupported }
func (*queue) add(uintptr, Watch) error            { return errors.ErrUnsupported }
func (*queue) arm(uintptr, Watch) error            { return errors.ErrUnsupported }
func (*queue) remove(uintptr, Watch)               {}
func (*queue) forget(Watch)                        {}
func (*queue) wait(ready []Watch) ([]Watch, error) { return ready, errFailed }
func (*queue) close()                              {}
func (*queue) fail() bool                          { return false }
