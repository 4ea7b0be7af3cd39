package browsertoken_test

import (
	"context"
	"errors"
	"io"
	stdslog "log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	ws "github.com/gorilla/websocket"
	"github.com/goyave-contrib/websocket/goyave"
	"github.com/goyave-contrib/websocket/goyave/browsertoken"
	"github.com/goyave-contrib/websocket/wstest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/auth"
	"goyave.dev/goyave/v5/config"
	"goyave.dev/goyave/v5/log"
	"goyave.dev/goyave/v5/middleware/parse"
	"goyave.dev/goyave/v5/slog"
	"goyave.dev/goyave/v5/util/testutil"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const opaqueToken = "s3cr3t-._~1" // all the special characters that both rules allow

// tokenUser is the user that the authenticators return.
type tokenUser struct{ Name string }

// tokenUsers finds a user for every name.
type tokenUsers struct{}

func (tokenUsers) FindByUsername(_ context.Context, username any) (*tokenUser, error) {
	name, ok := username.(string)
	if !ok {
		return nil, errors.New("the name is no string")
	}
	return &tokenUser{Name: name}, nil
}

// tokenAuthenticator accepts any bearer token and makes it the user's name.
type tokenAuthenticator struct{ goyave.Component }

func (*tokenAuthenticator) Authenticate(request *goyave.Request) (*tokenUser, error) {
	token, ok := request.BearerToken()
	if !ok {
		return nil, errors.New("no credentials")
	}
	return &tokenUser{Name: token}, nil
}

// tokenSeen is the data of a request that Serve has seen.
type tokenSeen struct {
	User        *tokenUser
	Subprotocol string
	Offered     []string
	URL, URI    string
	Query       map[string]any
	Cookie      string
	Form        url.Values
}

// tokenCtrl records the data that Serve sees and waits for the client to disconnect.
type tokenCtrl struct {
	goyave.Component
	header http.Header
	seen   chan tokenSeen
}

func (ctrl *tokenCtrl) RegisterRoute(router *goyave.Router, handler goyave.Handler) {
	router.Get("", handler).SetMeta(auth.MetaAuth, true)
}

func (ctrl *tokenCtrl) UpgradeHeaders(*goyave.Request) http.Header { return ctrl.header }

func (ctrl *tokenCtrl) Serve(conn *websocket.Conn, request *goyave.Request) error {
	user, _ := request.User.(*tokenUser)
	seen := tokenSeen{
		User:        user,
		Subprotocol: conn.Subprotocol(),
		Offered:     request.Header().Values("Sec-WebSocket-Protocol"),
		URL:         request.URL().String(),
		URI:         request.Request().RequestURI,
		Query:       request.Query,
		Form:        request.Request().Form,
	}
	for _, cookie := range request.Cookies() {
		seen.Cookie += cookie.String()
	}
	ctrl.seen <- seen
	_, _, err := conn.ReadMessage()
	return err
}

// logLines is the writer of a log that passes on each line.
type logLines chan string

func (l logLines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// access returns the next access log line, with all that was logged before.
func (l logLines) access(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for {
		select {
		case line := <-l:
			all.WriteString(line)
			if strings.Contains(line, `\"GET `) {
				return all.String()
			}
		case <-time.After(10 * time.Second):
			require.FailNow(t, "no access log", "logged: %s", all.String())
		}
	}
}

// tokenApp is a running application.
type tokenApp struct {
	*testutil.TestServer
	url  string
	ctrl *tokenCtrl
	log  logLines
}

type tokenAppOptions struct {
	// middleware are applied globally, in this order; nil stands for the access
	// log, the parser, BrowserToken and custom authentication.
	middleware []goyave.Middleware
	token      *browsertoken.Middleware
	settings   ws.Upgrader
	header     http.Header
}

func startTokenApp(t *testing.T, options tokenAppOptions) *tokenApp {
	t.Helper()
	cfg := config.LoadDefault()
	cfg.Set("server.port", 0)
	cfg.Set("app.debug", false) // the access log then has its attributes, too
	cfg.Set("auth.jwt.secret", "secret")
	app := &tokenApp{
		ctrl: &tokenCtrl{header: options.header, seen: make(chan tokenSeen, 1)},
		log:  make(logLines, 100),
	}
	app.TestServer = testutil.NewTestServerWithOptions(t, goyave.Options{
		Config: cfg,
		Logger: slog.New(stdslog.NewJSONHandler(app.log, nil)),
	})
	middleware := options.middleware
	if middleware == nil {
		token := options.token
		if token == nil {
			token = &browsertoken.Middleware{}
		}
		middleware = []goyave.Middleware{
			log.CombinedLogMiddleware(),
			&parse.Middleware{},
			token,
			auth.Middleware(&tokenAuthenticator{}),
		}
	}
	app.RegisterRoutes(func(_ *goyave.Server, router *goyave.Router) {
		router.GlobalMiddleware(middleware...)
		upgrader := websocket.New(app.ctrl)
		upgrader.Settings = options.settings
		router.Subrouter("/ws").Controller(upgrader)
		router.Get("/rest", func(response *goyave.Response, request *goyave.Request) {
			response.String(http.StatusOK, request.Header().Get("Authorization"))
		})
	})

	ready := make(chan string, 1)
	app.RegisterStartupHook(func(s *goyave.Server) { ready <- "http://" + s.Host() })
	stopped := make(chan error, 1)
	go func() { stopped <- app.Start() }()
	t.Cleanup(func() {
		app.Stop()
		assert.NoError(t, <-stopped)
	})
	select {
	case app.url = <-ready:
	case err := <-stopped:
		stopped <- err
		require.FailNow(t, "the server does not start", "%v", err)
	}
	return app
}

// dial connects like a browser: it fails if it offered subprotocols and the
// answer does not name exactly one of them.
func (a *tokenApp) dial(t *testing.T, path string, header http.Header, offered ...string) (*wstest.Client, tokenSeen) {
	t.Helper()
	client := wstest.Dial(t, a.url, path, &wstest.Options{Header: header, Subprotocols: offered})
	selected := client.Response.Header.Values("Sec-WebSocket-Protocol")
	if len(offered) > 0 {
		require.Len(t, selected, 1, "a browser fails the connection")
		require.Contains(t, offered, selected[0], "a browser fails the connection")
	} else {
		require.Empty(t, selected, "a browser fails the connection")
	}
	return client, <-a.ctrl.seen
}

// refused returns the response to a handshake that must be refused.
func (a *tokenApp) refused(t *testing.T, path string, options *wstest.Options) (status int, header http.Header, body string) {
	t.Helper()
	response := wstest.DialRefused(t, a.url, path, options)
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, response.Header, string(content)
}
