//go:build !plan9

package conformance_test

import (
	"errors"
	"syscall"
)

// isReset reports whether a read failed because the server reset the connection.
func isReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
