package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/goyave-contrib/websocket"
)

// A site is a server with its clients, which are in another process.
type site struct {
	upgrader *websocket.Upgrader
	address  string
	served   chan error
	server   *http.Server
	opened   chan *websocket.Conn
	clients  *process
	expected uint64 // messages that the clients receive, since the beginning
}

func newSite(ctx context.Context) (*site, error) {
	s := &site{served: make(chan error, 1), opened: make(chan *websocket.Conn, 1)}
	s.upgrader = websocket.New(websocket.ControllerFunc(func(conn *websocket.Conn, _ *http.Request) error {
		s.opened <- conn
		<-conn.CloseRead(conn.Context()).Done()
		return nil
	}))
	s.upgrader.PingInterval, s.upgrader.WriteTimeout = -1, -1
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.address = listener.Addr().String()
	s.server = &http.Server{Handler: s.upgrader, ReadHeaderTimeout: time.Minute}
	go func() { s.served <- s.server.Serve(listener) }()
	s.clients, err = start(ctx, roleClients)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// dial returns the server's side of connections whose clients read.
func (s *site) dial(n int) ([]*websocket.Conn, error) {
	asked := make(chan error, 1)
	go func() {
		var a answer
		r := request{Address: s.address, Dial: n, Await: s.expected}
		err := s.clients.ask(r, &a)
		if err == nil {
			err = a.check(r)
		}
		asked <- err
	}()
	var conns []*websocket.Conn
	for range n {
		select {
		case conn := <-s.opened:
			conns = append(conns, conn)
		case err := <-asked:
			if err != nil {
				return nil, err
			}
			conns = append(conns, <-s.opened) // it is about to come
			asked <- nil
		}
	}
	return conns, <-asked
}

// dialSilent returns the server's side of connections whose clients never read, so that one message
// fills their queues.
func (s *site) dialSilent(ctx context.Context, n int) (conns []*websocket.Conn, closeAll func(), err error) {
	var silent []*websocket.Conn
	closeAll = func() {
		for _, conn := range silent {
			_ = conn.CloseNow()
		}
	}
	large, err := websocket.EncodeMessage(websocket.BinaryMessage, make([]byte, 16<<20))
	for range n {
		if err != nil {
			break
		}
		var client *websocket.Conn
		var response *http.Response
		client, response, err = websocket.Dial(ctx, "ws://"+s.address+"/", nil)
		if response != nil && response.Body != nil {
			_ = response.Body.Close()
		}
		if err != nil {
			break
		}
		silent = append(silent, client)
		conn := <-s.opened
		conns = append(conns, conn)
		if err = conn.Enqueue(websocket.QueueLimit{Bytes: -1}, large); err == nil {
			conn.Flush()
		}
	}
	return conns, closeAll, err
}

// await waits until the clients have received some more messages.
func (s *site) await(more int) error {
	s.expected += uint64(more) //nolint:gosec // it is not negative
	var a answer
	r := request{Await: s.expected}
	if err := s.clients.ask(r, &a); err != nil {
		return err
	}
	return a.check(r)
}

func (s *site) close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var errs []error
	if s.clients != nil {
		errs = append(errs, s.clients.stop())
	}
	_ = s.upgrader.Shutdown(ctx) // it cuts the connections
	errs = append(errs, s.server.Close())
	if err := <-s.served; !errors.Is(err, http.ErrServerClosed) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
