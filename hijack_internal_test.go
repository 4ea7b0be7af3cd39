package websocket

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	ws "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lastRecord is a slog.Handler that keeps the last record.
type lastRecord struct {
	slog.Handler
	last slog.Record
}

func (*lastRecord) Enabled(context.Context, slog.Level) bool { return true }

func (h *lastRecord) Handle(_ context.Context, record slog.Record) error {
	h.last = record
	return nil
}

// gorilla's own checks find nothing, because everything is checked before. If gorilla ever
// checks more, its refusal is a mistake of this package: it is logged, and nothing is
// written to the client.
func TestRefusalOfGorillas(t *testing.T) {
	records := &lastRecord{}
	before := slog.Default()
	slog.SetDefault(slog.New(records))
	defer slog.SetDefault(before)
	e := NewEndpoint(Options{})
	client, server := net.Pipe()
	defer func() { _ = client.Close() }()
	good := gorillaRequest
	gorillaRequest = &http.Request{Method: http.MethodPost}
	defer func() { gorillaRequest = good }()
	rw := bufio.NewReadWriter(bufio.NewReader(server), bufio.NewWriter(server))
	request := httptest.NewRequest(http.MethodGet, "/", nil)
	h := beginGorilla(server, rw, &e.buffers, &agreement{config: e.transportConfig(0, 0)})
	gorilla, err := h.upgrader.Upgrade(h, gorillaRequest, h.header)
	conn, err := e.adopt(request, h, gorilla, err)
	assert.Nil(t, conn)

	var refused ws.HandshakeError
	require.ErrorAs(t, err, &refused)
	_, closed := client.Read(make([]byte, 1))
	require.ErrorIs(t, closed, io.EOF)
	err = e.switchFailed(request, err)
	require.ErrorIs(t, err, refused)
	require.ErrorContains(t, err, "gorilla refuses a handshake that was checked")
	assert.Equal(t, slog.LevelError, records.last.Level)
}
