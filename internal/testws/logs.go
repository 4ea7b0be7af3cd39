package testws

import (
	"context"
	"log/slog"
	"sync"
)

// Logged is one line of a log.
type Logged struct {
	Level slog.Level
	Err   error
	Attrs map[string]slog.Value
}

// Logs collects what Options.Log is called with.
type Logs struct {
	mu    sync.Mutex
	lines []Logged
}

// Log adds a line.
func (l *Logs) Log(_ context.Context, level slog.Level, err error, attrs ...slog.Attr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := Logged{Level: level, Err: err, Attrs: map[string]slog.Value{}}
	for _, a := range attrs {
		line.Attrs[a.Key] = a.Value
	}
	l.lines = append(l.lines, line)
}

// All returns the lines so far.
func (l *Logs) All() []Logged {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines
}

// Silent logs nothing.
func Silent(context.Context, slog.Level, error, ...slog.Attr) {}
