package transport

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// testPanic is an error of a panic, as the layer above would make it.
type testPanic struct{ value any }

func (p testPanic) Error() string { return fmt.Sprint("panic: ", p.value) }

var testPanics = &Panics{
	New: func(value any) error { return testPanic{value} },
	Is:  func(err error) bool { return errors.As(err, new(testPanic)) },
}

// newConfig returns settings like the defaults of Options, with changes.
func newConfig(changes ...func(*Config)) *Config {
	c := &Config{WriteTimeout: 10 * time.Second, CloseTimeout: 10 * time.Second, ReadBuffers: &sync.Pool{}, Panics: testPanics}
	for _, change := range changes {
		change(c)
	}
	return c
}
