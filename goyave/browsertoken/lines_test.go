package browsertoken_test

import (
	"net/http"
	"testing"
	"testing/fstest"

	"github.com/goyave-contrib/websocket/goyave/browsertoken"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"goyave.dev/goyave/v5"
	"goyave.dev/goyave/v5/config"
	"goyave.dev/goyave/v5/util/testutil"
)

// The reason of a refusal is in the language of the request, if that has the line.
func TestRefusalIsLocalized(t *testing.T) {
	const (
		english = `The authentication token after "bearer" is missing.`
		french  = "Le jeton d'authentification manque."
		german  = "Das Token fehlt."
	)
	line := func(text string) string { return `{"websocket.token-missing": "` + text + `"}` }
	for _, tc := range []struct {
		name    string
		locales map[string]string // locale.json of each language
		first   string            // app.defaultLanguage
		accept  string
		want    string
	}{
		{name: "nothing is said", want: english},
		{name: "the built-in language", accept: "en-US", want: english},
		{name: "a language that is not there", accept: "fr-FR", want: english},
		{name: "a language that has the line", locales: map[string]string{"fr-FR": line(french)}, accept: "fr-FR", want: french},
		{name: "a variant of it", locales: map[string]string{"fr-FR": line(french)}, accept: "fr;q=0.9, en;q=0.1", want: french},
		{name: "the application's words for the built-in one", locales: map[string]string{"en-US": line("No token!")}, accept: "en-US", want: "No token!"},
		{name: "the default language", locales: map[string]string{"de-DE": line(german)}, first: "de-DE", want: german},
		{name: "a language without the line", locales: map[string]string{"fr-FR": `{"other": "x"}`}, accept: "fr-FR", want: english},
		{name: "a language without the line, and a default that has it", locales: map[string]string{"fr-FR": `{}`, "de-DE": line(german)}, first: "de-DE", accept: "fr-FR", want: german},
		{name: "nobody has the line", locales: map[string]string{"fr-FR": `{}`, "de-DE": `{}`}, first: "de-DE", accept: "fr-FR", want: english},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files := fstest.MapFS{}
			for language, locale := range tc.locales {
				files[language+"/locale.json"] = &fstest.MapFile{Data: []byte(locale)}
			}
			cfg := config.LoadDefault()
			if tc.first != "" {
				cfg.Set("app.defaultLanguage", tc.first)
			}
			server := testutil.NewTestServerWithOptions(t, goyave.Options{Config: cfg, LangFS: files})
			server.Router().GlobalMiddleware(&browsertoken.Middleware{})
			server.Router().Get("/", func(*goyave.Response, *goyave.Request) { assert.Fail(t, "it is refused") })
			request := upgradeRequest("/")
			request.Header.Set("Sec-WebSocket-Protocol", "bearer")
			if tc.accept != "" {
				request.Header.Set("Accept-Language", tc.accept)
			}
			response := server.TestRequest(request)
			assert.Equal(t, http.StatusBadRequest, response.StatusCode)
			body, err := testutil.ReadJSONBody[map[string]string](response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, map[string]string{"error": tc.want}, body)
		})
	}
}

// A request that a test has made has no language.
func TestRefusalWithoutLanguage(t *testing.T) {
	server := testutil.NewTestServerWithOptions(t, goyave.Options{Config: config.LoadDefault()})
	middleware := &browsertoken.Middleware{}
	middleware.Init(server.Server)
	raw := upgradeRequest("/")
	raw.Header.Set("Sec-WebSocket-Protocol", "bearer")
	request := goyave.NewRequest(raw)
	response, _ := testutil.NewTestResponse(request)
	middleware.Handle(func(*goyave.Response, *goyave.Request) { assert.Fail(t, "it is refused") })(response, request)
	assert.Equal(t, http.StatusBadRequest, response.GetStatus())
	reason, ok := request.Extra[goyave.ExtraParseError{}].(error)
	require.True(t, ok)
	assert.EqualError(t, reason, `The authentication token after "bearer" is missing.`)
}
