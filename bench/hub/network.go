package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/goyave-contrib/websocket/hub"
	"github.com/goyave-contrib/websocket/hub/natsbroker"
	"github.com/goyave-contrib/websocket/hub/redisbroker"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"
)

// patience is how long something may take that is soon done.
const patience = 20 * time.Second

// A fullBroker can do all that the hub makes use of.
type fullBroker interface {
	hub.HistoryBroker
	hub.PresenceBroker
	hub.SubscriptionWaiter
}

var _ fullBroker = (*natsbroker.JetStreamBroker)(nil)
var _ fullBroker = (*redisbroker.Broker)(nil)

// A network connects hubs.
type network struct {
	name  string
	node  func() (fullBroker, error) // the broker of one more hub
	close func() error
}

// networks starts all networks that can be had here.
func networks(ctx context.Context) ([]network, error) {
	list := []network{memoryNetwork()}
	for _, start := range []func(context.Context) (network, error){redisNetwork, natsNetwork} {
		n, err := start(ctx)
		if errors.Is(err, exec.ErrNotFound) {
			_, _ = fmt.Fprintln(os.Stderr, "hub: without redis-server:", err)
			continue
		}
		if err != nil {
			return nil, errors.Join(err, closeNetworks(list))
		}
		list = append(list, n)
	}
	return list, nil
}

func closeNetworks(list []network) error {
	var errs []error
	for _, n := range list {
		errs = append(errs, n.close())
	}
	return errors.Join(errs...)
}

func memoryNetwork() network {
	memory := new(hub.Memory)
	return network{
		name:  "`hub.Memory`",
		node:  func() (fullBroker, error) { return memory.Node().(fullBroker), nil }, //nolint:errcheck,forcetypeassert // it is one
		close: func() error { return nil },
	}
}

// redisNetwork starts a server on a free port. It saves nothing.
func redisNetwork(ctx context.Context) (n network, err error) {
	var path string
	for _, name := range []string{"redis-server", "redis-check-rdb"} { // Debian's package redis-tools has it by the second name
		if path, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if err != nil {
		return n, err
	}
	port := strconv.Itoa(10_000 + rand.IntN(20_000)) //nolint:gosec // nothing is secret
	process := exec.CommandContext(ctx, path, "--save", "", "--port", port, "--bind", "127.0.0.1", "--daemonize", "no")
	process.Args[0] = "redis-server"
	if err := process.Start(); err != nil {
		return n, err
	}
	client := redis.NewClient(&redis.Options{Addr: net.JoinHostPort("127.0.0.1", port)})
	stop := func() error {
		err := client.Close()
		_ = process.Process.Kill()
		_ = process.Wait() // it was killed
		return err
	}
	begun := time.Now()
	for err := client.Ping(ctx).Err(); err != nil; err = client.Ping(ctx).Err() {
		if time.Since(begun) > patience {
			return n, errors.Join(fmt.Errorf("redis-server: %w", err), stop())
		}
		time.Sleep(10 * time.Millisecond)
	}
	node := func() (fullBroker, error) { return redisbroker.New(client, redisbroker.Options{}) }
	return network{name: "Redis", node: node, close: stop}, nil
}

// natsNetwork starts a server in a process of its own, with JetStream in memory.
func natsNetwork(ctx context.Context) (n network, err error) {
	process, err := start(ctx, roleNATS)
	if err != nil {
		return n, err
	}
	var url string
	if err := process.ask("url", &url); err != nil {
		return n, errors.Join(err, process.stop())
	}
	var conns []*nats.Conn
	node := func() (fullBroker, error) {
		nc, err := nats.Connect(url, nats.NoEcho())
		if err != nil {
			return nil, err
		}
		conns = append(conns, nc)
		js, err := jetstream.New(nc)
		if err != nil {
			return nil, err
		}
		return natsbroker.NewJetStream(js, natsbroker.JetStreamOptions{Storage: jetstream.MemoryStorage})
	}
	stop := func() error {
		for _, nc := range conns {
			nc.Close()
		}
		return process.stop()
	}
	return network{name: "NATS", node: node, close: stop}, nil
}

// serveNATS is the process of a NATS server. It answers a value with its address.
func serveNATS(in io.Reader, out io.Writer) error {
	folder, err := os.MkdirTemp("", "bench-hub-nats-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // little is in it
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, JetStream: true, StoreDir: folder,
	})
	if err != nil {
		return err
	}
	go s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(patience) {
		return errors.New("the NATS server does not start")
	}
	var question any
	if err := json.NewDecoder(in).Decode(&question); err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(s.ClientURL()); err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, in) // until the parent closes it
	return nil
}
