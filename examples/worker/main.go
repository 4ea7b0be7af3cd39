// Command worker tells users how their jobs get on. An ordinary HTTP request creates a job.
// A worker does it, and pushes its progress to all connections of the user by way of a hub.
//
//	go run ./examples/worker
//	go run ./examples/client 'ws://127.0.0.1:8080/events?user=Ada'
//	curl -X POST 'http://127.0.0.1:8080/jobs?user=Ada'
//
// The second command prints the progress of the jobs that the third one creates. Start several
// clients, stop one and start it again: the server sends it the state of each job.
//
// The connections are quiet for most of the time. So Events is a MessageController: a connection
// that waits has no goroutine.
//
// Neither the handler nor the workers know a connection. They need only the hub and the name of
// the user. With a broker, such as hub/natsbroker, they may run in another process.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

// userOf stands for your authentication: here, it believes the query. It returns "" if there
// is no user.
func userOf(r *http.Request) string {
	user := r.URL.Query().Get("user")
	if len(user) > 100 {
		return ""
	}
	return user
}

// authenticated calls the handler if there is a user.
func authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if userOf(r) == "" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Events handles the connections on which users receive the state of their jobs.
type Events struct {
	hub  *hub.Hub
	jobs *Jobs
}

// Open begins one connection. The hub writes to it, and its user has nothing to say.
func (e *Events) Open(conn *websocket.Conn, r *http.Request) (websocket.MessageHandler, error) {
	member, err := e.hub.Join(conn)
	if err != nil {
		return nil, err
	}
	return websocket.MessageHandlerFunc(refuseMessage), e.jobs.Welcome(member, userOf(r))
}

// refuseMessage is called with each message.
func refuseMessage(int, []byte) error {
	return websocket.NewCloseError(websocket.ClosePolicyViolation, "no messages, please")
}

// post creates a job.
func (e *Events) post(w http.ResponseWriter, r *http.Request) {
	id, err := e.jobs.Add(userOf(r))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_ = json.NewEncoder(w).Encode(Job{ID: id}) // it fails only if the client is gone
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	step := flag.Duration("step", 100*time.Millisecond, "`time` that one percent of a job takes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // after the first signal, a second one kills the process
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on http://%s", listener.Addr())
	if err := run(ctx, listener, *step); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx is done, then stops the workers, closes every connection and returns
// nil.
func run(ctx context.Context, listener net.Listener, step time.Duration) error {
	users := hub.New(hub.Options{})
	events := &Events{hub: users, jobs: NewJobs(users, 100, step)}
	upgrader := websocket.NewMessages(events)
	mux := http.NewServeMux()
	mux.Handle("POST /jobs", authenticated(http.HandlerFunc(events.post)))
	mux.Handle("GET /events", authenticated(upgrader))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}

	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() { events.jobs.Work(ctx.Done()) })
	}
	ended := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second) // a client that does not answer takes 10
		defer cancel()
		workers.Wait() // first, so that clients get what the workers send last
		ended <- errors.Join(upgrader.Shutdown(ctx), users.Shutdown(ctx), server.Shutdown(ctx), server.Close())
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}
