package websocket_test

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	root "github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/goyave/browsertoken"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
	original "goyave.dev/goyave/v5/websocket"
)

// The exported signatures of the original: code of an application that uses them compiles.
var (
	_ func(websocket.Controller) *websocket.Upgrader = websocket.New
	_ func(*websocket.Upgrader, *goyave.Router)      = (*websocket.Upgrader).RegisterRoutes
	_ func(*websocket.Upgrader) goyave.Handler       = (*websocket.Upgrader).Handler
	_ func(*websocket.Upgrader, *goyave.Server)      = (*websocket.Upgrader).Init
	_ func(error) bool                               = websocket.IsCloseError
	_ goyave.Registrer                               = (*websocket.Upgrader)(nil)
	_ goyave.Composable                              = websocket.Controller(nil)

	// Interfaces that do not mention a type of the package are identical.
	_ original.Registrer            = websocket.Registrer(nil)
	_ websocket.Registrer           = original.Registrer(nil)
	_ original.OriginChecker        = websocket.OriginChecker(nil)
	_ websocket.OriginChecker       = original.OriginChecker(nil)
	_ original.HeaderUpgrader       = websocket.HeaderUpgrader(nil)
	_ websocket.HeaderUpgrader      = original.HeaderUpgrader(nil)
	_ original.UpgradeErrorHandler  = websocket.UpgradeErrorHandler(nil)
	_ websocket.UpgradeErrorHandler = original.UpgradeErrorHandler(nil)
	_ original.ErrorHandler         = websocket.ErrorHandler(nil)
	_ websocket.ErrorHandler        = original.ErrorHandler(nil)

	_ interface {
		connMethods
		Serve(conn *websocket.Conn, request *goyave.Request) error
	} = (interface {
		connMethods
		websocket.Controller
	})(nil)
	_ connMethods = (*original.Conn)(nil)
	_ connMethods = (*websocket.Conn)(nil)
	_ *ws.Conn    = websocket.Conn{}.Conn
	_ *root.Conn  = (*websocket.Conn)(nil) // code for both packages can share it

	_ *browsertoken.Middleware = (*websocket.BrowserToken)(nil) // until v1
)

// connMethods are the methods that the original adds to gorilla's connection.
type connMethods interface {
	SetCloseHandshakeTimeout(timeout time.Duration)
	GetCloseHandshakeTimeout() time.Duration
	CloseNormal() error
	CloseWithError(err error) error
	Close(code int, message string) error
}

func TestLiterals(t *testing.T) {
	ctrl := &plain{}
	settings := ws.Upgrader{ReadBufferSize: 256}
	u := &websocket.Upgrader{Controller: ctrl, Settings: settings}
	assert.Equal(t, ctrl, u.Controller)
	assert.Equal(t, 256, u.Settings.ReadBufferSize)
	u = &websocket.Upgrader{Controller: ctrl, Options: websocket.Options{CloseTimeout: time.Second}}
	u.WriteTimeout = time.Minute
	u.MaxMessageSize = 1 << 16
	u.Settings.ReadBufferSize = 512
	assert.Equal(t, websocket.Options{CloseTimeout: time.Second, WriteTimeout: time.Minute, MaxMessageSize: 1 << 16}, u.Options)
	assert.Equal(t, ctrl, u.Controller)
	assert.Equal(t, 512, u.Settings.ReadBufferSize)
	assert.Equal(t, ctrl, websocket.New(ctrl).Controller)
	assert.Equal(t, original.NormalClosureMessage, websocket.NormalClosureMessage)
}

// exported returns the names that a package exports.
func exported(t *testing.T, path string) []string {
	t.Helper()
	found, err := build.Import(path, ".", 0)
	require.NoError(t, err)
	names := map[string]bool{}
	for _, name := range found.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(found.Dir, name), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, decl := range file.Decls {
			switch decl := decl.(type) {
			case *ast.FuncDecl:
				if decl.Recv == nil {
					names[decl.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range decl.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						names[spec.Name.Name] = true
					case *ast.ValueSpec:
						for _, name := range spec.Names {
							names[name.Name] = true
						}
					}
				}
			}
		}
	}
	maps.DeleteFunc(names, func(name string, _ bool) bool { return !ast.IsExported(name) })
	return slices.Sorted(maps.Keys(names))
}

func TestNamesOfTheOriginal(t *testing.T) {
	names := exported(t, "goyave.dev/goyave/v5/websocket")
	assert.Contains(t, names, "Upgrader")
	assert.Subset(t, exported(t, "github.com/goyave-contrib/websocket/goyave"), names)
}

// One import is enough: the package has all names of the root package.
func TestNamesOfTheRoot(t *testing.T) {
	names := slices.DeleteFunc(exported(t, "github.com/goyave-contrib/websocket"), func(name string) bool {
		switch name {
		case "ControllerFunc", "MessageControllerFunc": // a function can't be a Component
			return true
		case "Endpoint", "NewEndpoint", "Handshake", "DefaultOptions": // for adapters of other frameworks
			return true
		}
		return false
	})
	assert.Contains(t, names, "ErrShutdown")
	assert.Subset(t, exported(t, "github.com/goyave-contrib/websocket/goyave"), names)
}

// The functions are the root package's.
func TestFunctionsOfTheRoot(t *testing.T) {
	goingAway := fmt.Errorf("read: %w", websocket.NewCloseError(websocket.CloseGoingAway, ""))
	assert.True(t, websocket.IsUnexpectedCloseError(goingAway, websocket.CloseNormalClosure))
	assert.False(t, websocket.IsUnexpectedCloseError(goingAway, websocket.CloseGoingAway))
	assert.Equal(t, ws.FormatCloseMessage(4000, "x"), websocket.FormatCloseMessage(4000, "x"))

	encoded, err := websocket.EncodeMessage(websocket.TextMessage, []byte("hello"))
	require.NoError(t, err)
	assert.Equal(t, []byte("hello"), encoded.Data())
	prepared, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte("hello"))
	require.NoError(t, err)
	_, err = websocket.NewPreparedMessage(websocket.CloseMessage, []byte{0})
	require.Error(t, err)

	text := make(chan string, 1)
	a := start(t, at("/ws", &plain{serve: func(conn *websocket.Conn, request *goyave.Request) error {
		assert.True(t, websocket.IsWebSocketUpgrade(request.Request()))
		assert.NoError(t, conn.WritePreparedMessage(prepared))
		joined, err := io.ReadAll(websocket.JoinMessages(conn, "\n"))
		text <- string(joined)
		return err
	}}))
	client := a.dial("/ws")
	client.ExpectText("hello")
	client.WriteText("one")
	client.WriteText("two")
	client.Close(websocket.CloseNormalClosure, "")
	assert.Equal(t, "one\ntwo\n", receive(t, text))
}
