package websocket_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"

	ws "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/goyave-contrib/websocket"
)

// promoted are the methods of gorilla's connection that are safe as they are, and why.
// Every other method must be overridden: a promoted method bypasses the promises of Conn.
var promoted = map[string]string{
	"Subprotocol": "returns a field that never changes after the handshake",
	"LocalAddr":   "asks the transport, which asks the accepted connection",
	"RemoteAddr":  "asks the transport, which asks the accepted connection",
}

// otherSignature are the methods with another signature here than in gorilla.
var otherSignature = map[string]string{
	"Close": "takes a code and a text: the closing handshake, not only the socket",
}

func TestMethodsOfGorilla(t *testing.T) {
	declared := methodsOfConn(t)
	gorilla, ours := reflect.TypeFor[*ws.Conn](), reflect.TypeFor[*websocket.Conn]()

	for i := range gorilla.NumMethod() {
		name := gorilla.Method(i).Name
		t.Run(name, func(t *testing.T) {
			if promoted[name] != "" {
				assert.NotContains(t, declared, name, "it is overridden: take it off the list of promoted ones")
				return
			}
			assert.Contains(t, declared, name, "it goes past Conn: override it, or list it as promoted and say why that is safe")
			if otherSignature[name] != "" {
				return
			}
			method, ok := ours.MethodByName(name)
			require.True(t, ok)
			assert.Equal(t, signature(gorilla.Method(i)), signature(method), "code written for gorilla must compile")
		})
	}
	for _, list := range []map[string]string{promoted, otherSignature} {
		for name := range list {
			_, ok := gorilla.MethodByName(name)
			assert.True(t, ok, "gorilla has no method %s any more", name)
		}
	}
}

// methodsOfConn returns the exported methods that this package declares on *Conn itself.
func methodsOfConn(t *testing.T) map[string]bool {
	t.Helper()
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	methods := make(map[string]bool)
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, declaration := range file.Decls {
			f, ok := declaration.(*ast.FuncDecl)
			if !ok || f.Recv == nil || !f.Name.IsExported() {
				continue
			}
			receiver := f.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			if named, ok := receiver.(*ast.Ident); ok && named.Name == "Conn" {
				methods[f.Name.Name] = true
			}
		}
	}
	return methods
}

// signature returns the type of a method without its receiver.
func signature(method reflect.Method) string {
	var in, out []reflect.Type
	for i := 1; i < method.Type.NumIn(); i++ {
		in = append(in, method.Type.In(i))
	}
	for i := range method.Type.NumOut() {
		out = append(out, method.Type.Out(i))
	}
	return reflect.FuncOf(in, out, method.Type.IsVariadic()).String()
}

func TestConstantsAreGorillas(t *testing.T) {
	tests := []struct {
		name          string
		ours, gorilla int
	}{
		{name: "TextMessage", ours: websocket.TextMessage, gorilla: ws.TextMessage},
		{name: "BinaryMessage", ours: websocket.BinaryMessage, gorilla: ws.BinaryMessage},
		{name: "CloseMessage", ours: websocket.CloseMessage, gorilla: ws.CloseMessage},
		{name: "PingMessage", ours: websocket.PingMessage, gorilla: ws.PingMessage},
		{name: "PongMessage", ours: websocket.PongMessage, gorilla: ws.PongMessage},

		{name: "CloseNormalClosure", ours: websocket.CloseNormalClosure, gorilla: ws.CloseNormalClosure},
		{name: "CloseGoingAway", ours: websocket.CloseGoingAway, gorilla: ws.CloseGoingAway},
		{name: "CloseProtocolError", ours: websocket.CloseProtocolError, gorilla: ws.CloseProtocolError},
		{name: "CloseUnsupportedData", ours: websocket.CloseUnsupportedData, gorilla: ws.CloseUnsupportedData},
		{name: "CloseNoStatusReceived", ours: websocket.CloseNoStatusReceived, gorilla: ws.CloseNoStatusReceived},
		{name: "CloseAbnormalClosure", ours: websocket.CloseAbnormalClosure, gorilla: ws.CloseAbnormalClosure},
		{name: "CloseInvalidFramePayloadData", ours: websocket.CloseInvalidFramePayloadData, gorilla: ws.CloseInvalidFramePayloadData},
		{name: "ClosePolicyViolation", ours: websocket.ClosePolicyViolation, gorilla: ws.ClosePolicyViolation},
		{name: "CloseMessageTooBig", ours: websocket.CloseMessageTooBig, gorilla: ws.CloseMessageTooBig},
		{name: "CloseMandatoryExtension", ours: websocket.CloseMandatoryExtension, gorilla: ws.CloseMandatoryExtension},
		{name: "CloseInternalServerErr", ours: websocket.CloseInternalServerErr, gorilla: ws.CloseInternalServerErr},
		{name: "CloseServiceRestart", ours: websocket.CloseServiceRestart, gorilla: ws.CloseServiceRestart},
		{name: "CloseTryAgainLater", ours: websocket.CloseTryAgainLater, gorilla: ws.CloseTryAgainLater},
		{name: "CloseBadGateway", ours: websocket.CloseBadGateway, gorilla: 1014}, // which gorilla lacks
		{name: "CloseTLSHandshake", ours: websocket.CloseTLSHandshake, gorilla: ws.CloseTLSHandshake},
	}
	var names []string
	for _, tt := range tests {
		names = append(names, tt.name)
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.gorilla, tt.ours)
		})
	}
	assert.ElementsMatch(t, exportedConstants(t, "gorilla.go"), names, "each constant that is exported is in the table")
}

func exportedConstants(t *testing.T, file string) (names []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	for _, declaration := range parsed.Decls {
		constants, ok := declaration.(*ast.GenDecl)
		if !ok || constants.Tok != token.CONST {
			continue
		}
		for _, spec := range constants.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names { //nolint:errcheck,forcetypeassert // what else
				if name.IsExported() {
					names = append(names, name.Name)
				}
			}
		}
	}
	return names
}

func TestErrorsAreGorillas(t *testing.T) {
	assert.Same(t, ws.ErrCloseSent, websocket.ErrCloseSent)
	assert.Same(t, ws.ErrReadLimit, websocket.ErrReadLimit)
	assert.Same(t, ws.ErrBadHandshake, websocket.ErrBadHandshake)
}

func TestTypesAreGorillas(t *testing.T) {
	assert.Equal(t, reflect.TypeFor[ws.CloseError](), reflect.TypeFor[websocket.CloseError]())
	assert.Equal(t, reflect.TypeFor[ws.PreparedMessage](), reflect.TypeFor[websocket.PreparedMessage]())
}
