package conformance_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/internal/testws"
	"github.com/stretchr/testify/assert"
)

// A variant is an endpoint. Every row runs on every variant.
type variant struct {
	name    string
	serve   websocket.ControllerFunc // nil: a MessageController serves it
	enabled bool                     // whether the server has compression enabled
	offer   string                   // of extensions, by the client
	secure  bool                     // with TLS

	takeover bool // whether messages are compressed with the context of earlier ones
}

// agreed reports whether messages may be compressed.
func (v *variant) agreed() bool { return v.enabled && v.offer != "" }

// whole reports whether the server answers a message only once it is complete.
func (v *variant) whole() bool { return v.agreed() && !strings.HasPrefix(v.name, "streams") }

// variants are the ways to read and write, each with and without compression: either the server
// has disabled it, or the client does not offer it. Some use TLS, because the library reads from
// a TLS connection in another way. Connections of a MessageController are parked whenever they wait.
func variants() []*variant {
	readMessage, readSlice, streams := echo((*websocket.Conn).ReadMessage), echo((*websocket.Conn).ReadSlice), answering(stream)
	return []*variant{
		{name: "ReadMessage", serve: readMessage, offer: deflateOffer},
		{name: "ReadMessage, compressed", serve: readMessage, enabled: true, offer: deflateOffer},
		{name: "ReadMessage, compressed, TLS", serve: readMessage, enabled: true, offer: deflateOffer, secure: true},
		{name: "ReadSlice", serve: readSlice, enabled: true},
		{name: "ReadSlice, compressed", serve: readSlice, enabled: true, offer: deflateOffer},
		{name: "streams, TLS", serve: streams, enabled: true, secure: true},
		{name: "streams, compressed", serve: streams, enabled: true, offer: deflateOffer},
		{name: "ReadMessage, context takeover", serve: readMessage, enabled: true, offer: deflateOffer, takeover: true},
		{name: "streams, context takeover", serve: streams, enabled: true, offer: deflateOffer, takeover: true},
		{name: "OnMessage, compressed", enabled: true, offer: deflateOffer},
	}
}

const deflateOffer = "permessage-deflate"

// goodbye is the path where the server closes the connection after one message.
const goodbye = "/goodbye"

// answering returns a controller that calls answer for each message.
func answering(answer func(*websocket.Conn) error) websocket.ControllerFunc {
	return func(conn *websocket.Conn, r *http.Request) error {
		for {
			if err := answer(conn); err != nil || r.URL.Path == goodbye {
				return err
			}
		}
	}
}

func echo(read func(*websocket.Conn) (int, []byte, error)) websocket.ControllerFunc {
	return answering(func(conn *websocket.Conn) error {
		messageType, message, err := read(conn)
		if err != nil {
			return err
		}
		return conn.WriteMessage(messageType, message)
	})
}

// onMessage opens a connection of a MessageController that does what echo does.
func onMessage(conn *websocket.Conn, r *http.Request) (websocket.MessageHandler, error) {
	isLast := r.URL.Path == goodbye
	return websocket.MessageHandlerFunc(func(messageType int, message []byte) error {
		err := conn.WriteMessage(messageType, message)
		if err == nil && isLast {
			return websocket.NewCloseError(websocket.CloseNormalClosure, websocket.NormalClosureMessage)
		}
		return err
	}), nil
}

func stream(conn *websocket.Conn) error {
	messageType, r, err := conn.NextReader()
	if err != nil {
		return err
	}
	w, err := conn.NextWriter(messageType)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Close()
}

// A server runs the endpoint of one variant. When a connection has ended, it sends the Ending to
// the channel that ended has for the client's address.
type server struct {
	*httptest.Server
	variant  *variant
	upgrader *websocket.Upgrader
	tls      *tls.Config // for clients
	ended    sync.Map    // a chan websocket.Ending for each address of a client
}

// closeTimeout is much longer than any row takes, so that no connection ends because of it.
const closeTimeout = time.Minute

func newServer(t *testing.T, v *variant) *server {
	t.Helper()
	s := &server{variant: v}
	if v.serve != nil {
		s.upgrader = websocket.New(v.serve)
	} else {
		s.upgrader = websocket.NewMessages(websocket.MessageControllerFunc(onMessage))
		s.upgrader.ParkAfter = 1
	}
	s.upgrader.CloseTimeout = closeTimeout
	s.upgrader.CompressionThreshold = -1
	s.upgrader.Settings.EnableCompression = v.enabled
	if v.takeover {
		s.upgrader.Compression = websocket.CompressionContextTakeover
	}
	s.upgrader.Observer = &websocket.Observer{Ended: s.reportEnded}
	s.upgrader.Logger = testws.LogTo(func(line testws.Logged) { assert.Less(t, line.Level, slog.LevelError, "%v", line.Err) })
	s.Server = httptest.NewUnstartedServer(s.upgrader)
	if v.secure {
		s.StartTLS()
		transport := s.Client().Transport.(*http.Transport) //nolint:errcheck // it is
		s.tls = transport.TLSClientConfig.Clone()
		s.tls.ServerName = "example.com"                           // the name in the certificate of httptest
		s.tls.ClientSessionCache = tls.NewLRUClientSessionCache(0) // resumption saves much of the work
	} else {
		s.Start()
	}
	t.Cleanup(func() {
		assert.Zero(t, s.upgrader.Stats().Open)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		assert.NoError(t, s.upgrader.Shutdown(ctx))
		s.Close()
	})
	return s
}

func (s *server) reportEnded(conn *websocket.Conn, ending websocket.Ending) {
	if ended, ok := s.ended.LoadAndDelete(conn.RemoteAddr().String()); ok {
		ended.(chan websocket.Ending) <- ending //nolint:errcheck // it is
	}
}
