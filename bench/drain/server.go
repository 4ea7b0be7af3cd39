package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/bench/internal/serving"
)

// An ending is how a server is to end its connections.
type ending struct {
	Name string        // "Shutdown", "Drain", or empty for a server that only reports
	Over time.Duration // of Drain
}

func (e ending) String() string {
	if e.Name == "Drain" {
		return fmt.Sprintf("`Drain` over %v", e.Over)
	}
	return "`Shutdown`"
}

// sampleEvery is the time between two samples of a server.
const sampleEvery = 100 * time.Millisecond

// A sample is what a server has done since it has started.
type sample struct {
	At         time.Duration
	Handshakes uint64
	CPU        time.Duration
}

// A serverReport is what a server has done.
type serverReport struct {
	Samples []sample
	Took    time.Duration // of the ending
	Codes   map[int]uint64
}

// serve is the process of a server. It writes its address, waits for its ending, and writes its
// report.
func serve(in io.Reader, out io.Writer, useTLS bool) error {
	u := websocket.NewMessages(websocket.MessageControllerFunc(func(conn *websocket.Conn, _ *http.Request) (websocket.MessageHandler, error) {
		return websocket.MessageHandlerFunc(conn.WriteMessage), nil
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: u, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	if useTLS {
		if server.TLSConfig, err = newCertificate(); err != nil {
			return err
		}
		go func() { served <- server.ServeTLS(listener, "", "") }()
	} else {
		go func() { served <- server.Serve(listener) }()
	}
	values := json.NewEncoder(out)
	if err := values.Encode(listener.Addr().String()); err != nil {
		return err
	}
	stop, sampling := make(chan struct{}), sync.WaitGroup{}
	var r serverReport
	sampling.Go(func() { r.Samples, err = watch(u, stop) })

	var end ending
	decodeErr := json.NewDecoder(in).Decode(&end)
	begun := time.Now()
	ended := endConnections(u, end)
	r.Took = time.Since(begun)
	close(stop)
	sampling.Wait()
	r.Codes = u.Stats().CloseSent
	if err := errors.Join(decodeErr, ended, err, values.Encode(r)); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, in) // until the parent closes it
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = u.Shutdown(ctx) // of a server that only reports: it cuts the clients
	_ = server.Close()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// endConnections ends the connections of a server.
func endConnections(u *websocket.Upgrader, end ending) error {
	ctx, cancel := context.WithTimeout(context.Background(), end.Over+15*time.Second)
	defer cancel()
	switch end.Name {
	case "Shutdown":
		return u.Shutdown(ctx)
	case "Drain":
		return u.Drain(ctx, end.Over)
	default:
		return nil
	}
}

// watch takes samples until it is stopped, and a last one then.
func watch(u *websocket.Upgrader, stop <-chan struct{}) (samples []sample, err error) {
	begun := time.Now()
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for stopped := false; ; {
		cpu, err := serving.CPUTime()
		if err != nil {
			return nil, err
		}
		samples = append(samples, sample{At: time.Since(begun), Handshakes: u.Stats().Upgrades, CPU: cpu})
		if stopped {
			return samples, nil
		}
		select {
		case <-ticker.C:
		case <-stop:
			stopped = true
		}
	}
}
