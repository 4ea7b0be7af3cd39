package coder_test

import (
	"context"
	"log"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
)

func serveEcho(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
		OriginPatterns: []string{"app.example.com"},
	})
	if err != nil {
		return // the client has its answer
	}
	defer conn.CloseNow()
	for {
		messageType, message, err := conn.Read(r.Context())
		if websocket.CloseStatus(err) == websocket.StatusNormalClosure {
			return
		}
		if err != nil {
			log.Println("read:", err)
			return
		}
		if err := conn.Write(r.Context(), messageType, message); err != nil {
			return
		}
	}
}

func serveTime(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	ctx := conn.CloseRead(r.Context())
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks.C:
			if err := wsjson.Write(ctx, conn, now); err != nil {
				return
			}
		}
	}
}

func login(ctx context.Context, conn *websocket.Conn) (name string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var hello struct{ Name string }
	if err := wsjson.Read(ctx, conn, &hello); err != nil {
		return "", err
	}
	return hello.Name, wsjson.Write(ctx, conn, "welcome")
}

func ask(ctx context.Context, address, question string) (string, error) {
	conn, _, err := websocket.Dial(ctx, address, nil)
	if err != nil {
		return "", err
	}
	defer conn.CloseNow()
	if err := conn.Write(ctx, websocket.MessageText, []byte(question)); err != nil {
		return "", err
	}
	_, answer, err := conn.Read(ctx)
	if err != nil {
		return "", err
	}
	return string(answer), conn.Close(websocket.StatusNormalClosure, "")
}
