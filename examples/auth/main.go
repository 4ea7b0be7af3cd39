// Command auth serves a room for logged-in users, and a page with the login:
//
//	go run ./examples/auth -password secret
//
// The login answers with a token, and the client sends it as its first message. That is the way
// for a page that holds a token: it can't set a header on a WebSocket, and a token in the URL ends
// up in logs. The same from a terminal, where the first command prints the message to send first:
//
//	curl -d name=Ada -d password=secret http://127.0.0.1:8080/login
//	go run ./examples/client -hello '{"token":"..."}' ws://127.0.0.1:8080/talk
//
// Three things make this safe: the first message has a time limit, it may be no longer than a
// message with a token, and no connection outlives its token.
package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/hub"
)

//go:embed index.html
var page embed.FS

// room is where all users meet.
const room = "lobby"

// The codes from 4000 to 4999 are the application's own. These two are like HTTP's
// statuses 401 and 408.
const (
	closeUnauthorized = 4401 // no token, or none that is valid any more: log in
	closeTooLate      = 4408 // no message in time: come again
)

const (
	helloTimeout = 5 * time.Second // for the first message
	maxHello     = 1 << 10         // bytes, of the first message
	maxMessage   = 64 << 10        // bytes, of each later one
)

// Auth serves clients that show a token first.
type Auth struct {
	rooms    *hub.Hub
	tokens   issuer
	password string
	lifetime time.Duration // of a token
}

// hello is the first message, as JSON.
type hello struct {
	Token string `json:"token"`
}

// Serve handles one connection: it lets the user in, then sends what the user says to all.
func (a *Auth) Serve(conn *websocket.Conn, r *http.Request) error {
	user, expires, err := a.authenticate(conn, r)
	if err != nil {
		return err
	}
	conn.SetReadLimit(maxMessage)
	if err := conn.WriteMessage(websocket.TextMessage, []byte("welcome, "+user)); err != nil {
		return err
	}
	if _, err := a.rooms.Join(conn, room); err != nil { // it leaves when the connection ends
		return err
	}
	ctx, cancel := context.WithDeadline(r.Context(), expires)
	defer cancel()
	for {
		_, text, err := conn.ReadMessageContext(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return websocket.NewCloseError(closeUnauthorized, "the token has expired")
		}
		if err != nil {
			return err
		}
		if err := a.rooms.To(hub.Room(room)).Send(hub.Text(user + ": " + string(text))); err != nil {
			return err
		}
	}
}

// authenticate waits for the first message. It returns the user whose token that has, and when
// the token expires.
func (a *Auth) authenticate(conn *websocket.Conn, r *http.Request) (user string, expires time.Time, err error) {
	ctx, cancel := context.WithTimeout(r.Context(), helloTimeout)
	defer cancel()
	_, message, err := conn.ReadMessageContext(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return "", time.Time{}, websocket.NewCloseError(closeTooLate, "no token in time")
	}
	if err != nil {
		return "", time.Time{}, err
	}
	var first hello
	if err := json.Unmarshal(message, &first); err != nil {
		return "", time.Time{}, websocket.NewCloseError(closeUnauthorized, "the first message has no token")
	}
	user, expires, err = a.tokens.check(first.Token)
	if err != nil {
		return "", time.Time{}, websocket.NewCloseError(closeUnauthorized, err.Error())
	}
	return user, expires, nil
}

// login stands for the login of your application. Here, all users have one password, and any
// name will do.
func (a *Auth) login(w http.ResponseWriter, r *http.Request) {
	name, password := r.FormValue("name"), r.FormValue("password")
	if name == "" || subtle.ConstantTimeCompare([]byte(password), []byte(a.password)) != 1 {
		http.Error(w, "name or password is wrong", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(hello{Token: a.tokens.issue(name, time.Now().Add(a.lifetime))}) // it fails only if the client is gone
}

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on; port 0 takes a free one")
	password := flag.String("password", rand.Text(), "`password` of everybody; one is made up without it")
	lifetime := flag.Duration("lifetime", time.Hour, "`time` for which a token is valid")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // after the first signal, a second one kills the process
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("the password is %s", *password)
	log.Printf("listening on http://%s", listener.Addr())
	auth := &Auth{rooms: hub.New(hub.Options{}), tokens: issuer{key: []byte(rand.Text())}, password: *password, lifetime: *lifetime}
	if err := run(ctx, listener, auth); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx is done, then closes every connection and returns nil.
func run(ctx context.Context, listener net.Listener, auth *Auth) error {
	upgrader := websocket.New(auth)
	upgrader.MaxMessageSize = maxHello
	upgrader.MaxConnections = 10_000              // including those that have sent no token yet
	upgrader.HeartbeatInterval = 15 * time.Second // the page gives up after 25
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", http.FileServerFS(page))
	mux.HandleFunc("POST /login", auth.login)
	upgrader.RegisterRoutes(mux, "/talk")
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second) // a client that does not answer takes 10
		defer cancel()
		ended <- errors.Join(upgrader.Shutdown(ctx), auth.rooms.Shutdown(ctx), server.Shutdown(ctx), server.Close())
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-ended
}
