package testws

import (
	"sync"
)

// ErrorList is a list of errors. Goroutines may add to it at the same time.
type ErrorList struct {
	mu   sync.Mutex
	errs []error
}

// Add adds an error.
func (l *ErrorList) Add(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err)
}

// All returns the errors, in the order in which they were added.
func (l *ErrorList) All() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.errs
}
