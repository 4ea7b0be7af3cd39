package testws

import (
	"context"
	"log/slog"
	"sync"
)

// Silent logs nothing.
var Silent = slog.New(slog.DiscardHandler)

// Logged is one line of a log.
type Logged struct {
	Level   slog.Level
	Message string
	Err     error                 // the attribute "error"
	Attrs   map[string]slog.Value // all others
}

// Logs records the lines that its Logger receives.
type Logs struct {
	mu    sync.Mutex
	lines []Logged
}

// Logger returns the logger. It records lines of any level.
func (l *Logs) Logger() *slog.Logger {
	return LogTo(func(line Logged) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lines = append(l.lines, line)
	})
}

// All returns the lines so far.
func (l *Logs) All() []Logged {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lines
}

// LogTo returns a logger that calls f for each line, at any level.
func LogTo(f func(line Logged)) *slog.Logger { return slog.New(logTo(f)) }

// logTo is the slog.Handler of LogTo. The library adds neither attributes nor groups to a
// logger.
type logTo func(line Logged)

func (logTo) Enabled(context.Context, slog.Level) bool { return true }
func (logTo) WithAttrs([]slog.Attr) slog.Handler       { panic("testws: WithAttrs is called") }
func (logTo) WithGroup(string) slog.Handler            { panic("testws: WithGroup is called") }

func (f logTo) Handle(_ context.Context, record slog.Record) error {
	line := Logged{Level: record.Level, Message: record.Message, Attrs: map[string]slog.Value{}}
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "error" {
			line.Err, _ = a.Value.Any().(error)
		} else {
			line.Attrs[a.Key] = a.Value
		}
		return true
	})
	f(line)
	return nil
}
