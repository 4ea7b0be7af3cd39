// Package browsertoken lets browsers authenticate where they open a WebSocket, with
// Goyave's authenticators as they are.
package browsertoken

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/goyave-contrib/websocket"
	"github.com/goyave-contrib/websocket/goyave/internal/bearer"
	"goyave.dev/goyave/v5"
)

const authorizationHeader = "Authorization" // as http.Header spells it

// Middleware lets browsers authenticate. They can't set an Authorization header on a
// WebSocket, so the page sends its bearer token as a subprotocol:
//
//	new WebSocket("wss://example.com/chat", ["bearer", token])
//
// Or, where the fields below say so, as a query parameter or a cookie. The
// middleware puts the token into the Authorization header, where Goyave's auth
// middleware finds it. An Authorization header that is there already is left as
// it is. Only GET requests that ask for an upgrade to WebSocket are touched.
//
// Before anything else sees the request, the token is taken out of
// Sec-WebSocket-Protocol, the URL, RequestURI and Query, whether or not it is
// used. The server then selects one of the Upgrader's Subprotocols or,
// if the client offered none of them, "bearer".
//
// A token is made of the characters of RFC 6750 (letters, digits and "-._~+/",
// then any number of "="); in Sec-WebSocket-Protocol without "/" and "=", which
// a browser can't send there. JSON Web Tokens are. The request is refused with
// status 400 if a token has other characters, if nothing follows "bearer", or if
// there is more than one token in the same place. An empty query parameter or
// cookie is no token. Of several places the first counts: subprotocol, query
// parameter, cookie.
//
// The status handler for 400 answers, Goyave's own with a text that holds nothing of what
// was sent. It is the language line "websocket.token-missing",
// "websocket.token-malformed" or "websocket.token-several": English ones are built in, an
// application has them in the locale.json of its other languages. Where the request's
// language lacks one, the default language stands in, and then English.
//
// Use it as a global middleware, before the auth middleware and all that may
// answer by itself: what was refused earlier is logged with its URL as it came.
//
//	router.GlobalMiddleware(log.CombinedLogMiddleware())
//	router.GlobalMiddleware(&browsertoken.Middleware{})
//	router.GlobalMiddleware(auth.Middleware(authenticator))
type Middleware struct {
	goyave.Component

	// QueryParam is the name of a query parameter that may carry the token. URLs
	// end up in browsers' histories and in the logs of proxies: prefer the
	// subprotocol, or a token that serves once. Empty means none.
	QueryParam string

	// Cookie is the name of a cookie that may carry the token. Browsers send
	// cookies with every handshake, whatever page starts it, so who may connect
	// then rests on the origin check. The cookie stays in the request. Empty
	// means none.
	Cookie string
}

var _ goyave.Middleware = (*Middleware)(nil)

// Handle implements goyave.Middleware.
func (m *Middleware) Handle(next goyave.Handler) goyave.Handler {
	return func(response *goyave.Response, request *goyave.Request) {
		if request.Method() != http.MethodGet || !websocket.IsWebSocketUpgrade(request.Request()) {
			next(response, request)
			return
		}
		if err := m.lift(request); err != nil {
			request.Extra[goyave.ExtraParseError{}] = m.localized(request, err) // for the status handler to tell
			response.Status(http.StatusBadRequest)
			return
		}
		next(response, request)
	}
}

// lift moves the request's token into the Authorization header.
func (m *Middleware) lift(request *goyave.Request) error {
	// Both first: whatever is wrong with one, the other must not be seen.
	token, err := takeFromProtocols(request)
	inQuery := m.takeFromQuery(request)
	if err != nil {
		return err
	}
	fromQuery, err := onlyToken(inQuery)
	if err != nil {
		return err
	}
	header := request.Header()
	if _, there := header[authorizationHeader]; there {
		return nil
	}
	if token == "" {
		token = fromQuery
	}
	if token == "" && m.Cookie != "" {
		if token, err = onlyToken(cookies(request, m.Cookie)); err != nil {
			return err
		}
	}
	if token != "" {
		header.Set(authorizationHeader, "Bearer "+token)
	}
	return nil
}

// takeFromProtocols takes the marker and the entry after it out of the
// subprotocols that the client offers. After a mistake none of them is left.
func takeFromProtocols(request *goyave.Request) (string, error) {
	header := request.Header()
	offered := bearer.Entries(header)
	at := slices.Index(offered, bearer.Marker)
	if at < 0 {
		return "", nil
	}
	header.Del(bearer.Header)
	rest := offered[at+1:]
	switch {
	case slices.Contains(rest, bearer.Marker):
		return "", errSeveral
	case len(rest) == 0:
		return "", errMissing
	case !isToken(rest[0]) || strings.ContainsAny(rest[0], "/="):
		return "", errMalformed
	}
	bearer.Offered(request)
	if others := slices.Concat(offered[:at], rest[1:]); len(others) > 0 {
		header.Set(bearer.Header, strings.Join(others, ", "))
	}
	return rest[0], nil
}

// takeFromQuery takes the parameter out of all places that have it, and returns
// its values. The rest of the query stays as it came: a middleware may have
// parsed it already, or may do so later.
func (m *Middleware) takeFromQuery(request *goyave.Request) []string {
	if m.QueryParam == "" {
		return nil
	}
	r := request.Request()
	var values []string
	r.URL.RawQuery, values = without(r.URL.RawQuery, m.QueryParam)
	if path, query, ok := strings.Cut(r.RequestURI, "?"); ok {
		if rest, _ := without(query, m.QueryParam); rest != "" {
			path += "?" + rest
		}
		r.RequestURI = path
	}
	delete(request.Query, m.QueryParam)
	r.Form.Del(m.QueryParam)
	return values
}

// without returns the raw query with no parameter of this name, and its values;
// one that is not properly escaped is returned as it came, which is no token.
func without(query, name string) (rest string, values []string) {
	var others []string
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if unescaped, err := url.QueryUnescape(key); err != nil || unescaped != name {
			others = append(others, pair)
			continue
		}
		if unescaped, err := url.QueryUnescape(value); err == nil {
			value = unescaped
		}
		values = append(values, value)
	}
	return strings.Join(others, "&"), values
}

func cookies(request *goyave.Request, name string) []string {
	var values []string
	for _, cookie := range request.Request().CookiesNamed(name) {
		values = append(values, cookie.Value)
	}
	return values
}

// onlyToken returns the token among the values of one place, "" if all are empty.
func onlyToken(values []string) (string, error) {
	var token string
	for _, value := range values {
		switch {
		case value == "":
		case token != "":
			return "", errSeveral
		case !isToken(value):
			return "", errMalformed
		default:
			token = value
		}
	}
	return token, nil
}

// isToken reports whether s is a b64token (RFC 6750, 2.1).
func isToken(s string) bool {
	s = strings.TrimRight(s, "=")
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte("-._~+/", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}
