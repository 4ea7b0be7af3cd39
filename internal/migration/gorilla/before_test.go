package gorilla_test

import (
	"bytes"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

var upgrader = websocket.Upgrader{
	CheckOrigin: func(r *http.Request) bool {
		origin := r.Header.Get("Origin")
		return origin == "" || origin == "https://app.example.com"
	},
}

func serveEcho(w http.ResponseWriter, r *http.Request) {
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return // the client has its answer
	}
	defer conn.Close()
	for {
		messageType, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if err := conn.WriteMessage(messageType, message); err != nil {
			return
		}
	}
}

const (
	writeWait  = 10 * time.Second
	pingPeriod = 50 * time.Second
	pongWait   = 60 * time.Second
)

type session struct {
	conn    *websocket.Conn
	answers chan []byte
	ended   chan struct{} // closed when writePump has returned
}

func (s *session) readPump() {
	defer close(s.answers)
	s.conn.SetReadLimit(4096)
	s.conn.SetReadDeadline(time.Now().Add(pongWait))
	s.conn.SetPongHandler(func(string) error {
		return s.conn.SetReadDeadline(time.Now().Add(pongWait))
	})
	for {
		_, question, err := s.conn.ReadMessage()
		if err != nil {
			if websocket.IsUnexpectedCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) {
				log.Println("read:", err)
			}
			return
		}
		select {
		case s.answers <- bytes.ToUpper(question):
		case <-s.ended:
			return
		}
	}
}

func (s *session) writePump(feed <-chan []byte) {
	pings := time.NewTicker(pingPeriod)
	defer func() {
		pings.Stop()
		close(s.ended)
		s.conn.Close()
	}()
	for {
		var err error
		select {
		case answer, open := <-s.answers:
			if !open { // readPump has returned
				s.write(websocket.CloseMessage, nil)
				return
			}
			err = s.write(websocket.TextMessage, answer)
		case quote := <-feed:
			err = s.write(websocket.TextMessage, quote)
		case <-pings.C:
			err = s.write(websocket.PingMessage, nil)
		}
		if err != nil {
			return
		}
	}
}

func (s *session) write(messageType int, data []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return err
	}
	return s.conn.WriteMessage(messageType, data)
}

// serveQuotes is left out of the page.
func serveQuotes(feed <-chan []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		s := &session{conn: conn, answers: make(chan []byte), ended: make(chan struct{})}
		go s.readPump()
		s.writePump(feed)
	}
}

type room struct {
	enter, leave chan *visitor
	say          chan []byte
}

type visitor struct {
	send chan []byte // what waits for the visitor's writePump
}

func (r *room) run() {
	visitors := make(map[*visitor]bool)
	for {
		select {
		case v := <-r.enter:
			visitors[v] = true
		case v := <-r.leave:
			if visitors[v] {
				delete(visitors, v)
				close(v.send)
			}
		case text := <-r.say:
			for v := range visitors {
				select {
				case v.send <- text:
				default: // too slow
					delete(visitors, v)
					close(v.send)
				}
			}
		}
	}
}

func kickOut(conn *websocket.Conn) {
	message := websocket.FormatCloseMessage(4001, "logged out")
	if err := conn.WriteControl(websocket.CloseMessage, message, time.Now().Add(writeWait)); err != nil {
		conn.Close()
		return
	}
	// Another goroutine reads. The client may never answer.
	time.AfterFunc(5*time.Second, func() { conn.Close() })
}

func askOnce(address, question string) (string, error) {
	conn, _, err := websocket.DefaultDialer.Dial(address, nil)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(question)); err != nil {
		return "", err
	}
	_, answer, err := conn.ReadMessage()
	return string(answer), err
}

func TestServeEcho(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(serveEcho))
	defer server.Close()
	address := "ws" + strings.TrimPrefix(server.URL, "http")
	conn, _, err := websocket.DefaultDialer.Dial(address, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, message, err := conn.ReadMessage(); err != nil || string(message) != "hello" {
		t.Fatalf("%q, %v", message, err)
	}
}
